"""Measure a repository task: check it out, check the task itself, repair it by its own tests, decide the patch.

The repair reads the tree of `buggy_commit`, the tests (those that the fix brings or changes are laid over that tree)
and `error`. What the fix changes otherwise is read here only. A user's checkout is never touched: all happens in
temporary clones.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from pathlib import Path

from eval.checkouts import Trees, all_sources, checked_out, default_cache, is_file
from eval.faults import function_rank
from eval.measurement import Conditions, Decided, Measurement, Status, stop_of
from eval.suites.cases import RepositoryTask
from repair.defects import Budget, Defect, Location, RepairRequest
from repair.diffs import render_diff
from repair.edits import Patch
from repair.errors import BoundaryError, InputError, NothingToRepair, OracleError
from repair.languages import tree_key
from repair.model import Model
from repair.oracles.judging import ONLY_WHOLE, WHOLE, ended_ids
from repair.oracles.tests import TestOracle
from repair.pipeline import CandidateJudged, Finished, Options, SuspectsFound, repair
from repair.sandbox import Sandbox
from repair.search import SearchOptions
from repair.sources import Source, language_of, read_source
from repair.traces import owned_frames, parse_error
from repair.verdicts import Cost, Judgement, Observation, Outcome, Suspect, Verdict

CHECK_RUNS = 3
_GIVEN = "given"


@dataclass(slots=True)
class _Seen:
    """What a repair told, in its order."""

    sources: tuple[Source, ...]
    suspects: tuple[Suspect, ...] = ()
    plausible: list[tuple[int, Patch]] = field(default_factory=list[tuple[int, Patch]])
    judged: int = 0
    verdicts: Counter[str] = field(default_factory=Counter[str])
    chosen: Patch | None = None
    cost: Cost = field(default_factory=Cost)
    runs: int = 0  # of the tests, to find the files that may be at fault
    seconds: float = 0.0


def measure_repository(
    task: RepositoryTask, model: Model | None, sandbox: Sandbox, conditions: Conditions, *, cache: Path | None = None
) -> Measurement:
    """Check, repair and judge one task. Never raises for what a repository, a program or a boundary does.

    Remote repositories are cloned into `cache`, by default $XDG_CACHE_HOME/emend/repositories.
    """
    try:
        with checked_out(task, cache or default_cache()) as trees:
            if reason := unfit(task, trees, sandbox):
                return _measurement(task, Status.LEFT_OUT, reason)
            return _scored(task, trees, _repaired(task, trees, model, sandbox, conditions), conditions)
    except InputError as error:
        return _measurement(task, Status.LEFT_OUT, str(error))
    except (BoundaryError, NothingToRepair) as error:
        return _measurement(task, Status.UNSCORED, str(error))
    except OSError as error:
        return _measurement(task, Status.UNSCORED, f"{error.filename or task.repo}: {error.strerror or error}")


def _measurement(task: RepositoryTask, status: Status, reason: str = "") -> Measurement:
    language = language_of(task.sources[0]) if task.sources else ""
    groups = {"project": Path(task.repo).name, **({"bug_type": task.bug_type} if task.bug_type else {})}
    return Measurement(
        id=task.id, status=status, reason=reason, language=language, bug_type=task.bug_type or "", digest=task.digest,
        groups=groups,
    )  # fmt: skip


def check_repository(task: RepositoryTask, sandbox: Sandbox, *, cache: Path | None = None) -> str:
    """Why the task measures nothing, "" when it is sound. Raises BoundaryError."""
    try:
        with checked_out(task, cache or default_cache()) as trees:
            return unfit(task, trees, sandbox)
    except InputError as error:
        return str(error)


def _oracle(
    task: RepositoryTask, project: Path, sandbox: Sandbox, sources: tuple[Source, ...], tests: dict[str, bytes]
) -> TestOracle:
    python = Path(task.python) if task.python else None
    listed = frozenset((*task.fail_to_pass, *task.pass_to_pass))
    only = None if listed == ONLY_WHOLE else listed
    return TestOracle(project, sources, sandbox, task.test_command, tests, python=python, only=only)


def unfit(task: RepositoryTask, trees: Trees, sandbox: Sandbox) -> str:
    """Why the task measures nothing, "" when it is sound. Raises SandboxError.

    Three runs each: on the fixed commit all listed tests pass, on the buggy one those of `fail_to_pass` do not.
    """
    failing, passing = frozenset(task.fail_to_pass), frozenset(task.pass_to_pass)
    states = [("buggy", trees.buggy, passing, failing, trees.tests)]
    if trees.fixed is not None:
        states.insert(0, ("fixed", trees.fixed, failing | passing, frozenset[str](), {}))
    for name, project, good, bad, tests in states:
        try:
            with _oracle(task, project, sandbox, (), tests).open() as bench:
                runs = [bench.observe() for _ in range(CHECK_RUNS)]
        except OracleError as error:
            return f"on the {name} commit the tests cannot be run: {error}"
        if reason := unlike(runs, good, bad):
            return f"on the {name} commit {reason}"
    return ""


def unlike(runs: Sequence[Observation], good: frozenset[str], bad: frozenset[str]) -> str:
    """In what the runs are not as the task says, "" where all of `good` pass and none of `bad` does."""
    if WHOLE not in good | bad and not any(run.tests for run in runs):
        said = next((run.reason for run in runs if run.reason), "")
        return f"the test command tells no single tests ({said}); name {WHOLE!r} in fail_to_pass where it cannot"
    for test in sorted(good | bad):
        passed = sum(test in ended_ids(run, Outcome.PASSED) for run in runs)
        if 0 < passed < len(runs):
            return f"{test} is flaky: it passes in {passed} of {len(runs)} runs"
        if passed and test in bad:
            return f"{test} passes, it should fail"
        if not passed and test in good:
            ran = any(test == result.test_id for run in runs for result in run.tests)
            return f"{test} {'fails' if ran or test == WHOLE else 'does not exist'}, it should pass"
    return ""


def _suspected(
    task: RepositoryTask, trees: Trees, sandbox: Sandbox, conditions: Conditions
) -> tuple[tuple[Source, ...], int]:
    """The sources that may be changed, and how often tests were run to find them.

    Those that the task names; else those that the failures' tracebacks name; where they lie in tests only, as of a
    failed assertion, those that the failing tests execute. Raises InputError when a named one does not exist.
    """
    if conditions.location == _GIVEN and trees.changed:
        return tuple(read_source(trees.buggy, path) for path in trees.changed if is_file(trees.buggy / path)), 0
    if task.sources:
        return tuple(read_source(trees.buggy, path) for path in task.sources), 0
    everything = all_sources(trees.buggy)
    with _oracle(task, trees.buggy, sandbox, everything, trees.tests).open() as bench:
        baseline = bench.baseline()
        runs = bench.runs
    evidence = (*(parse_error(task.error).evidence if task.error else ()), *baseline.evidence)
    named = {path for _, path, _ in owned_frames(evidence, tuple(s.path for s in everything))}
    if not named and baseline.spectrum is not None:
        named = {path for path, _ in baseline.spectrum.executed_failing}
    return tuple(source for source in everything if source.path in named) or everything, runs


def _request(task: RepositoryTask, trees: Trees, sources: tuple[Source, ...], conditions: Conditions) -> RepairRequest:
    location = None
    if conditions.location == _GIVEN and len(trees.changed) == 1 and sources:
        lines = sorted(line for _, line in _fault_lines(trees))
        location = Location(sources[0].path, lines[0], lines[-1]) if lines else None
    defect = parse_error(task.error) if task.error else Defect()
    return RepairRequest(sources, defect, Budget(conditions.candidates, conditions.seconds), location)


def _repaired(
    task: RepositoryTask, trees: Trees, model: Model | None, sandbox: Sandbox, conditions: Conditions
) -> _Seen:
    started = time.monotonic()
    sources, runs = _suspected(task, trees, sandbox, conditions)
    request = _request(task, trees, sources, conditions)
    oracle = _oracle(task, trees.buggy, sandbox, sources, trees.tests)
    options = Options(search=SearchOptions(order=conditions.order, seed=conditions.seed), extra=conditions.extra)
    seen = _Seen(sources, runs=runs)
    for event in repair(request, model, oracle, options=options):
        match event:
            case SuspectsFound(suspects=suspects):
                seen.suspects = suspects
            case CandidateJudged(number=number, judgement=judgement):
                seen.judged = number
                seen.verdicts[judgement.verdict.value] += 1
                if _passes(task, judgement):
                    seen.plausible.append((number, judgement.candidate.patch))
            case Finished(result=result):
                chosen = result.chosen
                seen.chosen = chosen.candidate.patch if chosen and _passes(task, chosen) else None
                seen.cost = result.cost
    seen.seconds = time.monotonic() - started
    return seen


def _passes(task: RepositoryTask, judgement: Judgement) -> bool:
    """Whether it is plausible and each listed test was seen to pass in its last run, which is of all tests."""
    if judgement.verdict is not Verdict.PLAUSIBLE:
        return False
    return {*task.fail_to_pass, *task.pass_to_pass} <= ended_ids(judgement.observations[-1], Outcome.PASSED)


def _scored(task: RepositoryTask, trees: Trees, seen: _Seen, conditions: Conditions) -> Measurement:
    chosen, sources = seen.chosen, {source.path: source for source in seen.sources}
    correct = {patch: is_reference(patch, seen.sources, trees) for _, patch in seen.plausible}
    changed = chosen.paths if chosen else tuple(sources)
    first = seen.plausible[0][0] if seen.plausible else None
    faulty = _fault_lines(trees)
    return replace(
        _measurement(task, Status.NONE_FOUND if chosen is None else Status.REPAIRED),
        correct=False if chosen is None else correct.get(chosen),
        first_plausible=first,
        stop=stop_of(conditions, seen.judged, first, seen.cost.seconds),
        verdicts=dict(sorted(seen.verdicts.items())),
        first_correct=next((number for number, patch in seen.plausible if correct[patch]), None),
        decided_by=Decided.TREE if chosen and correct.get(chosen) else Decided.NOTHING,
        plausible_count=len(seen.plausible),
        correct_count=sum(right is True for right in correct.values()),
        judged=seen.judged,
        suspects=tuple(s.line for s in seen.suspects[:10]),
        confidence=seen.suspects[0].suspiciousness if seen.suspects else None,
        fault_lines=tuple(sorted({line for _, line in faulty})),
        function_rank=function_rank(sources, [(s.path, s.line) for s in seen.suspects], faulty),
        fault_rank=_fault_rank(seen.suspects, faulty),
        wall_seconds=round(seen.seconds, 3),
        test_runs=seen.cost.test_runs + seen.runs,
        prompt_tokens=seen.cost.prompt_tokens,
        completion_tokens=seen.cost.completion_tokens,
        diff=render_diff(chosen, sources) if chosen else "",
        language=sources[changed[0]].language,
    )


def is_reference(patch: Patch, sources: Sequence[Source], trees: Trees) -> bool | None:
    """True when every source that the patch or the fix changes has the fixed commit's syntax tree; else unknown."""
    if trees.fixed is None:
        return None
    texts = patch.apply({source.path: source.text for source in sources if source.path in patch.paths})
    for path in {*patch.paths, *trees.changed}:
        if not (is_file(trees.buggy / path) and is_file(trees.fixed / path)):
            return None
        mine, reference = read_source(trees.buggy, path), read_source(trees.fixed, path)
        if tree_key(mine.with_text(texts.get(path, mine.text))) != tree_key(reference):
            return None
    return True


def _fault_lines(trees: Trees) -> frozenset[tuple[str, int]]:
    """Lines of the buggy tree (1-based) that the fix changes or inserts before, with their path."""
    found: set[tuple[str, int]] = set()
    for path in trees.changed:
        if trees.fixed is None or not (is_file(trees.buggy / path) and is_file(trees.fixed / path)):
            continue
        before = read_source(trees.buggy, path).text.split("\n")
        after = read_source(trees.fixed, path).text.split("\n")
        for tag, start, end, _, _ in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
            if tag != "equal":
                found.update((path, line) for line in range(start + 1, max(end, start + 1) + 1))
    return frozenset(found)


def _fault_rank(suspects: Sequence[Suspect], lines: frozenset[tuple[str, int]]) -> int | None:
    return next((rank for rank, s in enumerate(suspects, 1) if (s.path, s.line) in lines), None)
