"""Where is the fault? Evidence, coverage and the model's belief fused into ranked Suspects (pure functions).

S(line) = softmax of  w1 log P_model + w2 log(eps + Ochiai) + w3 [in the traceback, by depth]
+ w4 [executed by failing tests] + w5 surprisal drop, with lines that no failing test executed left out.
Without coverage w2 and w4 say nothing; without a model w1 says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log

from repair.defects import Location, RepairRequest
from repair.edits import Span
from repair.localize.clues import Clues, gather
from repair.localize.terrain import Ground, Terrain, survey
from repair.model import LineBelief
from repair.spectrum import Spectrum
from repair.verdicts import Suspect

__all__ = ["DEFAULT", "Weights", "localize"]

_NEGLIGIBLE = 1e-6  # suspects below are left out


@dataclass(frozen=True, slots=True)
class Weights:
    """Log-odds that each clue adds to a line. Set by judgement; fit them on executable injected faults."""

    model: float = 1.0  # w1, times log P_model(line)
    model_floor: float = 2e-3  # added to P_model: what the model rules out stays possible
    ochiai: float = 1.0  # w2, times log(ochiai_floor + Ochiai)
    ochiai_floor: float = 0.05
    frame: float = 2.0  # w3, for the innermost frame in our files
    frame_decay: float = 0.5  # times this for each level further out
    traced_function: float = 0.7  # another line of a function that the traceback passes through
    named_function: float = 0.5  # a line of a function that the test or the message names
    unrecorded: float = -1.0  # a function's header or a bare else: another line's coverage speaks for it
    executed: float = 1.0  # w4, times the share of failing tests that ran the line
    surprisal: float = 1.0  # w5, times the surprisal drop in nats
    syntax_error: float = 5.0  # where the language stops to understand; half of it one line above
    location: float = 20.0  # inside of the place that the caller gave
    continuation: float = -1.0  # a line of a statement that began above
    idle: float = -5.0  # blank or comment, where the model points there all the same


DEFAULT = Weights()


@dataclass(frozen=True, slots=True)
class _Facts:
    """All that is known of one source."""

    terrain: Terrain
    clues: Clues
    belief: LineBelief | None
    spectrum: Spectrum | None  # None also where no failing test touched any source
    location: Location | None
    surprisal: Mapping[int, float]

    @property
    def path(self) -> str:
        """The source's path."""
        return self.terrain.source.path


def _traced(facts: _Facts, line: int) -> int | None:
    """Depth in the traceback of a line, or of a line of the same statement below it."""
    depths = facts.clues.depths
    if line in depths:
        return depths[line]
    owner = facts.terrain.owner
    return min((d for n, d in depths.items() if owner[n] == line), default=None)


def _coverage_line(facts: _Facts, line: int) -> int:
    """The line under which coverage records `line`: its statement's first; for a header the body's."""
    spectrum = facts.spectrum
    if spectrum is None or spectrum.runs(facts.path, line):
        return line
    owner = facts.terrain.owner[line]
    if spectrum.runs(facts.path, owner):
        return owner
    return facts.terrain.header_of.get(line, owner)


def _candidates(facts: _Facts) -> list[int]:
    """Lines that may be suspects at all."""
    terrain = facts.terrain
    lines = set(terrain.begins())
    lines.update(n for n in facts.clues.depths if terrain.ground[n] is Ground.CONTINUATION)
    lines.update(facts.clues.diagnostics)
    if facts.belief is not None:
        last = terrain.source.line_count
        known = {n for n, p in facts.belief.lines.items() if 1 <= n <= last and p > 1e-3}
        lines |= known | {n for n, g in enumerate(terrain.ground) if g is Ground.CONTINUATION}
    if terrain.error_line:
        lines.add(terrain.error_line)
    return sorted(n for n in lines if not _masked(facts, n)) or sorted(lines)


def _masked(facts: _Facts, line: int) -> bool:
    """No failing test ran it, and it is not of a kind that runs before the tests do."""
    if facts.spectrum is None or line in facts.terrain.module_level or line in facts.terrain.header_of:
        return False
    return not facts.spectrum.executed_failing.get((facts.path, _coverage_line(facts, line)), 0)


def _evidence_score(facts: _Facts, line: int, weights: Weights) -> tuple[float, list[str]]:
    """What the defect's record says of a line."""
    score, reasons = 0.0, list[str]()
    if line in facts.clues.diagnostics:
        score += weights.frame
        reasons.append(f"reported here: {facts.clues.diagnostics[line]}")
    depth = _traced(facts, line)
    if depth is not None:
        score += weights.frame * weights.frame_decay**depth
        reasons.append("innermost frame of the traceback" if depth == 0 else f"frame {depth + 1} of the traceback")
    elif line in facts.clues.in_traced:
        score += weights.traced_function
        reasons.append("in a function of the traceback")
    if line in facts.clues.named:
        score += weights.named_function
        reasons.append(f"in {facts.clues.named[line]}, which the test or the message names")
    return score, reasons


def _syntax_score(facts: _Facts, line: int, weights: Weights) -> tuple[float, list[str]]:
    terrain = facts.terrain
    if terrain.error_line and line == terrain.error_line:
        return weights.syntax_error, [f"syntax error here: {terrain.error.removeprefix('SyntaxError: ')}"]
    if terrain.error_line and line == terrain.before_error:
        # what is missing (a colon, a bracket) is often noticed on the next line only
        return weights.syntax_error / 2, ["just before a syntax error"]
    return 0.0, []


