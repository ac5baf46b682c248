"""The whole defence around an app, in the one order that holds. Called once, after the routes are there.

From the outside in: headers, CORS, `Observed` (request id, metrics, log), the Guard (who and how much), the Gate (what
form of body), the app. A caller without a key is refused before its body is read.
"""

from __future__ import annotations

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from serve import problems
from serve.gate import Gate
from serve.limits import is_loopback
from serve.observe.metrics import Metrics
from serve.observe.observed import Observed
from serve.security.callers import Authority
from serve.security.guard import Guard
from serve.security.headers import SecurityHeaders
from serve.settings import Settings

_SENT = ("Accept", "Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "X-Request-ID")
_SHOWN = ("Location", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Retry-After", "X-Request-ID")


def install(app: FastAPI, settings: Settings, authority: Authority, metrics: Metrics) -> None:
    """Put all middleware around `app` and make its errors problems."""
    problems.install(app)
    hosts = allowed_hosts(settings)
    # add_middleware puts each around those before it: the innermost comes first
    app.add_middleware(Gate, max_body_bytes=settings.max_body_bytes, body_seconds=settings.body_seconds, hosts=hosts)
    app.add_middleware(Guard, authority=authority)
    app.add_middleware(Observed, metrics=metrics)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=list(_SENT),
            expose_headers=list(_SHOWN),
            allow_credentials=False,  # the cookie is for our own pages only
        )
    app.add_middleware(SecurityHeaders, https=authority.secure)


def allowed_hosts(settings: Settings) -> tuple[str, ...] | None:
    """Names that a Host header may give on loopback, where a foreign one is DNS rebinding; None: any."""
    if not is_loopback(settings.host):
        return None
    from urllib.parse import urlsplit

    public = urlsplit(settings.public_url).hostname
    own = f"[{settings.host}]" if ":" in settings.host else settings.host
    return ("127.0.0.1", "localhost", "[::1]", own, *((public,) if public else ()))
