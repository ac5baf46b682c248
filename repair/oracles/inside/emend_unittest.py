# ruff: noqa: ANN401, ARG001  (records, frames and hooks of tools whose types are not ours)
"""Runs unittest in this process with a result class that reports every test; inside the sandbox.

Task keys: `args` (of `python -m unittest`), `functions` (files whose plain `test_*` functions are run too),
`only`, `stop_first`, `trace`, `test_seconds` as for pytest.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import threading
import time
import unittest
from collections.abc import Iterator
from typing import Any

from emend_inside import Reporter, describe
from emend_trace import Monitor, Timeout, Tracer, tracer


def _too_long(number: int, frame: Any) -> None:
    """A test that does not end has an error where it hangs, and the others still run."""
    raise Timeout("it had not ended when its time was up")


class _Result(unittest.TextTestResult):
    """Reports each test when it stops; a failing subtest fails its test."""

    reporter: Reporter
    tracer: Tracer | Monitor | None = None
    limit: float = 0.0  # seconds of a test, 0: any

    def startTest(self, test: Any) -> None:  # noqa: N802
        super().startTest(test)
        self._outcome, self._described, self._begun = "passed", {}, time.monotonic()
        if self.tracer is not None:
            self.tracer.start()
        self._timed = bool(self.limit) and threading.current_thread() is threading.main_thread()
        if self._timed:
            self._before = signal.signal(signal.SIGALRM, _too_long)
            signal.setitimer(signal.ITIMER_REAL, self.limit)

    def stopTest(self, test: Any) -> None:  # noqa: N802
        if self._timed:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._before)
        name = test_name(test)
        if self.tracer is not None:
            for path, lines in self.tracer.stop().items():
                self.reporter.write("lines", id=name, path=os.path.relpath(path), lines=sorted(lines))
        seconds = round(time.monotonic() - self._begun, 6)
        self.reporter.write("test", id=name, outcome=self._outcome, seconds=seconds, **self._described)
        super().stopTest(test)

    def _note(self, outcome: str, error: Any) -> None:
        self._outcome = outcome
        self._described = describe(error[1])

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802
        super().addError(test, err)
        if isinstance(test, unittest.TestCase):
            self._note("error", err)
        else:  # setUpClass, setUpModule: no test of its own starts
            self.reporter.write("test", id=str(test), outcome="error", **describe(err[1]))

    def addFailure(self, test: Any, err: Any) -> None:  # noqa: N802
        super().addFailure(test, err)
        self._note("failed", err)

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:  # noqa: N802
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._note("failed" if issubclass(err[0], test.failureException) else "error", err)

    def addSkip(self, test: Any, reason: str) -> None:  # noqa: N802
        super().addSkip(test, reason)
        self._outcome = "skipped"
        if not isinstance(test, unittest.TestCase):
            self.reporter.write("test", id=str(test), outcome="skipped")

    def addExpectedFailure(self, test: Any, err: Any) -> None:  # noqa: N802
        super().addExpectedFailure(test, err)
        self._outcome = "skipped"

    def addUnexpectedSuccess(self, test: Any) -> None:  # noqa: N802
        super().addUnexpectedSuccess(test)
        self._outcome = "failed"
        self._described = {"message": "expected to fail, but passed"}


def test_name(test: Any) -> str:
    """The id of a test; one that stands for a module that cannot be imported has the module's name."""
    name = str(test.id())
    return name.replace("unittest.loader._FailedTest.", "import of ")


def _each(suite: Any) -> Iterator[Any]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _each(test)
        else:
            yield test


class _Runner(unittest.TextTestRunner):
    """Reports the collection, selects, runs."""

    def __init__(self, task: dict[str, Any], reporter: Reporter, **options: Any) -> None:
        super().__init__(**options)
        facts: dict[str, Any] = {
            "reporter": reporter,
            "tracer": _tracer(task),
            "limit": task.get("test_seconds") or 0.0,
        }
        self.resultclass: Any = type("Result", (_Result,), facts)
        self.failfast = bool(task.get("stop_first"))
        self._task, self._reporter = task, reporter

    def run(self, test: Any) -> Any:
        tests = list(_each(test)) + [t for f in self._task.get("functions") or [] for t in _functions(f)]
        self._reporter.write("collected", ids=[test_name(t) for t in tests])
        only = self._task.get("only")
        if only is not None:
            groups = tuple(name[len("import of ") :] + "." for name in only if name.startswith("import of "))
            tests = [t for t in tests if test_name(t) in only or test_name(t).startswith(groups)]
        return super().run(unittest.TestSuite(tests))


def _tracer(task: dict[str, Any]) -> Tracer | Monitor | None:
    traced = task.get("trace") or []
    return tracer([os.path.abspath(p) for p in traced]) if traced else None  # noqa: PTH100


def _functions(path: str) -> list[Any]:
    """Plain `test_*` functions without parameters of a file, as tests."""
    name = os.path.splitext(os.path.basename(path))[0]  # noqa: PTH119, PTH122
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        return []
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: list[Any] = []
    for key, value in vars(module).items():
        if key.startswith("test") and callable(value) and hasattr(value, "__code__") and not value.__code__.co_argcount:
            test = unittest.FunctionTestCase(value)
            test.id = lambda key=key: f"{name}.{key}"  # type: ignore[method-assign]
            found.append(test)
    return found


def run(task: dict[str, Any], reporter: Reporter) -> int:
    """`python -m unittest ARGS`; `end` is written last."""
    runner = _Runner(task, reporter, verbosity=1)
    program = unittest.TestProgram(
        module=None,
        argv=["python -m unittest", *task["args"]],
        testRunner=runner,
        exit=False,
    )
    result = program.result
    status = 0 if result.wasSuccessful() else 1
    if status == 0 and not result.testsRun and not result.skipped:
        status = 5  # as Python >= 3.12 has it
    reporter.write("end", code=status)
    return status
