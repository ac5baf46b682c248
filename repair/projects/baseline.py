"""All tests of an unchanged tree, run twice, a third time where the two differ: what fails, passes, and is flaky.

Owns the opening of a project's suite and the verdicts on a repository whose tests cannot be used. Knows nothing of
faults. Hash seeds are fixed, so that the same code gives the same failures.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from repair.errors import InputError, OracleError
from repair.oracles.commands import TestCommand, Tool, parse_command
from repair.oracles.interpreters import Interpreter, environment_folders, find_python
from repair.oracles.judging import FAILED, ONLY_WHOLE, Settled, settle
from repair.oracles.suites import Place, Selection, Suite, SuiteRun, open_suite
from repair.projects.refusals import refused_by
from repair.projects.values import Project, Refusal, Standing
from repair.sandbox import MIB, Limits, Sandbox
from repair.verdicts import Outcome, TestResult
from repair.workspace import LINKED, workspace

WHOLE_LIMITS = Limits(
    wall_seconds=900.0, cpu_seconds=900.0, memory_bytes=4096 * MIB, processes=512, disk_bytes=2048 * MIB,
    output_bytes=8 * MIB,
)  # fmt: skip
_HANGING_SECONDS = 60.0
_HANGING_SHARE = 4  # a single test hangs after this part of what all may take
_PYTHONS = (Tool.PYTEST, Tool.UNITTEST, Tool.PYTHON)
_MISSING = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")
_FIXTURE = re.compile(r"fixture '\w+' not found")
_LEAVE_OUT = "leave that test out with --test"
_SHOWN = 300  # characters of what was printed

Refuser = Callable[[str], Refusal | None]
"""Tells from a text whether it speaks of what is missing around the code: packages, the network, a service."""


def environment_of(paths: Iterable[str], absent: Iterable[str] = (), pointers: Iterable[str] = ()) -> Refuser:
    """The Refuser of a project with these files: what `repair.projects.refusals` knows, and missing packages.

    `absent` and `pointers` as of a Project.
    """
    own = {part for path in paths for part in path.removeprefix("src/").removesuffix(".py").split("/")[:1]}
    own |= {"conftest", "test", "tests"}

    def ours(module: str) -> bool:
        return module.partition(".")[0] in own

    def refuser(text: str) -> Refusal | None:
        if refusal := refused_by(text, own=ours, absent=absent, pointers=pointers):
            return refusal
        if "FixtureLookupError" in text or _FIXTURE.search(text):
            reason = "a fixture of the tests is not there; install the plugin of pytest that brings it"
            return Refusal(Standing.NO_ENVIRONMENT, reason)
        missing = next((name for name in _MISSING.findall(text) if not ours(name)), "")
        if not missing:
            return None
        package = missing.partition(".")[0]
        reason = f"{package} is not installed for the tests; name it among the requirements, or give --python"
        return Refusal(Standing.NO_ENVIRONMENT, reason)

    return refuser


@dataclass(frozen=True, slots=True)
class Tests:
    """A project's tests made ready, on a copy of its tree at `root`."""

    __test__ = False

    suite: Suite
    command: TestCommand
    root: Path
    limits: Limits


