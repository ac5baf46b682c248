# ruff: noqa: ANN401, ARG001, ARG002  (records, frames and hooks of tools whose types are not ours)
"""Runs pytest in this process with a plugin that reports every test; inside the sandbox, pytest >= 6.

Task keys: `args` (the user's own), `only` (ids, None for all), `files` (positional arguments in place of the
user's), `stop_first`, `terse`, `trace` (source files whose executed lines are wanted, per test), `plain` (whether the
cache plugin may be left out), `measures` (whether coverage is asked for), `distributes` (whether several
processes are).
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import threading
from typing import Any

import pytest
from emend_inside import Reporter, cut, describe
from emend_trace import Timeout, tracer

# Where warnings are errors, that a warm interpreter has imported plugins would end the session before its tests.
_ALREADY = "ignore:Module already imported so cannot be rewritten"
_RANK = {"passed": 0, "skipped": 1, "failed": 2, "error": 3}


def _too_long(number: int, frame: Any) -> None:
    raise Timeout("it had not ended when its time was up")


class Plugin:
    """Hooks of pytest. One record per test, when all its phases are over."""

    def __init__(self, task: dict[str, Any], reporter: Reporter) -> None:
        self._task = task
        self._reporter = reporter
        self._only = None if task.get("only") is None else set(task["only"])
        self._outcomes: dict[str, str] = {}
        self._seconds: dict[str, float] = {}
        self._described: dict[str, dict[str, Any]] = {}
        traced = task.get("trace") or []
        self._tracer = tracer([os.path.abspath(p) for p in traced]) if traced else None  # noqa: PTH100

    def pytest_configure(self, config: Any) -> None:
        """Take over what would hide results: -x, and collection errors that stop everything."""
        config.option.maxfail = 1 if self._task.get("stop_first") else 0
        config.option.continue_on_collection_errors = True
        if self._task.get("files"):
            config.args = [os.path.join(str(config.rootdir), f) for f in self._task["files"]]  # noqa: PTH118

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Report what there is; keep only what was asked for."""
        self._reporter.write("collected", ids=[item.nodeid for item in items])
        if self._only is not None:
            items[:] = [item for item in items if self._wanted(item.nodeid)]

    def _wanted(self, nodeid: str) -> bool:
        """Whether it was asked for by itself, or its whole file was (one that could not be collected before)."""
        return self._only is None or nodeid in self._only or nodeid.partition("::")[0] in self._only

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self, item: Any) -> Any:
        """A test that does not end fails where it hangs, and the others still run."""
        seconds = self._task.get("test_seconds")
        if not seconds or threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGALRM, _too_long)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def pytest_exception_interact(self, node: Any, call: Any, report: Any) -> None:
        """The exception itself, before pytest makes text of it."""
        error = call.excinfo.value
        if type(error).__name__ == "CollectError" and error.__cause__ is not None:
            error = error.__cause__
        if type(error).__name__ not in ("CollectError", "Failed"):
            self._described[report.nodeid] = describe(error)

    def pytest_collectreport(self, report: Any) -> None:
        """A file that cannot be collected is a test that ends in an error."""
        if report.failed:
            self._result(report.nodeid or "collection", "error", report)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Trace from here on."""
        if self._tracer is not None:
            self._tracer.start()

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Merge the phases: the worst outcome counts, failure outside of the call is an error."""
        outcome = report.outcome if report.outcome in _RANK else "skipped"
        if outcome == "failed" and report.when != "call":
            outcome = "error"
        known = self._outcomes.get(report.nodeid, "passed")
        if _RANK[outcome] >= _RANK[known]:
            self._outcomes[report.nodeid] = outcome
        if outcome in ("failed", "error") and report.nodeid not in self._described:
            self._described[report.nodeid] = {"message": cut(report.longreprtext), "trace": None}
        self._seconds[report.nodeid] = self._seconds.get(report.nodeid, 0.0) + report.duration

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """All phases are over."""
        if self._tracer is not None:
            for path, lines in self._tracer.stop().items():
                self._reporter.write("lines", id=nodeid, path=os.path.relpath(path), lines=sorted(lines))
        if nodeid in self._outcomes:
            self._result(nodeid, self._outcomes[nodeid], None)

    def _result(self, nodeid: str, outcome: str, report: Any | None) -> None:
        failed = outcome in ("failed", "error")
        fields = self._described.get(nodeid) if failed else None
        if fields is None and report is not None:
            fields = {"message": cut(report.longreprtext), "trace": None}
        seconds = round(self._seconds.get(nodeid, 0.0), 6)
        self._reporter.write("test", id=nodeid, outcome=outcome, seconds=seconds, **(fields or {}))

    def pytest_sessionfinish(self, session: Any, exitstatus: Any) -> None:
        """Kept by the caller: the exit status that pytest itself comes to."""
        self.status = int(exitstatus)

    status: int | None = None


def run(task: dict[str, Any], reporter: Reporter) -> int:
    """Run a session; `end` is written last, with the session's status."""
    arguments = list(task["args"]) + ["-p", "no:randomly", "-W", _ALREADY]  # noqa: RUF005
    if task.get("terse"):
        arguments += ["--tb=no"]  # the records tell what failed; rendering it costs a quarter of a small run
    if task.get("measures") and importlib.util.find_spec("pytest_cov"):
        arguments += ["--no-cov"]  # a part of the tests never reaches the coverage that is demanded
    if task.get("distributes") and importlib.util.find_spec("xdist"):
        arguments += ["-n", "0"]  # other processes would not have the plugin
    if task.get("plain"):
        arguments += ["-p", "no:cacheprovider"]
    sys.argv = ["pytest"] + arguments  # noqa: RUF005
    plugin = Plugin(task, reporter)
    status = int(pytest.main(arguments, plugins=[plugin]))
    sys.stdout.flush()
    if plugin.status is not None and plugin.status == status:
        reporter.write("end", code=status)
    elif plugin.status is None:
        reporter.write("unusable", code=status)  # bad arguments, an unreadable conftest.py
    return status
