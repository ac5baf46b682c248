"""The one place where errors of the command line become a sentence and an exit code.

0 success, 1 nothing found or nothing to repair, 2 usage or bad input, 3 internal, 130 interrupted. What we
raise on purpose is told in one sentence; anything else is our fault and leaves a log for a report.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
import traceback
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from repair.errors import EmendError
from serve.limits import state_directory

INTERRUPTED = 130


class ErrorBoundary:
    """A context in which every error ends the process as the module's docstring says."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, SystemExit | GeneratorExit):
            return
        if isinstance(error, KeyboardInterrupt):
            _leave("interrupted", INTERRUPTED)
        if isinstance(error, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at exit
            raise SystemExit(1) from None
        if isinstance(error, EmendError):
            _leave(str(error), error.exit_code)
        _leave(f"internal error: {type(error).__name__}: {error}; the full report is in {write_log(error)}", 3)


def _leave(sentence: str, code: int) -> NoReturn:
    print(f"emend: {sentence}", file=sys.stderr)  # noqa: T201 - the last word, also where rich is broken
    raise SystemExit(code)


def write_log(error: BaseException) -> Path:
    """Write what a report of this error needs, and say where. The file is readable by its owner only."""
    text = "\n".join(
        [
            f"emend {platform.platform()} Python {platform.python_version()}",
            f"command: {sys.argv!r}",
            "".join(traceback.format_exception(error)),
        ]
    )
    name = f"error-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.log"
    for directory in (state_directory(), Path(tempfile.gettempdir())):
        try:
            directory.mkdir(parents=True, exist_ok=True)
            path = directory / name
            path.touch(mode=0o600, exist_ok=False)
            path.write_text(text, encoding="utf-8")
        except OSError:
            continue
        return path
    return Path(os.devnull)
