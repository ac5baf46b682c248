"""Suites: a project's tests, run once on a state of its files. One class per kind of runner.

A Suite turns (files, selection) into an Observation and the raw report. It knows nothing of candidates,
baselines or verdicts.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from repair.errors import OracleError
from repair.oracles.commands import TestCommand, Tool
from repair.oracles.interpreters import Interpreter
from repair.oracles.judging import FAILED, decoded, stopped_reason
from repair.oracles.junit import parse_junit
from repair.oracles.programs import INSIDE, killed_from_outside, prefix_of, task_file
from repair.oracles.reports import Report, read_report
from repair.sandbox import Command, Execution, Limits, Sandbox, Zygote
from repair.verdicts import Observation, Outcome

_CACHE_OPTIONS = (
    "--lf",
    "--last-failed",
    "--ff",
    "--failed-first",
    "--nf",
    "--new-first",
    "--sw",
    "--stepwise",
    "--cache",
)
_DISTRIBUTED = re.compile(r"(?:^|\s)(?:-n\s*=?\s*(?:\d|auto|logical)|--numprocesses)", re.M)
_CONFIGURATIONS = ("pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg", ".pytest.ini")
_WARM = {Tool.PYTEST: "emend_warm", Tool.UNITTEST: "emend_unittest"}
_UNSTARTED = 4  # pytest: wrong usage, or a conftest.py that cannot be imported


@dataclass(frozen=True, slots=True)
class Selection:
    """Which tests of a suite to run and how; everything, to the end, without tracing by default."""

    only: frozenset[str] | None = None
    stop_first: bool = False
    terse: bool = False  # print as little as possible
    trace: tuple[str, ...] = ()
    test_seconds: float = 0.0


EVERYTHING = Selection()


@dataclass(frozen=True, slots=True)
class SuiteRun:
    """One run. `fault` is why the suite itself cannot be used; `infrastructure` why nothing may be concluded."""

    observation: Observation
    report: Report = field(default_factory=Report)
    fault: str = ""
    infrastructure: str = ""
    left_early: bool = False  # the process ended before its runner did
    cpu_seconds: float = 0.0


class Suite(Protocol):
    """A project's tests."""

    @property
    def selects(self) -> bool:
        """Whether it can run some tests alone, and trace them."""
        ...

    def run(self, files: Mapping[str, bytes], limits: Limits, selection: Selection = EVERYTHING) -> SuiteRun:
        """Lay `files` over the project's copy and run. Raises SandboxError only."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a suite runs: the staged project, the interpreter, what else is readable, the bounds."""

    sandbox: Sandbox
    project: Path
    python: Interpreter
    limits: Limits
    readable: tuple[Path, ...] = ()
    paths: tuple[str, ...] = ()  # folders of the project that its environment puts on sys.path
    linked: tuple[tuple[str, Path], ...] = ()  # folders too large to copy, by their names in the project

    def linking(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        """`argv` after links to the folders that are not copied (a sandbox leaves links out that lead outside)."""
        for name, target in self.linked:
            argv = ("/bin/sh", "-c", 'ln -s "$1" "$2"; shift 2; exec "$@"', "sh", str(target), name, *argv)
        return argv


@contextlib.contextmanager
def open_suite(place: Place, command: TestCommand) -> Generator[Suite]:
    """The suite of a command. Raises OracleError when the command cannot exist here."""
    match command.tool:
        case Tool.PYTEST | Tool.UNITTEST | Tool.PYTHON:
            with _warm_python(place, command) as zygote:
                yield PythonSuite(place, command, zygote)
        case Tool.NODE_TEST:
            yield NodeSuite(place, command)
        case Tool.PROGRAM:
            yield ProgramSuite(place, command)


@contextlib.contextmanager
def _warm_python(place: Place, command: TestCommand) -> Generator[Zygote]:
    user_env = {name: value for name, value in command.env.items() if name != "PYTHONPATH"}
    env = {"PYTHONDONTWRITEBYTECODE": "1", **user_env, "PYTHONPATH": str(INSIDE)}
    warm = Command(
        (str(place.python.path),),
        project=place.project,
        env=env,
        readable=(INSIDE, *place.python.readable, *place.readable),
        limits=place.limits,
        report=True,
    )
    preload = ("emend_inside", "emend_trace", _WARM.get(command.tool, "traceback"))
    with place.sandbox.zygote(warm, preload=preload) as zygote:
        yield zygote


class PythonSuite:
    """pytest, unittest or one script under the user's Python, in forks of a warm interpreter."""

    def __init__(self, place: Place, command: TestCommand, zygote: Zygote) -> None:
        self._place, self._command, self._zygote = place, command, zygote
        self._task = self._common_task()

    @property
    def selects(self) -> bool:
        """A script is one test."""
        return self._command.tool is not Tool.PYTHON

    def run(self, files: Mapping[str, bytes], limits: Limits, selection: Selection = EVERYTHING) -> SuiteRun:
        """See Suite."""
        nonce = secrets.token_hex(16)
        task = task_file(nonce, **self._task, **self._selected(selection))
        execution = self._zygote.run({**files, **task}, ("-m", "emend_run"), limits)
        report = read_report(execution.report, nonce)
        return self._read(execution, report, limits)

    def _common_task(self) -> dict[str, object]:
        command = self._command
        own = [p for p in command.env.get("PYTHONPATH", "").split(os.pathsep) if p]
        task: dict[str, object] = {"cwd_on_path": command.cwd_on_path, "paths": [*own, *self._place.paths]}
        if command.tool is Tool.PYTHON:
            return {**task, "mode": "script", "script": command.args[0], "args": command.args[1:]}
        asked = _asked(self._place.project, command.args)
        return {
            **task,
            "mode": command.tool.value,
            "args": command.args,
            "functions": command.functions,
            "plain": not any(option in asked for option in _CACHE_OPTIONS),
            "measures": "--cov" in asked,
            "distributes": bool(_DISTRIBUTED.search(asked)),
        }

    def _selected(self, selection: Selection) -> dict[str, object]:
        if not self.selects:
            return {}
        only = None if selection.only is None else sorted(selection.only)
        files = {test_id.split("::")[0] for test_id in only or ()}
        return {
            "only": only,
            "files": sorted(files) if self._command.tool is Tool.PYTEST else [],
            "stop_first": selection.stop_first,
            "terse": selection.terse,
            "trace": selection.trace,
            "test_seconds": selection.test_seconds,
        }

    def _read(self, execution: Execution, report: Report, limits: Limits) -> SuiteRun:
        stopped = stopped_reason(execution, limits)
        ended = report.ended is not None and report.ended == execution.code
        outside = killed_from_outside(execution)
        early = not stopped and not ended and not outside
        bad = any(t.outcome in FAILED for t in report.tests)
        good = any(t.outcome is Outcome.PASSED for t in report.tests) or not self.selects
        passed = ended and not stopped and report.ended == 0 and not bad and good
        reason = "" if passed else self._reason(execution, report, stopped, early=early)
        observation = Observation(
            passed,
            report.tests,
            not stopped and not outside and not early,
            decoded(execution),
            execution.wall_seconds,
            reason,
        )
        fault = self._fault(execution, report)
        return SuiteRun(observation, report, fault, outside, left_early=early, cpu_seconds=execution.cpu_seconds)

    def _reason(self, execution: Execution, report: Report, stopped: str, *, early: bool) -> str:
        if stopped:
            return f"the test run {stopped}"
        if report.failure or report.broken:
            return (report.failure or report.broken).headline  # type: ignore[union-attr]
        if early:
            return f"the process ended with status {execution.code} before the test run did"
        return "" if self.selects else f"the script ended with status {execution.code}"

    def _fault(self, execution: Execution, report: Report) -> str:
        """Why these tests cannot be run at all, "" when they can."""
        python = self._place.python.path
        if report.missing:
            return (
                f"{report.missing} is not installed for {python}; "
                f"install it there ({python} -m pip install {report.missing}) or name another interpreter"
            )
        if _UNSTARTED in (report.unusable, report.ended) and b"while loading conftest" not in execution.stderr:
            told = [line for line in decoded(execution).split("\n") if line.strip()]
            return f"{self._command.shown} does not start: {told[-1].strip() if told else 'wrong usage'}"
        if report.collected == () and not report.tests:
            return f"{self._command.shown} collects no tests; name the test files in the command"
        return ""


def _asked(project: Path, args: tuple[str, ...]) -> str:
    """Where options of pytest may stand: the command line and the configuration files."""
    texts = [" ".join(args)]
    for name in _CONFIGURATIONS:
        with contextlib.suppress(OSError):
            texts.append((project / name).read_text("utf-8", "replace"))
    return "\n".join(texts)


class ProgramSuite:
    """Any command: its exit status alone speaks."""

    selects = False

    def __init__(self, place: Place, command: TestCommand) -> None:
        program = command.args[0]
        found = shutil.which(program) if os.sep not in program else str(place.project / program)
        if found is None or not Path(found).exists():
            raise OracleError(
                f"the test command {program!r} does not exist here; give one that runs in {place.project.name}"
            )
        readable = (*prefix_of(Path(found)), *place.python.readable, *place.readable)
        self._command = Command(
            place.linking((program if os.sep in program else found, *command.args[1:])),
            project=place.project,
            env={**_path_with(place.python), **command.env},
            readable=readable,
        )
        self._sandbox = place.sandbox

    def run(self, files: Mapping[str, bytes], limits: Limits, selection: Selection = EVERYTHING) -> SuiteRun:  # noqa: ARG002  (Suite)
        """See Suite; `selection` has no meaning here."""
        execution = self._sandbox.run(replace(self._command, files=files, limits=limits))
        stopped = stopped_reason(execution, limits)
        outside = killed_from_outside(execution)
        passed = not stopped and execution.code == 0
        reason = f"the test run {stopped}" if stopped else "" if passed else f"it ended with status {execution.code}"
        fault = ""
        if execution.code in (126, 127) and not stopped:
            told = execution.stderr.decode("utf-8", "replace").strip().split("\n")[-1]
            fault = f"the test command cannot be run ({told or execution.code}); give one that works in the project"
        observation = Observation(
            passed, (), not stopped and not outside, decoded(execution), execution.wall_seconds, reason
        )
        return SuiteRun(observation, fault=fault, infrastructure=outside, cpu_seconds=execution.cpu_seconds)


def _path_with(python: Interpreter) -> dict[str, str]:
    """PATH as the user's, the chosen interpreter first."""
    return {"PATH": os.pathsep.join((str(python.path.parent), os.environ.get("PATH", os.defpath)))}


class NodeSuite:
    """`node --test`, reporting JUnit XML over the report pipe, which the test files' own processes do not inherit."""

    selects = False

    def __init__(self, place: Place, command: TestCommand) -> None:
        node = shutil.which("node")
        if node is None:
            raise OracleError("node is not installed; it is needed to run these tests")
        reporter = "--test-reporter=junit --test-reporter-destination=stdout"
        words = [w for w in command.args[1:] if not w.startswith("--test-reporter")]
        spec = "--test-reporter=spec --test-reporter-destination=stderr"
        script = f'n=$1; shift; exec "$n" {reporter} {spec} "$@" >&"$EMEND_REPORT_FD"'
        self._command = Command(
            place.linking(("/bin/bash", "-c", script, "bash", node, *words)),
            project=place.project,
            env=command.env,
            readable=(*prefix_of(Path(node)), *place.readable),
            report=True,
        )
        self._sandbox = place.sandbox

    def run(self, files: Mapping[str, bytes], limits: Limits, selection: Selection = EVERYTHING) -> SuiteRun:  # noqa: ARG002  (Suite)
        """See Suite; Node cannot select tests by id, so all of them run."""
        execution = self._sandbox.run(replace(self._command, files=files, limits=limits))
        stopped = stopped_reason(execution, limits)
        outside = killed_from_outside(execution)
        tests = parse_junit(execution.report)
        early = tests is None and not stopped and not outside
        bad = any(t.outcome in FAILED for t in tests or ())
        passed = not stopped and bool(tests) and execution.code == 0 and not bad
        reason = f"the test run {stopped}" if stopped else "the test run ended without a report" if early else ""
        observation = Observation(
            passed, tests or (), not (stopped or outside or early), decoded(execution), execution.wall_seconds, reason
        )
        fault = "node --test finds no tests; name the test files in the command" if tests == () and not stopped else ""
        seconds = execution.cpu_seconds
        return SuiteRun(observation, fault=fault, infrastructure=outside, left_early=early, cpu_seconds=seconds)