def _coverage_score(facts: _Facts, line: int, weights: Weights) -> tuple[float, list[str]]:
    spectrum = facts.spectrum
    if spectrum is None:
        return 0.0, []
    at = _coverage_line(facts, line)
    failing = spectrum.executed_failing.get((facts.path, at), 0)
    passing = spectrum.executed_passing.get((facts.path, at), 0)
    ochiai = spectrum.ochiai(facts.path, at)
    score = weights.ochiai * log(weights.ochiai_floor + ochiai) + weights.executed * failing / spectrum.failing
    if at != line and facts.terrain.ground[line] is Ground.STATEMENT:
        score += weights.unrecorded
    if not failing:
        return score, []
    ran = f"executed by {failing} of {spectrum.failing} failing"
    also = f" and {passing} of {spectrum.passing} passing" if spectrum.passing else ""
    return score, [f"{ran}{also} tests (Ochiai {ochiai:.2f})"]


def _model_score(facts: _Facts, line: int, weights: Weights) -> tuple[float, list[str]]:
    score, reasons = 0.0, list[str]()
    if facts.belief is not None:
        p = min(max(facts.belief.lines.get(line, 0.0), 0.0), 1.0)
        score += weights.model * log(weights.model_floor + p)
        reasons = [f"model: {100 * p:.0f} %"] if p >= 0.005 else []
    if drop := facts.surprisal.get(line, 0.0):
        score += weights.surprisal * drop
        reasons.append(f"a likelier text exists here (by {drop:.1f} nats)")
    return score, reasons


def _ground_score(facts: _Facts, line: int, weights: Weights) -> tuple[float, list[str]]:
    kinds = {Ground.STATEMENT: 0.0, Ground.CONTINUATION: weights.continuation, Ground.IDLE: weights.idle}
    given = facts.location
    if given is not None and given.path == facts.path and given.first <= line <= given.last:
        return weights.location, ["the place that was given"]
    return (0.0 if line == facts.terrain.error_line else kinds[facts.terrain.ground[line]]), []


_SCORES = (_ground_score, _syntax_score, _evidence_score, _coverage_score, _model_score)


def _rate(facts: _Facts, line: int, weights: Weights) -> tuple[float, tuple[str, ...]]:
    """Log-odds of a line and the reasons in plain words."""
    rated = [score(facts, line, weights) for score in _SCORES]
    return sum(s for s, _ in rated), tuple(reason for _, reasons in rated for reason in reasons)


def _trimmed(terrain: Terrain, line: int) -> Span:
    """The line's code without indentation and trailing blanks; the whole line when it is blank."""
    span = terrain.source.line_span(line)
    text = span.of(terrain.source.text)
    code = text.strip()
    start = span.start + (len(text) - len(text.lstrip()) if code else 0)
    return Span(start, start + len(code or text))


def _located(facts: _Facts) -> list[int]:
    """Candidates, and the lines of the caller's location whatever stands there."""
    given = facts.location
    if given is None or given.path != facts.path:
        return _candidates(facts)
    last = min(given.last, facts.terrain.source.line_count)
    return sorted({*_candidates(facts), *range(max(given.first, 1), last + 1)})


def _useful(spectrum: Spectrum | None, paths: Sequence[str]) -> Spectrum | None:
    """The spectrum, unless no failing test reached any of our files (an import error, say)."""
    if spectrum is None or spectrum.failing < 1:
        return None
    return spectrum if any(path in paths for path, _ in spectrum.executed_failing) else None


def localize(
    request: RepairRequest,
    *,
    beliefs: Mapping[str, LineBelief] | None = None,
    spectrum: Spectrum | None = None,
    weights: Weights = DEFAULT,
    surprisal: Mapping[tuple[str, int], float] | None = None,
) -> tuple[Suspect, ...]:
    """Suspects over all sources, most suspicious first; their suspiciousness sums to at most 1.

    `beliefs` by path, `surprisal` in nats by (path, line). One suspect a line, its span the line's code.
    """
    terrains = [survey(source) for source in request.sources]
    clues = gather(request, terrains)
    covered = _useful(spectrum, [s.path for s in request.sources])
    rated: list[tuple[float, Terrain, int, tuple[str, ...]]] = []
    for terrain in terrains:
        path = terrain.source.path
        drops = {line: drop for (p, line), drop in (surprisal or {}).items() if p == path}
        facts = _Facts(terrain, clues[path], (beliefs or {}).get(path), covered, request.location, drops)
        rated += [
            (score, terrain, line, why) for line in _located(facts) for score, why in [_rate(facts, line, weights)]
        ]
    return _normalized(rated) or tuple(_whole(t) for t in terrains[:1])


def _whole(terrain: Terrain) -> Suspect:
    """For a source without any statement."""
    return Suspect(terrain.source.path, terrain.source.line_span(1), 1, 1.0, ("there is no statement",))


def _normalized(rated: Sequence[tuple[float, Terrain, int, tuple[str, ...]]]) -> tuple[Suspect, ...]:
    """Softmax, sorted; ties stay in the order of the text."""
    top = max((score for score, *_ in rated), default=0.0)
    masses = [exp(score - top) for score, *_ in rated]
    total = sum(masses) or 1.0
    found = [
        Suspect(terrain.source.path, _trimmed(terrain, line), line, mass / total, reasons)
        for mass, (_, terrain, line, reasons) in zip(masses, rated, strict=True)
        if mass / total >= _NEGLIGIBLE
    ]
    return tuple(sorted(found, key=lambda s: -s.suspiciousness))
