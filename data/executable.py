"""Executable mutants: faults in a real project that its own tests notice, with the failure that was really seen.

A mutant is kept if and only if a test that passed before now fails and another still passes (SWE-smith, Yang et al.
2025). Owns the plan (which faults in which order, by seed alone) and the three forms of what is kept: a Record, a
repository task, and a suite row where the function runs alone. Must not know how tests are run: `testbed` does.
"""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data.executed import Runner, observed, suite_row, tested
from data.mutant_plan import Mutant, plan, source_files
from data.mutants import example
from data.records import ErrorOrigin, Origin, Record
from data.standalone import Module
from data.testbed import Breakage, Failure, Ground, Testbed, open_testbed
from data.testtext import test_text
from repair.errors import InputError
from repair.oracles.tests import TEST_LIMITS
from repair.sandbox import Limits, Sandbox, Tier
from repair.sandboxes.select import find_sandbox
from repair.sources import Source

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")
_FRAMES = 3
_OTHER_TESTS = 25
Report = Callable[[str, str], None]  # kind ("stage", "tried", "kept"), text


@dataclass(frozen=True, slots=True)
class ExecuteOptions:
    """What to break and how far to go. `sources` are patterns of paths; without any, all files that are no tests."""

    project: Path
    command: str = "python -m pytest -q"
    python: Path | None = None  # interpreter or virtual environment of the tests
    sources: tuple[str, ...] = ()
    mutants: int = 100  # kept ones to make in this call
    attempts: int = 0  # tried ones at most in this call; 0: ten for each kept one asked for
    each: int = 8  # tried ones of one function at most
    seed: int = 0
    whole: bool = False  # run every test of each mutant that is noticed; else those that reach it and 25 others
    slowest: float = 0.0  # tests that take more seconds are left out (0: none; a test near it comes and goes)
    seconds: float = 0.0  # no mutant is begun after so long; 0: no bound
    limits: Limits = field(default=TEST_LIMITS)  # of one run of the unchanged code
    tier: Tier = Tier.B  # the weakest sandbox accepted
    unsafe: bool = False
    skip: frozenset[str] = frozenset()  # ids tried in earlier calls with the same seed
    repository: str = ""  # default: the directory's name
    revision: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        for name, least in (("mutants", 1), ("attempts", 0), ("each", 1), ("seconds", 0), ("slowest", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}; at least {least} is needed", field=name)

    @property
    def package(self) -> str:
        """The name of the project in ids and records."""
        return self.repository or self.project.resolve().name

    @property
    def most(self) -> int:
        """How many mutants may be tried."""
        return self.attempts or 10 * self.mutants


@dataclass(frozen=True, slots=True)
class Kept:
    """A mutant that tests notice, in its three forms; `suite` is None where the function does not run alone."""

    id: str
    record: Record
    task: Mapping[str, object]
    suite: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class ExecuteResult:
    """All that a call kept, how many mutants ended how (`counts["kept"]` among them), and every id tried."""

    kept: tuple[Kept, ...]
    counts: Mapping[str, int]
    tried: tuple[str, ...]
    seconds: float


def _silent(kind: str, text: str) -> None:
    """Reports to nobody."""


def execute(options: ExecuteOptions, report: Report = _silent) -> ExecuteResult:
    """Everything at once. Raises OracleError (tests that cannot be run), InputError, SandboxError."""
    counts, tried = Counter[str](), list[str]()
    began = time.monotonic()

    def listen(kind: str, text: str) -> None:
        if kind == "tried":
            name, _, reason = text.partition(" ")
            tried.append(name)
            counts[reason] += 1
        report(kind, text)

    kept = tuple(executable_mutants(options, listen))
    return ExecuteResult(kept, counts, tuple(tried), time.monotonic() - began)


def executable_mutants(options: ExecuteOptions, report: Report = _silent) -> Iterator[Kept]:
    """Mutants kept, as they come. For each tried one `report("tried", "ID REASON")` is called, kept or not.

    The plan depends on the seed and the project alone: calls with `skip` go on where earlier ones ended. Close the
    iterator to stop early; no process and no file is left. Raises as `execute` does.
    """
    sandbox = find_sandbox(options.tier, unsafe=options.unsafe)
    yield from _in_sandbox(options, sandbox, report)


def _in_sandbox(options: ExecuteOptions, sandbox: Sandbox, report: Report) -> Iterator[Kept]:
    began = time.monotonic()
    files = source_files(options.project, options.sources)
    left = options.mutants
    runner = Runner()
    with open_testbed(
        options.project, options.command, sandbox, python=options.python, limits=options.limits
    ) as testbed:
        report("stage", f"runs the tests of {options.project.name} twice, and once for coverage")
        ground = testbed.survey(files, slowest=options.slowest)
        told = (
            f"{len(ground.passing)} tests pass every time, {len(ground.left_out)} do not; {ground.seconds:.1f} s a run"
        )
        report("stage", told)
        try:
            for mutant in _fresh(options, files, ground):
                if left < 1 or (options.seconds and time.monotonic() - began > options.seconds):
                    break
                found = testbed.judge(
                    mutant.source, mutant.tests, _others(options, mutant, ground), first=options.whole
                )
                kept = _kept(options, mutant, found, testbed, runner)
                report("tried", f"{mutant.id} {'kept' if kept else found.reason}")
                if kept:
                    left -= 1
                    yield kept
        finally:
            runner.close()


def _others(options: ExecuteOptions, mutant: Mutant, ground: Ground) -> frozenset[str]:
    """Tests that a mutant is run on beside those that reach it, of the same test files where there are enough."""
    if options.whole:
        return ground.passing
    files = {test.partition("::")[0] for test in mutant.tests}
    rest = sorted(ground.passing - mutant.tests)
    near = [test for test in rest if test.partition("::")[0] in files]
    from_ = near if len(near) >= _OTHER_TESTS else rest
    return frozenset(random.Random(mutant.id).sample(from_, min(_OTHER_TESTS, len(from_))))


def _fresh(options: ExecuteOptions, files: Sequence[Source], ground: Ground) -> Iterator[Mutant]:
    """Planned mutants without those tried before, at most `most`."""
    left = options.most
    for mutant in plan(files, ground, package=options.package, seed=options.seed, each=options.each):
        if mutant.id in options.skip:
            continue
        if left < 1:
            return
        left -= 1
        yield mutant


def _kept(options: ExecuteOptions, mutant: Mutant, found: Breakage, testbed: Testbed, runner: Runner) -> Kept | None:
    if found.failure is None:
        return None
    error = _ADDRESS.sub("0x...", found.failure.error)
    record = _record(options, mutant, found, found.failure, error, testbed.root)
    return Kept(mutant.id, record, _task(options, mutant, found, error), _suite(options, mutant, runner))


def _record(
    options: ExecuteOptions, mutant: Mutant, found: Breakage, failure: Failure, error: str, root: Path
) -> Record:
    unit, first = mutant.unit, mutant.unit.function.first_line
    count = mutant.text.count("\n")
    lines = dict.fromkeys(f.line - first + 1 for f in failure.frames if f.path == unit.source.path)
    return Record(
        language=unit.source.language,
        buggy=mutant.text,
        fixed=unit.text,
        origin=Origin.MUTANT,
        path=unit.source.path,
        first_line=first,
        function=unit.function.qualified_name,
        context=unit.context,
        bug_classes=(mutant.fault.bug_class,),
        operators=(mutant.fault.operator,),
        error=error,
        error_type=failure.error_type,
        error_origin=ErrorOrigin.EXECUTED,
        frames=tuple(n for n in lines if 1 <= n <= count)[:_FRAMES],
        test=test_text(root, found.fail_to_pass, failure),
        repository=unit.package,
        revision=options.revision,
        licence=options.licence,
        reasons=(f"breaks {len(found.fail_to_pass)} tests",),
    )


def _task(options: ExecuteOptions, mutant: Mutant, found: Breakage, error: str) -> dict[str, object]:
    return {
        "id": f"{mutant.unit.package}/{mutant.id}",
        "path": mutant.source.path,
        "buggy_file": mutant.source.text,
        "fixed_file": mutant.unit.source.text,
        "test_command": options.command,
        "fail_to_pass": list(found.fail_to_pass),
        "pass_to_pass": list(found.pass_to_pass),
        "error": error,
        "bug_type": mutant.fault.bug_class,
        "license": options.licence,
    }


def _suite(options: ExecuteOptions, mutant: Mutant, runner: Runner) -> dict[str, object] | None:
    """A row of our suite format, where the function runs alone and drawn calls notice the fault too."""
    if mutant.unit.source.language != "python":
        return None
    module = Module.of(mutant.unit.source.text)
    draw = random.Random(f"{options.seed}:{mutant.id}")
    case = tested(mutant.unit, module, runner, draw) if module else None
    made = example(mutant.unit, [mutant.fault], draw) if case else None
    if case is None or made is None:
        return None
    seen = observed(made, case, mutant.text, runner, draw)
    if seen is None:
        return None
    return {**suite_row(seen, 0), "id": f"{mutant.unit.package}/{mutant.id}", "license": options.licence}
