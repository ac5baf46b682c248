"""The log of the service: one line an event on stderr, JSON or text. Configured once, by `configure`.

Owns the form of lines and what never gets into one: secrets, and the messages of exceptions, which may hold what users
sent. Loggers of libraries, uvicorn's too, write through it.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from pathlib import PurePath
from types import TracebackType
from typing import Any, TextIO

import structlog

from serve.security.redaction import redact, redact_value
from serve.settings import Settings

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_CHATTY = ("httpx", "httpcore", "urllib3", "asyncio", "opentelemetry", "alembic", "sqlalchemy", "multipart")
_FRAMES = 8  # innermost frames of an exception that are told
_Event = MutableMapping[str, Any]


def configure(settings: Settings, stream: TextIO | None = None) -> None:
    """Make structlog and logging write to `stream` (None: stderr) as the settings say. Give uvicorn log_config=None."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        without_messages,
        redacted,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_origin, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(settings)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[settings.log_level])
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, _LEVELS[settings.log_level]))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.NOTSET)  # uvicorn.Config sets levels of its own
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)  # `Observed` writes that line, without raw paths


def _renderer(settings: Settings) -> structlog.typing.Processor:
    if settings.log_format == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    return structlog.processors.LogfmtRenderer(key_order=("time", "level", "event"), bool_as_flag=False)


def _origin(_: object, __: str, event: _Event) -> _Event:
    """Which library a line is from."""
    record = event.get("_record")
    if isinstance(record, logging.LogRecord):
        event["logger"] = record.name
    return event


def without_messages(_: object, __: str, event: _Event) -> _Event:
    """An exception as its kind and frames. Its message and the lines of code are left out."""
    error = _exception(event.pop("exc_info", None))
    record = event.get("_record")
    if error is None and isinstance(record, logging.LogRecord):
        error = _exception(record.exc_info)
    if isinstance(record, logging.LogRecord):
        record.exc_info = record.exc_text = None
    event.pop("exception", None)
    event.pop("stack_info", None)
    if error is not None:
        event["kind"] = type(error).__name__
        event["at"] = frames(error.__traceback__)
    if isinstance(text := event.get("event"), str):  # uvicorn and asyncio put the whole report into the message
        event["event"] = text.partition("Traceback (most recent call last)")[0].rstrip()
    return event


def _exception(given: object) -> BaseException | None:
    if isinstance(given, BaseException):
        return given
    if isinstance(given, tuple):
        return next((part for part in given if isinstance(part, BaseException)), None)
    return sys.exc_info()[1] if given is True else None


def frames(trace: TracebackType | None) -> list[str]:
    """The innermost frames as `file:line function`, without folders and code."""
    found = traceback.extract_tb(trace)[-_FRAMES:]
    return [f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in found]


def redacted(_: object, __: str, event: _Event) -> _Event:
    """All texts of an event without secrets."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = redact(value)
        elif isinstance(value, Mapping | list | tuple):
            event[name] = redact_value(value)
    return event
