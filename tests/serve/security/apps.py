"""Small apps behind the whole defence, for the tests of this folder."""

import asyncio
import json
from dataclasses import dataclass, field

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict

from serve.observe.metrics import Metrics
from serve.routes.session import session_router
from serve.security.callers import Authority, caller_of
from serve.security.install import install
from serve.security.memory import MemoryKeys, MemorySessions
from serve.settings import Settings

HOST = "127.0.0.1:8451"


class Clock:
    """A clock that only moves when told."""

    def __init__(self, now=1_000.0):
        self.now = now

    def __call__(self):
        return self.now


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: str
    count: int = 0


@dataclass
class Small:
    """An app, its store and what it saw."""

    settings: Settings
    clock: Clock = field(default_factory=Clock)
    keys: MemoryKeys = None
    metrics: Metrics = field(default_factory=Metrics)
    seen: list = field(default_factory=list)
    finish: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self):
        self.keys = self.keys or MemoryKeys(now=self.clock)
        self.sessions = MemorySessions(self.keys, now=self.clock)
        self.authority = Authority(self.keys, self.sessions, self.settings, clock=self.clock, now=self.clock)
        self.app = FastAPI(docs_url=None, redoc_url=None)
        self._routes()
        self.app.include_router(session_router(self.authority))
        install(self.app, self.settings, self.authority, self.metrics)

    def key(self, *scopes, **more):
        row, token = self.keys.create(
            "k", scopes or ("repair",), more.get("expires"), more.get("rate"), more.get("concurrent")
        )
        return row, {"Authorization": f"Bearer {token}"}

    def client(self, **more):
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False, client=("10.0.0.1", 5))
        return httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}", **more)

    def _routes(self):
        app = self.app

        @app.get("/healthz")
        async def healthz():
            return {"status": "ok"}

        @app.get("/")
        async def page(request: Request):
            state = request.state
            return HTMLResponse(json.dumps({"csrf": state.csrf, "nonce": state.csp_nonce}))

        @app.get("/v1/forgotten")
        async def forgotten():
            self.seen.append("forgotten")
            return {}

        @app.post("/v1/repairs")
        async def repairs(request: Request, body: Body):
            self.seen.append(caller_of(request).key_id)
            if body.text == "boom":
                raise RuntimeError(f"secret {body.text}")
            return {"text": body.text, "id": request.state.request_id}

        @app.get("/v1/models")
        async def models():
            return {"models": []}

        @app.get("/v1/jobs/{id}/events")
        async def events(id: str):  # noqa: A002 - the name in the path
            async def lines():
                yield f"data: {id}\n\n"
                await self.finish.wait()

            return StreamingResponse(lines(), media_type="text/event-stream")

        @app.get("/metrics")
        async def metrics():
            return {}


def small(clock=None, **settings):
    return Small(Settings(**settings), **({"clock": clock} if clock else {}))
