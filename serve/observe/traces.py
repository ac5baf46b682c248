"""Traces of requests for any OTLP collector (extra `traces`); without an endpoint every call here is a no-op.

Owns what OpenTelemetry is told: stages, counts and templates of routes, never code, bodies, queries or error texts.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from repair.errors import InputError
from serve.security.table import template
from serve.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

_OPEN = "healthz,livez,readyz,metrics,static"  # expressions of URLs without spans
_tracer: Tracer | None = None  # of this process, set by `install`


class Tracing:
    """Tracing of one process, until it is closed."""

    def __init__(self, provider: TracerProvider | None) -> None:
        self._provider = provider

    def close(self) -> None:
        """Send what is left, then trace no more. Waits for the collector, at most some seconds."""
        global _tracer  # noqa: PLW0603 - there is one tracer a process
        _tracer = None
        if self._provider is not None:
            self._provider.shutdown()
            self._provider = None


def install(app: FastAPI, settings: Settings) -> Tracing:
    """Trace the requests of `app` to settings.trace_endpoint, if there is one. Raises InputError without the extra.

    Call it after all middleware of `app` is added, and before it serves.
    """
    global _tracer  # noqa: PLW0603
    if not settings.trace_endpoint:
        return Tracing(None)
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        message = f"trace_endpoint needs OpenTelemetry ({error.name} is missing): pip install 'emend[traces]'"
        raise InputError(message, field="trace_endpoint") from error
    provider = TracerProvider(resource=Resource.create({"service.name": "emend"}))
    exporter = OTLPSpanExporter(endpoint=settings.trace_endpoint, timeout=5)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1000))
    FastAPIInstrumentor.instrument_app(
        app,
        tracer_provider=provider,
        excluded_urls=_OPEN,
        exclude_spans=["receive", "send"],
        server_request_hook=_without_raw_addresses,
    )
    _tracer = provider.get_tracer("emend")
    return Tracing(provider)


def _without_raw_addresses(span: Span, scope: Mapping[str, Any]) -> None:
    """Templates in place of what the client wrote: ids are unbounded, and queries may hold what they should not."""
    route = template(scope["path"])
    span.update_name(f"{scope['method']} {route}")
    for name in ("http.target", "http.url", "url.path", "url.full"):
        span.set_attribute(name, route)
    span.set_attribute("url.query", "")


@contextmanager
def span(name: str, **attributes: str | int | float | bool) -> Generator[None]:
    """A span around what is done inside; of an error it tells the kind only."""
    if _tracer is None:
        yield
        return
    from opentelemetry.trace import Status, StatusCode

    with _tracer.start_as_current_span(
        name, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield
        except Exception as error:
            current.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


def finished(name: str, seconds: float, **attributes: str | int | float | bool) -> None:
    """A span that ends now and has lasted `seconds`, below the current one."""
    if _tracer is None:
        return
    ended = time.time_ns()
    done = _tracer.start_span(name, attributes=attributes, start_time=ended - int(seconds * 1e9))
    done.end(ended)
