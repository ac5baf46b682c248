"""ChatModel: a model behind an OpenAI-compatible server, asked over HTTP.

Owns the wire: requests, streaming, retries, what went wrong in words. Such a server gives no probabilities of
lines and scores nothing, so `locate` and `score` answer None. The key is read from EMEND_API_KEY and from nowhere
else; it never appears in a name, an error or a log.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from threading import Lock
from typing import cast
from urllib.parse import urldefrag, urlsplit

import httpx

from repair.candidates import Completion
from repair.errors import ModelError
from repair.model import Decoding, LineBelief, Usage
from repair.prompts import chat_messages
from repair.views import Hunk, View

KEY_VARIABLE = "EMEND_API_KEY"
_OK = 200
_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_PARALLEL = 8
_MAX_REPLY_BYTES = 1_000_000
_ENOUGH = 16  # a large model's 17th sample of one prompt seldom is a new one, and each is paid for
_MIN_TOKENS = 512  # chat models say something around their answer


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait (seconds) and how often to ask again."""

    connect: float = 10.0
    read: float = 120.0  # between two pieces of an answer
    attempts: int = 4
    backoff: float = 0.5  # before the second attempt; doubles, with jitter
    longest: float = 30.0  # between two attempts, whatever the server asks for


class _AttemptError(Exception):
    """One attempt failed; `again` says that another may succeed, `after` (seconds) when the server wants it."""

    def __init__(self, reason: str, *, again: bool, after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.again = again
        self.after = after


class ChatModel:
    """A `repair.model.Model` over `POST {base}/chat/completions`. Safe to share among threads."""

    def __init__(self, base: str, model: str, patience: Patience) -> None:
        self._base = base
        self._model = model
        self._patience = patience
        self._lock = Lock()
        self._usage = Usage()

    @property
    def name(self) -> str:
        """Server and model, as `connect` takes it."""
        return f"{self._base}#{self._model}"

    @property
    def usage(self) -> Usage:
        """As the server counts; pieces of the stream where it does not say."""
        return self._usage

    def locate(self, view: View) -> LineBelief | None:  # noqa: ARG002
        """None: a chat gives no probabilities."""
        return None

    def score(self, view: View, changes: Sequence[tuple[Hunk, ...]]) -> Sequence[float] | None:  # noqa: ARG002
        """None: a chat scores nothing."""
        return None

    def propose(self, view: View, decoding: Decoding) -> Iterator[Completion]:
        """One greedy answer, then samples, as they arrive; at most 16, each text once.

        Raises ModelError when no answer comes at all; a failure among others that succeed only costs that one.
        """
        count = min(decoding.candidates, _ENOUGH)
        if count < 1:
            return
        seen: set[str] = set()
        failures: list[ModelError] = []
        with _client(self._patience) as client, ThreadPoolExecutor(min(_PARALLEL, count)) as pool:
            jobs = [pool.submit(self._answer, client, self._request(view, decoding, n)) for n in range(count)]
            try:
                for job in as_completed(jobs):
                    try:
                        completion = job.result()
                    except ModelError as error:
                        failures.append(error)
                        continue
                    if completion.text not in seen:
                        seen.add(completion.text)
                        yield completion
            finally:  # the reader may have enough: what was not yet asked is not asked
                for job in jobs:
                    job.cancel()
        if failures and not seen:
            raise failures[0]

    def _request(self, view: View, decoding: Decoding, number: int) -> dict[str, object]:
        return {
            "model": self._model,
            "messages": list(chat_messages(view)),
            "max_tokens": max(decoding.max_tokens, _MIN_TOKENS),
            "temperature": decoding.temperature if number else 0.0,
            "seed": decoding.seed + number,
            **({"top_p": decoding.top_p} if number and decoding.top_p < 1.0 else {}),
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    def _answer(self, client: httpx.Client, request: dict[str, object]) -> Completion:
        """One answer, asked for again while that may help."""
        wait = self._patience.backoff
        for attempt in range(1, self._patience.attempts + 1):
            try:
                return self._ask(client, request)
            except _AttemptError as failure:
                if not failure.again or attempt == self._patience.attempts:
                    tries = f" ({attempt} attempts)" if attempt > 1 else ""
                    raise ModelError(f"{self.name}: {failure.reason}{tries}") from failure
                pause = failure.after if failure.after is not None else wait * random.uniform(0.5, 1.5)
            time.sleep(min(pause, self._patience.longest))
            wait *= 2
        raise AssertionError("unreachable")

    def _ask(self, client: httpx.Client, request: dict[str, object]) -> Completion:
        try:
            with client.stream("POST", f"{self._base}/chat/completions", json=request) as response:
                if response.status_code != _OK:
                    raise _refusal(response)
                reply = _Reply()
                if "text/event-stream" in response.headers.get("content-type", ""):
                    for event in _events(response):
                        reply.add(event, "delta")
                else:  # a server that does not stream
                    reply.add(_parsed(_capped(response)), "message")
        except httpx.TimeoutException as error:
            raise _AttemptError(f"no answer in time ({type(error).__name__})", again=True) from error
        except httpx.HTTPError as error:
            raise _AttemptError(f"cannot be reached ({error}): is the server running there?", again=True) from error
        if not reply.choices:
            raise _AttemptError("answered without any choice: is it an OpenAI-compatible server?", again=True)
        return self._counted(reply)

    def _counted(self, reply: _Reply) -> Completion:
        written = reply.usage.completion_tokens or reply.pieces
        with self._lock:
            self._usage = Usage(
                self._usage.prompt_tokens + reply.usage.prompt_tokens, self._usage.completion_tokens + written
            )
        return Completion("".join(reply.text), written)


class _Reply:
    """An answer put together from the events of a stream, or from one object."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.usage = Usage()
        self.choices = 0
        self.pieces = 0

    def add(self, event: dict[str, object], key: str) -> None:
        """Take one event. Raises _AttemptError when it is not what the interface says."""
        if "error" in event:
            raise _AttemptError(f"failed while answering: {_short(event['error'])}", again=True)
        choices, usage = event.get("choices"), event.get("usage")
        for choice in cast("list[object]", choices) if isinstance(choices, list) else []:
            part = _mapping(_mapping(choice).get(key))
            self.choices += 1
            if isinstance(content := part.get("content"), str) and content:
                self.text.append(content)
                self.pieces += 1
        if isinstance(usage, dict):
            counts = _mapping(cast("object", usage))
            self.usage = Usage(_count(counts, "prompt_tokens"), _count(counts, "completion_tokens"))


def _count(counts: dict[str, object], key: str) -> int:
    value = counts.get(key)
    return value if isinstance(value, int) else 0


def _mapping(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _parsed(text: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise _AttemptError(f"sent something that is not JSON: {_short(text)}", again=True) from error
    if not isinstance(value, dict):
        raise _AttemptError(f"sent JSON that is no object: {_short(text)}", again=True)
    return cast("dict[str, object]", value)


def _events(response: httpx.Response) -> Iterator[dict[str, object]]:
    """Data of server-sent events (WHATWG HTML, 9.2) up to `[DONE]`; comments and other fields are skipped."""
    size = 0
    for line in response.iter_lines():
        size += len(line)
        if size > _MAX_REPLY_BYTES:
            raise _AttemptError(f"sent more than {_MAX_REPLY_BYTES} bytes for one answer", again=False)
        if not line.startswith("data:"):
            continue
        payload = line.removeprefix("data:").strip()
        if payload == "[DONE]":
            return
        yield _parsed(payload)


def _capped(response: httpx.Response) -> str:
    body = b""
    for part in response.iter_bytes():
        body += part
        if len(body) > _MAX_REPLY_BYTES:
            raise _AttemptError(f"sent more than {_MAX_REPLY_BYTES} bytes for one answer", again=False)
    return body.decode("utf-8", "replace")


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return " ".join(text.split())[:200]


def _refusal(response: httpx.Response) -> _AttemptError:
    """What a status other than 200 means, in words with what to do."""
    status = response.status_code
    said = _short(_capped(response)) if not response.is_stream_consumed else _short(response.text)
    advice = {
        401: f"the key in {KEY_VARIABLE} is missing or not accepted: set it to a valid one",
        403: f"the key in {KEY_VARIABLE} may not use this model: ask for access or take another model",
        404: "no such model or path: check the address (it usually ends in /v1) and the name after #",
        413: "the request is too large: give it a smaller window",
        429: "too many requests: wait, or ask for fewer candidates",
    }.get(status, f"status {status}")
    reason = f"{advice} ({said})" if said else advice
    return _AttemptError(reason, again=status in _RETRIED, after=_retry_after(response))


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("retry-after", "")
    return float(value) if value.replace(".", "", 1).isdigit() else None


def connect(url: str, *, patience: Patience | None = None) -> ChatModel:
    """The model behind `http(s)://host:port/v1#model-name`; without a name the first that the server lists.

    Raises ModelError when the address is none, carries a key, or the list cannot be had.
    """
    base, model = urldefrag(url)
    parts = urlsplit(base)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ModelError("not the address of a model server: give http(s)://host:port/v1#model-name")
    if parts.username or parts.password or parts.query:
        raise ModelError(f"a server's address may hold no key or password: set {KEY_VARIABLE} instead")
    patience = patience or Patience()
    base = base.rstrip("/")
    return ChatModel(base, model or _first_model(base, patience), patience)


def check_server(url: str, seconds: float) -> None:
    """Ask a model server for its list, once. Raises ModelError: not reached within so many seconds, or refused."""
    _first_model(urldefrag(url)[0].rstrip("/"), Patience(connect=seconds, read=seconds))


def _client(patience: Patience) -> httpx.Client:
    key = os.environ.get(KEY_VARIABLE, "")
    return httpx.Client(
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=httpx.Timeout(patience.read, connect=patience.connect),
        limits=httpx.Limits(max_connections=_PARALLEL),
    )


def _first_model(base: str, patience: Patience) -> str:
    try:
        with _client(patience) as client:
            response = client.get(f"{base}/models")
        if response.status_code != _OK:
            raise _refusal(response)
        listed = _parsed(response.text).get("data")
    except httpx.HTTPError as error:
        raise ModelError(f"{base} cannot be reached ({error}): is the server running there?") from error
    except _AttemptError as failure:
        raise ModelError(f"{base}: {failure.reason}") from failure
    names = [_mapping(m).get("id") for m in cast("list[object]", listed)] if isinstance(listed, list) else []
    if not names or not isinstance(names[0], str):
        raise ModelError(f"{base} lists no models: name one, {base}#model-name")
    return names[0]
