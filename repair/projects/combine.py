"""Lays all fixes of a repository over each other and runs everything on that.

Fixes are taken in their order; one that does not fit with those before it is left out, and so is one that is fine by
itself and breaks something together with others: found by running, never guessed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from repair.candidates import Candidate
from repair.diffs import diff_paths, parse_diff, render_diff
from repair.edits import Edit, FilePatch, Patch, Span
from repair.errors import InputError, OracleError, PatchError
from repair.oracles.judging import patched_sources
from repair.projects.bench import ProjectBench, ProjectOracle, Tally
from repair.projects.reproduce import confirm
from repair.projects.values import Combination, Fix, Groundwork, Project, Spent, State
from repair.sandbox import Sandbox
from repair.sources import Source, read_source
from repair.verdicts import Verdict

_RUNS = 16  # whole runs that finding the guilty fixes may take


@dataclass(frozen=True, slots=True)
class _Laid:
    """A fix as a patch of the unchanged tree."""

    fix: Fix
    patch: Patch


def combine(project: Project, fixes: Sequence[Fix], groundwork: Groundwork, sandbox: Sandbox) -> Combination:
    """The FIXED ones together. Zero or one needs no run: it was judged alone.

    A combination passes when each of its fixes' tests passes and no test that passed before does not, seen in a whole
    run; tests that were written for a report, which the tree lacks, are run by themselves.
    Raises SandboxError when that boundary breaks.
    """
    started, tally = time.monotonic(), Tally()
    sources, left_out = _sources(project.root, fixes), list[tuple[str, str]]()
    kept: list[_Laid] = []
    for fix in (f for f in fixes if f.state is State.FIXED):
        try:
            patch = parse_diff(fix.diff, {path: sources[path] for path in diff_paths(fix.diff)})
            merged([*(laid.patch for laid in kept), patch])
        except KeyError as error:
            left_out.append((fix.fault, f"{error.args[0]} cannot be read"))
        except InputError as error:
            against = _against(kept, fix, sources)
            left_out.append((fix.fault, f"conflicts with {against}" if against else str(error)))
        else:
            kept.append(_Laid(fix, patch))
    done = Combination((), tuple(left_out), reason="there is no fix to combine")
    if len(kept) > 1:
        expected = _expected(kept)
        oracle = ProjectOracle(project, tuple(sources.values()), groundwork, sandbox, expected, tally=tally)
        done = _judged(oracle, kept, left_out)
    elif kept:
        reason = "the only fix, judged by itself"
        done = _combination(kept, left_out, sources, passed=True, reason=reason)
    spent = Spent(time.monotonic() - started, tally.runs, tally.whole, tally.executed)
    return replace(done, spent=spent)


def merged(patches: Iterable[Patch]) -> Patch:
    """One patch of all, each being one of the same texts; equal edits of two patches count once.

    Raises PatchError where two of them change the same place, or insert at the same place.
    """
    edits: dict[str, set[tuple[int, int, str]]] = {}
    for patch in patches:
        for file in patch.files:
            mine = {(e.span.start, e.span.end, e.text) for e in file.edits}
            for start, end, _ in mine - edits.get(file.path, set()):
                for other_start, other_end, _ in edits.get(file.path, set()):
                    if _collide((start, end), (other_start, other_end)):
                        raise PatchError(f"{file.path}: two fixes change the same lines", field="fixes")
            edits.setdefault(file.path, set()).update(mine)
    made = {path: (Edit(Span(start, end), text) for start, end, text in sorted(found)) for path, found in edits.items()}
    return Patch(tuple(FilePatch(path, tuple(of_file)) for path, of_file in made.items()))


@dataclass(slots=True)
class _Trial:
    """Runs of combinations, remembered; `why` is what the last one that failed said."""

    bench: ProjectBench
    tested: bool  # whether the project has tests
    left: int = _RUNS
    why: str = ""
    seen: dict[frozenset[str], bool] = field(default_factory=dict[frozenset[str], bool])

    def passes(self, laid: Sequence[_Laid]) -> bool:
        """Whether the fixes stand together: their tests pass, and whatever passed before."""
        key = frozenset(one.fix.fault for one in laid)
        if len(laid) < 2:
            return True  # judged alone before
        if key not in self.seen:
            self.left -= 1
            wrong = self._wrong(laid, merged([one.patch for one in laid]))
            self.seen[key] = not wrong
            self.why = wrong or self.why
        return self.seen[key]

    def _wrong(self, laid: Sequence[_Laid], patch: Patch) -> str:
        """Why the fixes do not stand together, "" when they do."""
        if self.tested:
            judgement = self.bench.judge_whole(Candidate(patch, "combination"), _expected(laid))
            # with no failing test of the tree among theirs a good run is undecided
            if judgement.verdict not in (Verdict.PLAUSIBLE, Verdict.UNDECIDED) or patch not in self.bench.whole:
                return judgement.reason or "they do not pass together"
        written = [one.fix.reproduction for one in laid if one.fix.reproduction]
        if not written:
            return ""
        oracle = self.bench.oracle
        files = {p: s.to_bytes() for p, s in patched_sources({s.path: s for s in oracle.sources}, patch).items()}
        for test in written:
            self.bench.tally.runs += 2
            if not confirm(oracle.project, test, files, oracle.sandbox).passes:
                return f"{test.test} does not pass with them"
        return ""


def _expected(laid: Iterable[_Laid]) -> frozenset[str]:
    """The tests of the tree that the fixes make pass."""
    written = {one.fix.reproduction.test for one in laid if one.fix.reproduction}
    return frozenset(test for one in laid for test in one.fix.fixed) - written


def _judged(oracle: ProjectOracle, kept: Sequence[_Laid], left_out: list[tuple[str, str]]) -> Combination:
    """The largest part of `kept`, earlier fixes preferred, that stands together."""
    sources = {source.path: source for source in oracle.sources}
    standing, rest = list[_Laid](), list(kept)
    try:
        with oracle.open() as bench:
            trial = _Trial(bench, bool(oracle.groundwork.passing or oracle.groundwork.failing))
            if trial.passes(kept):
                return _combination(kept, left_out, sources, passed=True, reason=f"{len(kept)} fixes stand together")
            while rest and trial.left > 0:
                good = _longest(trial, standing, rest)
                standing += rest[:good]
                if good < len(rest):
                    left_out.append((rest[good].fix.fault, f"together with the fixes before it: {trial.why}"))
                rest = rest[good + 1 :]
    except OracleError as error:
        return _combination(kept, left_out, sources, passed=False, reason=str(error))
    left_out += [(one.fix.fault, "it was not found out whether it fits: too many runs") for one in rest]
    reason = f"{len(standing)} of {len(kept)} fixes stand together"
    return _combination(standing, left_out, sources, passed=True, reason=reason)


def _longest(trial: _Trial, standing: Sequence[_Laid], rest: Sequence[_Laid]) -> int:
    """How many of `rest` stand with `standing`, taken in order: bisected, for one guilty fix is the rule."""
    low, high = 0, len(rest)  # `low` many are fine; more than `high` are not looked for
    while low < high:
        if trial.left <= 0:
            return low
        middle = high if low == 0 and high == len(rest) else (low + high + 1) // 2
        if trial.passes([*standing, *rest[:middle]]):
            low = middle
        else:
            high = middle - 1
    return low


def _collide(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two spans overlap, or an insertion touches the other: an order would have to be guessed."""
    if one[0] == one[1] or other[0] == other[1]:
        return one[0] <= other[1] and other[0] <= one[1]
    return one[0] < other[1] and other[0] < one[1]


def _sources(root: Path, fixes: Sequence[Fix]) -> dict[str, Source]:
    found: dict[str, Source] = {}
    for path in sorted({path for fix in fixes if fix.state is State.FIXED for path in diff_paths(fix.diff)}):
        try:
            found[path] = read_source(root, path)
        except InputError:
            continue
    return found


def _against(kept: Sequence[_Laid], fix: Fix, sources: Mapping[str, Source]) -> str:
    """The earlier fix that does not go with this one."""
    for laid in kept:
        try:
            merged([laid.patch, parse_diff(fix.diff, sources)])
        except PatchError:
            return laid.fix.fault
    return ""


def _combination(
    kept: Sequence[_Laid],
    left_out: Iterable[tuple[str, str]],
    sources: Mapping[str, Source],
    *,
    passed: bool,
    reason: str,
) -> Combination:
    diff = render_diff(merged([laid.patch for laid in kept]), sources) if kept else ""
    return Combination(tuple(laid.fix.fault for laid in kept), tuple(left_out), diff, passed, reason)
