"""Traces against a real collector: a small HTTP server that takes OTLP."""

import asyncio
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from serve.observe import traces
from serve.observe.metrics import Metrics
from serve.settings import Settings
from serve.telling import Told
from tests.serve.security.apps import small


@contextmanager
def collector():
    """Its address and the spans that it gets."""
    spans = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                raise AssertionError("not asked for")
            told = ExportTraceServiceRequest.FromString(body)
            spans.extend(s for r in told.resource_spans for scope in r.scope_spans for s in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", spans
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def test_requests_and_stages_reach_the_collector():
    with collector() as (url, spans):
        app = small(auth="off", trace_endpoint=url)
        tracing = traces.install(app.app, app.settings)

        @app.app.get("/v1/keys")
        async def staged():
            times = iter([0.0, 0.5, 1.5, 2.0, 5.0])
            course = Metrics().course(clock=lambda: next(times))
            course.started()
            for name in ("suspects", "candidate", "result"):
                course.observe(Told(name, "{}"))
            with traces.span("export", rows=3):
                return {}

        async def ask():
            async with app.client() as client:
                return [(await client.get(path)).status_code for path in ("/v1/keys?key=hidden", "/healthz")]

        assert asyncio.run(ask()) == [200, 200]
        tracing.close()
    found = {span.name: span for span in spans}
    assert set(found) == {"GET /v1/keys", "queue", "suspects", "candidates", "judging", "export"}
    request = found.pop("GET /v1/keys")
    assert all(span.parent_span_id == request.span_id for span in found.values())
    lengths = {name: round((s.end_time_unix_nano - s.start_time_unix_nano) / 1e9, 1) for name, s in found.items()}
    assert lengths == {"queue": 0.5, "suspects": 1.0, "candidates": 0.5, "judging": 3.0, "export": 0.0}
    assert {a.key: a.value.int_value for a in found["export"].attributes} == {"rows": 3}
    assert b"hidden" not in b"".join(span.SerializeToString() for span in spans)


def test_a_span_tells_the_kind_of_an_error_only():
    with collector() as (url, spans):
        app = small(auth="off", trace_endpoint=url)
        tracing = traces.install(app.app, app.settings)
        with pytest.raises(ValueError, match="user"), traces.span("repair"):
            raise ValueError("what a user sent")
        tracing.close()
    assert spans[0].status.message == "ValueError"
    assert b"user" not in spans[0].SerializeToString()


def test_a_collector_that_is_down_harms_nobody():
    app = small(auth="off", trace_endpoint="http://127.0.0.1:9/v1/traces")
    tracing = traces.install(app.app, app.settings)

    async def ask():
        async with app.client() as client:
            return (await client.get("/v1/models")).status_code

    assert asyncio.run(ask()) == 200
    tracing.close()


def test_without_an_endpoint_nothing_is_loaded():
    code = (
        "import sys\nfrom serve.observe import traces\nfrom serve.settings import Settings\n"
        "traces.install(None, Settings()).close()\n"
        "with traces.span('x', n=1):\n    traces.finished('y', 1.0)\n"
        "print([m for m in sys.modules if m.startswith('opentelemetry')])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_missing_extra_is_told():
    code = (
        "import sys\nsys.modules['opentelemetry.sdk.trace'] = None\n"
        "from repair.errors import InputError\nfrom serve.observe import traces\nfrom serve.settings import Settings\n"
        "try:\n    traces.install(None, Settings(trace_endpoint='http://127.0.0.1:1/'))\n"
        "except InputError as error:\n    print(error.field, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("trace_endpoint trace_endpoint needs OpenTelemetry")
    assert "pip install 'emend[traces]'" in done.stdout


def test_settings_without_endpoint_trace_nothing():
    assert Settings().trace_endpoint == ""
    with traces.span("x"):
        pass