@contextlib.contextmanager
def open_tests(project: Project, sandbox: Sandbox, limits: Limits) -> Generator[Tests]:
    """The tests of a project on a temporary copy; nothing of it is left at the end.

    Raises Refusal (the command or its interpreter cannot be had, the tree is too large), SandboxError.
    """
    with contextlib.ExitStack() as stack:
        try:
            command = parse_command(project.command)
            command = replace(command, env={"PYTHONHASHSEED": "0", **command.env})
            wanted = project.python is not None or command.tool in _PYTHONS
            python = Interpreter(Path("/bin/true"))
            if wanted:
                python = find_python(project.python, project.root, command.python)
            root = stack.enter_context(workspace(project.root, max_bytes=limits.disk_bytes // 2))
            linked = tuple((name, p.resolve()) for name in LINKED if (p := project.root / name).is_dir())
            folders = environment_folders(python, project.root.resolve()) if wanted else ()
            readable = tuple(target for _, target in linked)
            place = Place(sandbox, root, python, limits, readable, folders, linked)
            suite = stack.enter_context(open_suite(place, command))
        except InputError as error:
            raise Refusal(Standing.TOO_LARGE, f"{error}; name a smaller part of the repository") from error
        except OracleError as error:
            raise Refusal(Standing.NO_ENVIRONMENT, str(error)) from error
        yield Tests(suite, command, root, limits)


@dataclass(frozen=True, slots=True)
class Baseline:
    """The runs of an unchanged tree. `runs[0]` is the one whose messages are shown."""

    runs: tuple[SuiteRun, ...]
    settled: Settled
    notes: tuple[str, ...] = ()
    uncounted: frozenset[str] = field(default=frozenset())  # need what is not there: the network, a database

    @property
    def failed(self) -> tuple[TestResult, ...]:
        """Results of the first run for tests that fail in every run and count, by id."""
        wanted = self.settled.failing
        return tuple(
            sorted((t for t in self.runs[0].observation.tests if t.test_id in wanted), key=lambda t: t.test_id)
        )

    @property
    def hung(self) -> frozenset[str]:
        """Tests of the first run that were ended because they had taken too long."""
        return _hung(self.runs[0])

    @property
    def collected(self) -> int:
        """How many tests there are."""
        return len(self.runs[0].report.collected or ()) or len(self.runs[0].observation.tests)


def take_baseline(tests: Tests, refuser: Refuser) -> Baseline:
    """Run everything as often as is needed. Raises Refusal where nothing follows for a repair, SandboxError."""
    hanging = min(_HANGING_SECONDS, tests.limits.wall_seconds / _HANGING_SHARE)
    first = _usable(tests, Selection(test_seconds=hanging), refuser)
    again = Selection(terse=True, test_seconds=min(hanging, _hanging_after(first)) if _hung(first) else hanging)
    runs = [first, _usable(tests, again, refuser)]
    settled = settle(run.observation for run in runs)
    if settled.flaky:
        runs.append(_usable(tests, again, refuser))
        settled = settle(run.observation for run in runs)
    return Baseline(tuple(runs), settled)


def _hung(run: SuiteRun) -> frozenset[str]:
    return frozenset(test for test, trace in run.report.traces.items() if trace.error_type == "Timeout")


def _hanging_after(run: SuiteRun) -> float:
    """Seconds after which a test hangs, once it is known how long the others take."""
    others = [t.seconds for t in run.observation.tests if t.outcome is Outcome.PASSED]
    return max(5.0, 5 * max(others, default=0.0))


def without(baseline: Baseline, refuser: Refuser, ours: Callable[[TestResult], bool]) -> Baseline:
    """The baseline without failing tests that need what is not there, which a note names.

    `ours` says whether a failure leads into a source of the project: then a missing module is a fault of it.
    """
    away: dict[Standing, list[str]] = {}
    for result in baseline.failed:
        refusal = refuser(result.message)
        around = refusal and refusal.standing in (Standing.NEEDS_NETWORK, Standing.NEEDS_SERVICE)
        if refusal and (around or not ours(result)):
            away.setdefault(refusal.standing, []).append(result.test_id)
    names = frozenset(name for found in away.values() for name in found)
    if not names:
        return baseline
    words = {
        Standing.NEEDS_NETWORK: "need the network",
        Standing.NEEDS_SERVICE: "need a service",
        Standing.UNREADABLE: "need files that they do not get here",
    }
    notes = tuple(
        f"{_counted(found)} {words.get(standing, 'need what is not installed')} and are not counted"
        for standing, found in sorted(away.items())
    )
    settled = replace(baseline.settled, failing=baseline.settled.failing - names)
    return replace(baseline, settled=settled, notes=(*baseline.notes, *notes), uncounted=names)


def _counted(names: list[str]) -> str:
    shown = ", ".join(names[:2]) + ", ..." * (len(names) > 2)
    return f"{len(names)} failing test{'s' * (len(names) != 1)} ({shown})"


def nothing_fails(baseline: Baseline) -> Refusal:
    """Why there is nothing to repair where no test fails every time."""
    also = "".join(f"; {note}" for note in baseline.notes)
    flaky = sorted(baseline.settled.flaky)
    failed_once = [t for t in flaky if any(t in run.observation.ids(*FAILED) for run in baseline.runs)]
    if failed_once:
        names = ", ".join(failed_once[:5]) + ", ..." * (len(failed_once) > 5)
        return Refusal(Standing.FLAKY, f"what fails passes in other runs of the same code: {names}{also}")
    if not baseline.runs[0].observation.passed and not baseline.uncounted:
        also += f"; yet the test command ends with failure: {_last_line(baseline.runs[0].observation.output)}"
    return Refusal(Standing.HEALTHY, f"all {len(baseline.settled.passing)} tests pass{also}")


def _usable(tests: Tests, selection: Selection, refuser: Refuser) -> SuiteRun:
    run = tests.suite.run({}, tests.limits, selection)
    if run.infrastructure:
        run = tests.suite.run({}, tests.limits, selection)
    if refusal := refusal_of(run, refuser):
        raise refusal
    return run


def refusal_of(run: SuiteRun, refuser: Refuser) -> Refusal | None:
    """Why a run of the unchanged tree is of no use, None when it is."""
    report, seen = run.report, run.observation
    if report.missing:
        return Refusal(Standing.NO_ENVIRONMENT, run.fault)
    if run.fault:
        nothing = (report.collected == () or "finds no tests" in run.fault) and not seen.tests
        known = refuser(seen.output)
        return known or Refusal(Standing.NO_TESTS if nothing else Standing.BROKEN_BUILD, run.fault)
    if report.unusable is not None and not seen.tests:
        return None  # a conftest.py that cannot be imported: a fault, perhaps
    if run.left_early and report.collected is None and not seen.tests:
        told = _last_line(seen.output)
        return refuser(seen.output) or Refusal(Standing.BROKEN_BUILD, f"the tests do not start: {told}")
    return _unended(run)


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.split("\n")) if line.strip()), "nothing is printed")[:_SHOWN]


