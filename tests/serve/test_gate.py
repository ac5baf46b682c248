import asyncio
import gzip
import json
import tracemalloc
import zlib

import pytest

from serve.gate import Gate


async def echo(scope, receive, send):
    """An app that answers with the body it got, and with what comes after it."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


JSON = (b"content-type", b"application/json")


def ask(*chunks, headers=(JSON,), limit=10, stalls=False, patience=90, **target):
    """Send chunks through a gate that lets `limit` bytes pass; returns status and body of the answer."""
    gate = Gate(echo, max_body_bytes=limit, body_seconds=patience, hosts=("127.0.0.1",))
    waiting = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    if not stalls:
        waiting.append({"type": "http.request", "body": b"", "more_body": False})
    sent = []

    async def receive():
        if not waiting:
            await asyncio.sleep(600)
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "headers": [(b"host", b"127.0.0.1:80"), *headers], "method": "POST", "path": "/", **target}
    asyncio.run(gate(scope, receive, send))
    return sent[0]["status"], b"".join(m.get("body", b"") for m in sent[1:])


def test_small_body_passes_whole():
    assert ask(b"abc", b"def") == (200, b"abcdef")


def test_announced_size_is_refused_unread():
    status, body = ask(b"", headers=[(b"content-length", b"11")], stalls=True)
    assert status == 413
    assert json.loads(body)["detail"] == "the body has 11 bytes; the limit is 10"


def test_unannounced_size_is_refused_as_soon_as_it_shows():
    assert ask(b"123456", b"123456", stalls=True)[0] == 413


def test_lying_length_is_refused():
    assert ask(b"123456", b"123456", headers=[(b"content-length", b"3")])[0] == 413


def test_slow_body_is_refused():
    assert ask(b"abc", stalls=True, patience=0.2)[0] == 408


def test_a_length_beyond_all_bounds_is_refused():
    assert ask(b"", headers=[(b"content-length", b"9" * 5000)], stalls=True)[0] == 413


def test_small_routes_take_small_bodies():
    body = b'"' + b"a" * 70_000 + b'"'
    assert ask(body, limit=100_000, path="/v1/repairs")[0] == 200
    assert ask(body, limit=100_000, path="/v1/feedback")[0] == 413


@pytest.mark.parametrize(
    "kind",
    [b"", b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data", b"application/json; charset=x"],
)
def test_other_forms_of_body_are_refused(kind):
    assert ask(b"{}", headers=[(b"content-type", kind)] if kind else [])[0] == 415


@pytest.mark.parametrize("kind", [b"application/json", b"Application/JSON; charset=UTF-8", b"application/problem+json"])
def test_json_is_taken(kind):
    assert ask(b"{}", headers=[(b"content-type", kind)])[0] == 200


def test_no_body_needs_no_form():
    assert ask(headers=[])[0] == 200


@pytest.mark.parametrize("body", [b'"a\0b"', b'"\xff"', b'"\xed\xa0\x80"'])
def test_what_is_no_text_is_refused(body):
    assert ask(body)[0] == 400


def zipped(data, **more):
    return ask(data, headers=[JSON, (b"content-encoding", more.pop("encoding", b"gzip"))], **more)


def test_gzip_is_read():
    body = b'"' + b"a" * 500 + b'"'
    assert zipped(gzip.compress(body), limit=1000) == (200, body)
    halves = gzip.compress(body[:100]) + gzip.compress(body[100:])
    assert zipped(halves, limit=1000) == (200, body)


def test_a_gzip_bomb_is_refused_after_the_limit():
    bomb = gzip.compress(b"a" * 200_000_000, compresslevel=1)
    tracemalloc.start()
    assert zipped(bomb, limit=1_000_000)[0] == 413
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8_000_000  # bytes: the rest of it was never unpacked


@pytest.mark.parametrize("data", [b"no gzip", gzip.compress(b'"abc"')[:-5], gzip.compress(b'"a"') + b"more"])
def test_broken_gzip_is_refused(data):
    assert zipped(data, limit=1000)[0] == 400


@pytest.mark.parametrize("encoding", [b"deflate", b"br", b"gzip, gzip", b"zstd"])
def test_other_encodings_are_refused(encoding):
    assert zipped(zlib.compress(b'"a"'), limit=1000, encoding=encoding)[0] == 415


def test_nul_in_the_address_is_refused():
    assert ask(b"", path="/v1/jobs/\0")[0] == 400
    assert ask(b"", query_string=b"state=%00")[0] == 400


def test_a_client_that_leaves_in_the_middle_reaches_nobody():
    reached = []

    async def app(scope, receive, send):
        reached.append(scope)

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        reached.append(message)

    gate = Gate(app, max_body_bytes=10, body_seconds=90, hosts=None)
    asyncio.run(gate({"type": "http", "headers": [], "path": "/", "query_string": b""}, receive, send))
    assert reached == []


@pytest.mark.parametrize(
    ("host", "status"),
    [(b"127.0.0.1:80", 200), (b"127.0.0.1", 200), (b"evil.example", 403), (b"127.0.0.1.evil.example", 403), (b"", 403)],
)
def test_foreign_host_names_are_refused(host, status):
    gate = Gate(echo, max_body_bytes=10, body_seconds=90, hosts=("127.0.0.1",))
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(gate({"type": "http", "headers": [(b"host", host)]}, receive, send))
    assert sent[0]["status"] == status


def test_ipv6_host():
    gate = Gate(echo, max_body_bytes=10, body_seconds=90, hosts=("[::1]",))
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(gate({"type": "http", "headers": [(b"host", b"[::1]:8451")]}, receive, send))
    assert sent[0]["status"] == 200
