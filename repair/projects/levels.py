"""Where is the fault? Down from file to function to line, each level a ranking with reasons (pure functions).

Files are rated before any is read: by Ochiai (Abreu et al. 2006) of their best line over the fault's failing and all
passing tests, by frames of tracebacks, and by what changed lately (age and churn of changes, as in FLUCCS, Sohn and Yoo
2017). Only the best are read; `repair.localize` rates their lines, to which the lines' own past is added here. A
function has the belief of its lines; a file that was read shares in what all read files have by its best line.
All weights are log-odds. Scores of one level sum to at most 1.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import exp, log, log1p, sqrt
from pathlib import PurePosixPath

from repair.languages import Function, functions
from repair.projects.history import Touch
from repair.projects.values import Ranked
from repair.sources import Source
from repair.spectrum import Spectrum
from repair.verdicts import Suspect

READ = 5  # files whose text is read
MOST_FILES = 10
MOST_FUNCTIONS = 15
MOST_LINES = 40


@dataclass(frozen=True, slots=True)
class Weights:
    """Log-odds of each clue. Set by judgement, below those of a traceback and of coverage."""

    ochiai: float = 1.5  # times log(ochiai_floor + Ochiai) of a file's best line
    ochiai_floor: float = 0.05
    frame: float = 2.0  # a file with the innermost frame in our sources; `frame_decay` for each level further out
    frame_decay: float = 0.5
    named: float = 1.0  # a file named as the failing test's file is
    file_change: float = 0.5  # a file changed just now, less by e every `days`
    line_change: float = 0.5  # a line likewise
    days: float = 30.0
    churn: float = 0.1  # times log(1 + commits that touched the file lately)
    green: float = 4.0  # changed since the last good commit


DEFAULT = Weights()


@dataclass(frozen=True, slots=True)
class Past:
    """What the history says of the candidates; `green` are lines changed since the good commit (None: none known)."""

    files: Mapping[str, Touch] = field(default_factory=dict[str, Touch])
    lines: Mapping[tuple[str, int], Touch] = field(default_factory=dict[tuple[str, int], Touch])
    green: frozenset[tuple[str, int]] | None = None


@dataclass(frozen=True, slots=True)
class Clue:
    """What failing tests say without any text: frames in our sources (innermost first), and files of the tests."""

    frames: tuple[tuple[str, int], ...] = ()
    tests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Coverage:
    """The best line of one file."""

    ochiai: float
    failing: int
    passing: int


def suspect_files(
    paths: Iterable[str], clue: Clue, spectrum: Spectrum | None, past: Past, weights: Weights = DEFAULT
) -> tuple[Ranked, ...]:
    """Files by what is known without reading them; best first, ties by path.

    Those that a failing test executes and those in a traceback; all of `paths` where there is neither.
    """
    known = frozenset(paths)
    coverage = _best_lines(spectrum, known) if spectrum else {}
    framed = {path: depth for depth, (path, _) in reversed(tuple(enumerate(clue.frames)))}
    candidates = (coverage.keys() | framed.keys()) & known or known
    changed = frozenset(path for path, _ in useful_green(past.green, spectrum))
    rated = [
        (path, *_added((
            _rate_coverage(coverage.get(path), spectrum, weights),
            _rate_clue(path, framed.get(path), clue, weights),
            _rate_past(past.files.get(path), path in changed, weights),
        )))
        for path in sorted(candidates)
    ]  # fmt: skip
    return _softmax(rated)


def useful_green(green: frozenset[tuple[str, int]] | None, spectrum: Spectrum | None) -> frozenset[tuple[str, int]]:
    """Lines changed since the good commit; none where no failing test executes one, for then it says nothing."""
    if not green:
        return frozenset()
    if spectrum is None or not spectrum.executed_failing:
        return green
    return green if any(at in spectrum.executed_failing for at in green) else frozenset()


def _best_lines(spectrum: Spectrum, known: frozenset[str]) -> dict[str, _Coverage]:
    best: dict[str, tuple[float, int, int]] = {}
    for (path, line), ef in spectrum.executed_failing.items():
        if path not in known:
            continue
        ep = spectrum.executed_passing.get((path, line), 0)
        found = (ef / sqrt(spectrum.failing * (ef + ep)), ef, -ep)
        best[path] = max(best.get(path, found), found)
    return {path: _Coverage(ochiai, ef, -ep) for path, (ochiai, ef, ep) in best.items()}


_Rated = tuple[float, tuple[str, ...]]


def _added(rated: Sequence[_Rated]) -> _Rated:
    return sum(score for score, _ in rated), tuple(reason for _, reasons in rated for reason in reasons)


def _rate_coverage(covered: _Coverage | None, spectrum: Spectrum | None, weights: Weights) -> _Rated:
    if spectrum is None:
        return 0.0, ()
    score = weights.ochiai * log(weights.ochiai_floor + (covered.ochiai if covered else 0.0))
    return score, (_executed(covered.failing, covered.passing, spectrum),) if covered else ()


def _rate_clue(path: str, depth: int | None, clue: Clue, weights: Weights) -> _Rated:
    score, reasons = 0.0, list[str]()
    if depth is not None:
        score += weights.frame * weights.frame_decay**depth
        reasons.append("innermost frame" if depth == 0 else f"frame {depth + 1} from inside")
    if any(_named_alike(path, test) for test in clue.tests):
        score += weights.named
        reasons.append("named as the failing test's file")
    return score, tuple(reasons)


def _rate_past(touch: Touch | None, changed: bool, weights: Weights) -> _Rated:
    score, reasons = 0.0, list[str]()
    if touch:
        score += weights.file_change * exp(-touch.days / weights.days) + weights.churn * log1p(touch.changes)
        reasons.append(f"changed {touch}")
    if changed:
        score += weights.green
        reasons.append("changed since the last good commit")
    return score, tuple(reasons)


def _executed(failing: int, passing: int, spectrum: Spectrum) -> str:
    also = f" and {passing} of {spectrum.passing} passing" if spectrum.passing else ""
    return f"executed by {failing} of {spectrum.failing} failing{also} tests"


def _named_alike(path: str, test: str) -> bool:
    """`src/number.py` and `tests/test_number.py`, `number_test.py`, `number.test.js`."""
    stem = PurePosixPath(path).stem.strip("_").lower()
    name = PurePosixPath(test).name.lower()
    words = name.replace("-", ".").split(".")[0]
    return bool(stem) and words.removeprefix("test_").removesuffix("_test") == stem


def _softmax(rated: Sequence[tuple[str, float, tuple[str, ...]]]) -> tuple[Ranked, ...]:
    top = max((score for _, score, _ in rated), default=0.0)
    total = sum(exp(score - top) for _, score, _ in rated) or 1.0
    found = [Ranked(path, exp(score - top) / total, reasons=why) for path, score, why in rated]
    return tuple(sorted(found, key=lambda r: (-r.score, r.path)))


def suspect_lines(
    suspects: Iterable[Suspect], spectrum: Spectrum | None, past: Past, weights: Weights = DEFAULT
) -> tuple[Ranked, ...]:
    """Suspects of `repair.localize` with the past of each line, best first; ties in the order that they came in."""
    green = useful_green(past.green, spectrum)
    found: list[tuple[float, Suspect, tuple[str, ...]]] = []
    for suspect in suspects:
        odds, reasons = 0.0, suspect.reasons
        at = (suspect.path, suspect.line)
        if touch := past.lines.get(at):
            odds += weights.line_change * exp(-touch.days / weights.days)
            reasons += (f"changed {touch}",)
        if at in green:
            odds += weights.green
            reasons += ("changed since the last good commit",)
        found.append((suspect.suspiciousness * exp(odds), suspect, reasons))
    total = sum(mass for mass, _, _ in found) or 1.0
    ranked = [Ranked(s.path, mass / total, s.line, s.line, reasons=why) for mass, s, why in found]
    return tuple(sorted(ranked, key=lambda r: -r.score))


def suspect_functions(sources: Iterable[Source], lines: Sequence[Ranked]) -> tuple[Ranked, ...]:
    """Functions with the belief of their lines (a nested function's lines are its own), best first."""
    inside: dict[str, list[Function]] = {s.path: list(functions(s)) for s in sources}
    mass: dict[tuple[str, Function], float] = {}
    best: dict[tuple[str, Function], Ranked] = {}
    for line in lines:
        around = [f for f in inside.get(line.path, ()) if f.first_line <= line.first <= f.last_line]
        if not around:
            continue
        own = (line.path, min(around, key=lambda f: (f.last_line - f.first_line, f.first_line)))
        mass[own] = mass.get(own, 0.0) + line.score
        best.setdefault(own, line)
    found = [
        Ranked(path, score, f.first_line, f.last_line, f.qualified_name, _of_line(best[path, f]))
        for (path, f), score in mass.items()
    ]
    return tuple(sorted(found, key=lambda r: (-r.score, r.path, r.first)))


def _of_line(line: Ranked) -> tuple[str, ...]:
    return tuple(f"line {line.first}: {reason}" for reason in line.reasons)


def refined_files(files: Sequence[Ranked], read: Collection[str], lines: Sequence[Ranked]) -> tuple[Ranked, ...]:
    """What the read files have together, shared anew by the best line of each; the others keep their scores."""
    best: dict[str, float] = {}
    for line in lines:
        best[line.path] = max(best.get(line.path, 0.0), line.score)
    together = sum(f.score for f in files if f.path in read)
    total = sum(best.get(path, 0.0) for path in read)
    if not total:
        return tuple(files)
    shared = [replace(f, score=together * best.get(f.path, 0.0) / total) if f.path in read else f for f in files]
    return tuple(sorted(shared, key=lambda r: (-r.score, r.path)))
