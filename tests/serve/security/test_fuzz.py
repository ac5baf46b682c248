"""Random bytes in every place of a request: never a 500, never a stack trace."""

import asyncio
import json
import random
import string

from tests.serve.security.apps import small

ROUNDS = 2500
PATHS = [
    *["/v1/repairs"] * 8,
    "/v1/repairs",
    "/v1/models",
    "/login",
    "/logout",
    "/",
    "/v1/jobs/1",
    "/%00",
    "/v1/../healthz",
    "//",
    "/static/",
]
METHODS = ["GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "BREW"]
NAMES = [
    b"authorization", b"cookie", b"content-type", b"content-length", b"content-encoding", b"origin", b"host",
    b"sec-fetch-site", b"x-csrf-token", b"x-request-id", b"accept", b"transfer-encoding", b"last-event-id",
]  # fmt: skip
VALUES = [
    b"Bearer ", b"Bearer \xff\xfe", b"bearer emend_a_b", b"emend_session=\xe9", b"emend_session=" + b"x" * 5000,
    b"application/json", b"application/json; charset=", b"gzip", b"http://[", b"https://x:99999999", b"null", b"-1",
    b"1e9", b"\x00", b"text/html", b"[::1", b"", b"=;=;;", b"Basic", b"text/event-stream", b"127.0.0.1",
]  # fmt: skip
BODIES = [
    b"", b"{", b"[" * 100_000, b'{"text": "\\ud800"}', b'{"\\ud800": 1}', b'{"text": "a", "count": 1e999}',
    b'{"text": "a", "count": ' + b"9" * 6000 + b"}", b'{"text": NaN}', b"\xff\xfe", b"\x1f\x8b\x08", b'{"key": "x"}',
    b'{"text": "a", "text": "b"}', b'"a"', b"null", b'{"key": "\\u0000\\ud800"}',
]  # fmt: skip


def drawn(dice):
    """A request of random parts; some are mostly right, so that they get further."""
    headers = [(b"host", b"127.0.0.1")] if dice.random() < 0.8 else []
    headers += [(b"content-type", b"application/json")] if dice.random() < 0.6 else []
    for _ in range(dice.randrange(4)):
        value = dice.choice(VALUES) if dice.random() < 0.7 else dice.randbytes(dice.randrange(40))
        headers.append((dice.choice(NAMES), value))
    body = dice.choice(BODIES) if dice.random() < 0.7 else dice.randbytes(dice.randrange(200))
    path = dice.choice(PATHS) if dice.random() < 0.8 else "/" + "".join(dice.choices(string.printable, k=12))
    return dice.choice([*METHODS, *["POST"] * 7]), path, headers, body


async def answered(app, method, path, headers, body):
    """Status and body of one request, sent as ASGI: no client tidies it up."""
    sent = []
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive():
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode(), "query_string": b"q=%00" if path == "//" else b"", "root_path": "",
        "scheme": "http", "headers": headers, "client": ("10.0.0.2", 1), "server": ("127.0.0.1", 80), "state": {},
    }  # fmt: skip
    await app.app(scope, receive, send)
    return sent[0]["status"] if sent else 499, b"".join(message.get("body", b"") for message in sent)


def test_no_bytes_bring_it_down():
    dice = random.Random(20261125)
    open_to_all, keys = small(auth="off"), small()

    async def all_of_them():
        seen = set()
        for number in range(ROUNDS):
            app = open_to_all if number % 3 else keys
            app.clock.now += 10  # else the wrong keys of one address are soon refused unread
            request = drawn(dice)
            status, body = await answered(app, *request)
            assert status < 500, (request, body)
            assert b"Traceback" not in body
            assert b"site-packages" not in body
            if status >= 400 and body:
                assert json.loads(body)["status"] == status
            seen.add(status)
        return seen

    assert {200, 400, 401, 403, 404, 405, 415, 422} <= asyncio.run(all_of_them())