def _unended(run: SuiteRun) -> Refusal | None:
    """Where the run did not come to its end."""
    seen = run.observation
    if run.infrastructure:
        reason = f"the process that runs the tests was killed, twice{_while(run)}; {_LEAVE_OUT}"
        return Refusal(Standing.HOSTILE, reason)
    if run.left_early:
        reason = f"{seen.reason}{_while(run)}; what comes after it cannot be judged: {_LEAVE_OUT}"
        return Refusal(Standing.HOSTILE, reason)
    if seen.complete:
        return None
    slow = "did not end" in seen.reason or "CPU time" in seen.reason
    advice = "name fewer tests with --test, or raise run_seconds of its bounds" if slow else _LEAVE_OUT
    return Refusal(
        Standing.OVER_BUDGET if slow else Standing.HOSTILE, f"{seen.reason}{_while(run)}; {advice}"
    )  # fmt: skip


def _while(run: SuiteRun) -> str:
    """What ran when it ended: the first collected test that has no result."""
    ended = {t.test_id for t in run.observation.tests}
    running = next((t for t in run.report.collected or () if t not in ended), "")
    return f" while {running} ran" if running else ""


def all_fail(baseline: Baseline, refuser: Refuser, ours: Callable[[TestResult], bool]) -> Refusal | None:
    """Where nothing passes: whether that is for what lies around the code. None where a source of ours is why."""
    if baseline.settled.passing or not baseline.settled.failing:
        return None
    run = baseline.runs[0]
    results = baseline.failed
    if any(ours(t) for t in results):
        known = [refuser(t.message) for t in results if t.outcome in FAILED]
        return next((r for r in known if r), None) if all(known) else None
    text = "\n".join((*(t.message for t in results), run.observation.output))
    if refusal := refuser(text):
        return refusal
    if baseline.settled.failing == ONLY_WHOLE or any(_ran(t) for t in results):
        return None
    reason = "no test can be collected, and no source of the project is why"
    return Refusal(Standing.BROKEN_BUILD, f"{reason}: {_last_line(text)}")


def _ran(result: TestResult) -> bool:
    """Whether it is a test, and not a file that could not be collected."""
    return not result.test_id.startswith("import of ") and ("::" in result.test_id or ".py" not in result.test_id)
