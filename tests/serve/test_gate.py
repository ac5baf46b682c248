import asyncio
import json

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


def ask(*chunks, headers=(), hosts=("127.0.0.1",), stalls=False):
    """Send chunks through a gate that lets 10 bytes pass; returns status and body of the answer."""
    gate = Gate(echo, max_body_bytes=10, body_seconds=0.2, hosts=hosts)
    waiting = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    if not stalls:
        waiting.append({"type": "http.request", "body": b"", "more_body": False})
    sent = []

    async def receive():
        if not waiting:
            await asyncio.sleep(60)
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "headers": [(b"host", b"127.0.0.1:80"), *headers], "method": "POST", "path": "/"}
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
    assert ask(b"abc", stalls=True)[0] == 408


@pytest.mark.parametrize(
    ("host", "status"),
    [(b"127.0.0.1:80", 200), (b"127.0.0.1", 200), (b"evil.example", 403), (b"127.0.0.1.evil.example", 403), (b"", 403)],
)
def test_foreign_host_names_are_refused(host, status):
    gate = Gate(echo, max_body_bytes=10, body_seconds=1, hosts=("127.0.0.1",))
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(gate({"type": "http", "headers": [(b"host", host)]}, receive, send))
    assert sent[0]["status"] == status


def test_ipv6_host():
    gate = Gate(echo, max_body_bytes=10, body_seconds=1, hosts=("[::1]",))
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(gate({"type": "http", "headers": [(b"host", b"[::1]:8451")]}, receive, send))
    assert sent[0]["status"] == 200
