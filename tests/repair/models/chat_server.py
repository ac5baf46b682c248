"""A tiny OpenAI-like server whose faults are chosen by the model's name. Run: `python chat_server.py PORT`."""

import asyncio
import json
import sys
from collections import Counter

import uvicorn

KEY = "Bearer sesame"
ASKED: Counter[str] = Counter()
REPLY = "@@ 11-11\n    return box.width * box.height\n"


async def send(send, status, body, kind="application/json", **headers):
    names = [
        (b"content-type", kind.encode()),
        *((k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": names})
    await send({"type": "http.response.body", "body": body if isinstance(body, bytes) else json.dumps(body).encode()})


async def stream(send, events):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    for event in events:
        data = event if isinstance(event, str) else f"data: {json.dumps(event)}\n\n"
        await send({"type": "http.response.body", "body": data.encode(), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def pieces(text):
    yield ": a comment\n\n"
    for at in range(0, len(text), 7):
        yield {"choices": [{"delta": {"content": text[at : at + 7]}}]}
    yield {"choices": [], "usage": {"prompt_tokens": 50, "completion_tokens": 12}}
    yield "data: [DONE]\n\n"


async def busy(send_to, _):
    if ASKED["busy"] <= 2:
        await send(send_to, 429, {"error": "slow down"}, retry_after="0.01")
    else:
        await stream(send_to, pieces(REPLY))


async def dropped(send_to, _):
    if ASKED["dropped"] == 1:
        await stream_part(send_to)
        raise ConnectionError
    await stream(send_to, pieces(REPLY))


async def slow(send_to, _):
    await asyncio.sleep(5)


async def shaky(send_to, request):
    if request["seed"] % 2:
        await send(send_to, 400, {"error": "odd seed"})
    else:
        await stream(send_to, pieces(REPLY))


def diverse(send_to, request):
    return stream(send_to, pieces(f"@@ 8-8\n    # seed {request['seed']} at {request['temperature']}\n"))


WHOLE = {"choices": [{"message": {"content": REPLY}}], "usage": {"prompt_tokens": 50, "completion_tokens": 12}}
LATE = [{"choices": [{"delta": {"content": "@@"}}]}, {"error": {"message": "lost"}}]
MODELS = {
    "good": lambda send_to, _: stream(send_to, pieces(REPLY)),
    "whole": lambda send_to, _: send(send_to, 200, WHOLE),
    "echo": lambda send_to, request: stream(send_to, pieces(json.dumps(request))),
    "diverse": diverse,
    "shaky": shaky,
    "busy": busy,
    "dropped": dropped,
    "slow": slow,
    "down": lambda send_to, _: send(send_to, 503, {"error": "no GPU left"}),
    "denied": lambda send_to, _: send(send_to, 401, {"error": "bad key"}),
    "broken-json": lambda send_to, _: stream(send_to, ['data: {"choices": [\n\n']),
    "fails-late": lambda send_to, _: stream(send_to, LATE),
    "endless": lambda send_to, _: stream(send_to, [{"choices": [{"delta": {"content": "x" * 50_000}}]}] * 40),
    "not-openai": lambda send_to, _: send(send_to, 200, {"hello": "world"}),
}


async def stream_part(send_to):
    await send_to({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    await send_to({"type": "http.response.body", "body": b'data: {"choices": [{"delta": {"con', "more_body": True})


async def app(scope, receive, send_to):
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    headers = dict(scope["headers"])
    if scope["path"] == "/v1/models":
        await send(send_to, 200, {"data": [{"id": "first"}, {"id": "second"}]})
    elif scope["path"] == "/empty/models":
        await send(send_to, 200, {"data": []})
    elif scope["path"] == "/asked":
        await send(send_to, 200, ASKED)
    elif scope["path"] != "/v1/chat/completions":
        await send(send_to, 404, {"error": "no such path"})
    elif headers.get(b"authorization", b"").decode() != KEY:
        await send(send_to, 401, {"error": "who are you"})
    else:
        request = json.loads(body)
        ASKED[request["model"]] += 1
        await MODELS[request["model"]](send_to, request)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="critical", lifespan="off")
