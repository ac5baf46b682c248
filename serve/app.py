"""The HTTP service: routes and what stands before them, composed. Start it with `emend serve`.

The event loop only moves bytes: repairs run in processes, the store is asked in threads.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.middleware.gzip import GZipMiddleware

from serve.journal.shown import JournalLooking
from serve.observe import traces
from serve.parts import Parts
from serve.routes.explanations import explanations_router
from serve.routes.jobs import jobs_router
from serve.routes.journal import journal_router
from serve.routes.keys import keys_router
from serve.routes.looking import Looking
from serve.routes.others import health_router, work_router
from serve.routes.repairs import repairs_router
from serve.routes.session import session_router
from serve.security.callers import Authority
from serve.security.install import install
from serve.security.table import ROUTES
from serve.web.journal_pages import journal_pages
from serve.web.pages import page_router
from serve.wire_jobs import Problem

_GZIP_FROM = 1024  # bytes; smaller answers gain nothing


def create_app(parts: Parts) -> FastAPI:
    """The service around its parts."""
    settings = parts.settings
    app = FastAPI(
        title="Emend", version="1", summary="Repairs code from an error message.", docs_url=None, redoc_url=None
    )
    authority = Authority(parts.store.keys, parts.store.sessions, settings)
    for router in (
        repairs_router(parts),
        explanations_router(parts, parts.store.journal if settings.journal else None),
        jobs_router(parts),
        work_router(parts),
        health_router(parts),
        session_router(authority),
        keys_router(authority),
        journal_router(parts.store),
        page_router(Looking(parts.store), journal_pages(JournalLooking(parts.store, kept=settings.journal))),
    ):
        app.include_router(router)
    app.add_middleware(GZipMiddleware, minimum_size=_GZIP_FROM)
    install(app, settings, authority, parts.metrics)
    app.state.tracing = traces.install(app, settings)
    app.openapi = lambda: _described(app, keys=settings.auth == "keys")
    return app


def _described(app: FastAPI, *, keys: bool) -> dict[str, Any]:
    """The OpenAPI document, with the schema of problems and how keys are given."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        components = schema.setdefault("components", {})
        components.setdefault("schemas", {}).update(_problem_schemas())
        if keys:
            bearer = {"type": "http", "scheme": "bearer", "description": "emend_<id>_<secret>"}
            components["securitySchemes"] = {"key": bearer}
            schema["security"] = [{"key": []}]
            for path, methods in schema["paths"].items():
                for method, operation in methods.items():
                    if ROUTES.get((method.upper(), path)) == "open":
                        operation["security"] = []
        app.openapi_schema = schema
    return app.openapi_schema


def _problem_schemas() -> dict[str, Any]:
    whole = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    inner = whole.pop("$defs", {})
    return {"Problem": whole, **inner}
