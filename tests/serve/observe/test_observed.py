import asyncio
import io
import json
import logging

import pytest
import structlog

from serve.observe.logs import configure
from serve.observe.metrics import Metrics
from serve.observe.observed import Observed
from serve.settings import Settings
from tests.serve.observe.test_metrics import values
from tests.serve.security.apps import Clock, small


@pytest.fixture
def lines():
    """The log's lines of what a function does, as JSON or text; logging is as before afterwards."""
    root = logging.getLogger()
    before = root.handlers[:], root.level

    def told(action, **settings):
        stream = io.StringIO()
        configure(Settings(**settings), stream)
        action()
        text = stream.getvalue().splitlines()
        return text if settings.get("log_format") == "text" else [json.loads(line) for line in text]

    yield told
    root.handlers[:], level = before
    root.setLevel(level)
    structlog.reset_defaults()


def ask(app, method, path, **more):
    async def one():
        async with app.client() as client:
            return await client.request(method, path, **more)

    return asyncio.run(one())


def test_routes_are_told_by_their_template():
    app = small(auth="off")
    ask(app, "GET", "/v1/models")
    ask(app, "GET", "/v1/jobs/secret-name")
    ask(app, "GET", "/wp-admin")
    ask(app, "BREW", "/v1/models")
    found = values(app.metrics)
    assert found["emend_http_requests_total", "GET", "/v1/models", "200"] == 1
    assert found["emend_http_requests_total", "GET", "/v1/jobs/{job_id}", "404"] == 1
    assert found["emend_http_requests_total", "GET", "other", "404"] == 1
    assert found["emend_http_requests_total", "other", "/v1/models", "405"] == 1
    assert found["emend_http_seconds_count", "/v1/models"] == 2
    assert "secret-name" not in app.metrics.render()[0].decode()


def test_a_stream_counts_when_it_begins_and_when_it_ends():
    clock, metrics = Clock(), Metrics()

    async def streaming(scope, receive, send):
        clock.now += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        clock.now += 4
        await send({"type": "http.response.body", "body": b"data: 1"})

    async def nothing(message=None):
        pass

    scope = {"type": "http", "method": "GET", "path": "/v1/jobs/1/events", "headers": []}
    asyncio.run(Observed(streaming, metrics=metrics, clock=clock)(scope, nothing, nothing))
    found = values(metrics)
    assert found["emend_http_seconds_sum", "/v1/jobs/{job_id}/events"] == 5
    assert found["emend_http_first_byte_seconds_sum", "/v1/jobs/{job_id}/events"] == 1


def test_a_line_of_the_log(lines):
    app = small()
    row, good = app.key()
    token = good["Authorization"].removeprefix("Bearer ")
    body = {"text": "def private_code(): pass"}
    (line,) = lines(lambda: ask(app, "POST", "/v1/repairs?q=raw", json=body, headers=good))
    assert line["event"] == "answered"
    assert line["level"] == "info"
    assert line["time"].endswith("Z")
    assert (line["method"], line["route"], line["status"], line["key"]) == ("POST", "/v1/repairs", 200, row.id)
    assert line["request_id"]
    assert 0 <= line["first_byte"] <= line["seconds"] < 600
    assert token not in str(line)
    assert "private_code" not in str(line)
    assert "raw" not in str(line)


def test_an_internal_error_is_logged_without_its_message(lines):
    app = small(auth="off")
    error, answered = lines(lambda: ask(app, "POST", "/v1/repairs", json={"text": "boom"}))
    assert (error["level"], error["kind"], error["route"]) == ("error", "RuntimeError", "/v1/repairs")
    assert error["at"][-1].startswith("apps.py:")
    assert "secret" not in str(error)
    assert answered["status"] == 500
    assert values(app.metrics)["emend_http_requests_total", "POST", "/v1/repairs", "500"] == 1


def test_health_is_quiet_unless_asked_for(lines):
    app = small()
    assert lines(lambda: ask(app, "GET", "/healthz")) == []
    assert len(lines(lambda: ask(app, "GET", "/healthz"), log_level="debug")) == 1
    assert len(lines(lambda: ask(app, "GET", "/metrics"))) == 1  # refused


def test_text_lines(lines):
    (line,) = lines(lambda: structlog.get_logger("x").info("started", port=1, quoted="a b"), log_format="text")
    assert line.startswith("time=2")
    assert 'level=info event=started port=1 quoted="a b"' in line


def test_loggers_of_libraries_write_through_it(lines):
    def act():
        logger = logging.getLogger("uvicorn.error")
        logger.info("started with %s", "emend_ab12_" + "x" * 30)
        try:
            raise ValueError("what a user sent")
        except ValueError:
            logger.exception("Exception in ASGI application\nTraceback (most recent call last):\n what a user sent")
        logging.getLogger("uvicorn.access").info("GET /raw?path")
        logging.getLogger("httpx").info("GET http://internal")

    started, error = lines(act)
    assert (started["event"], started["logger"]) == ("started with [redacted]", "uvicorn.error")
    assert (error["event"], error["kind"]) == ("Exception in ASGI application", "ValueError")
    assert error["at"][-1].startswith("test_observed.py:")
    assert "what a user sent" not in str(error)


def test_secrets_are_redacted(lines):
    url = "postgresql://emend:hunter2@db/emend"
    (line,) = lines(lambda: structlog.get_logger("x").warning("store is down", url=url, tried=[url]))
    shown = "postgresql://emend:[redacted]@db/emend"
    assert (line["url"], line["tried"]) == (shown, [shown])


def test_configured_twice_writes_once(lines):
    configure(Settings(), io.StringIO())
    assert len(lines(lambda: structlog.get_logger("x").info("once"))) == 1
