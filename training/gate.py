"""The gate: whether what was trained may take the place of what it started from.

Owns the figures compared and the rule. Must not know how anything was trained, nor run programs: whether
tasks with tests are repaired comes from a `Fixer`. Both models answer the same held-out examples, and repair the
same tasks in turn.

The rule, and why it is so:

1. The goal must not be lower. The goal is what the adapter is trained for: the fix rate with execution where there is
   a suite of at least 30 tasks, else exact@1, else (neither model gets anything exactly right) location@1. A plain
   comparison, no interval: an adapter that cannot show a gain on a few hundred examples is not worth its risk, and an
   equal one (unchanged weights) does no harm.
2. No figure may be significantly worse: an interval of the paired difference that lies wholly on the bad side refuses.
   Several such tests refuse a fair adapter by chance too often (of 200 simulated equal models, intervals of 90 % each:
   32), so the figures other than the goal have simultaneous intervals, each at 1 - (1 - level) / m for m figures
   (Bonferroni; Dunn 1961): 9 of 200. Holm's procedure is a little sharper, but then no interval that can be printed
   would be the one that decides.
3. Weights whose loss is not finite are refused, whatever else they do.
4. With fewer than 30 faulty examples nothing is decided: "undecided" is no pass. A figure with fewer than 30 examples
   of its own (no-fault precision and recall without clean code) is shown as not compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from repair.errors import InputError
from training.bootstrap import Interval, Ratio, paired
from training.config import GateConfig
from training.heldout import Held, choose
from training.measure import Checkpoint, Fixer, Measured, measure_model
from training.scores import Score
from training.verdicts import PASSED, REFUSED, UNDECIDED, Row, Verdict

LEAST = 30  # examples or tasks: below, an interval says next to nothing
_BEYOND = 20  # resamples that should lie outside of each end of the widest interval


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure compared: its ratio over scores, the examples it rests on, and which way is good."""

    name: str
    ratio: Callable[[Sequence[Score]], Ratio]
    counts: Callable[[Score], bool]
    lower: bool = False  # lower is better


def _among_faulty(hit: Callable[[Score], bool]) -> Callable[[Sequence[Score]], Ratio]:
    return lambda scores: Ratio.share([hit(s) for s in scores], [s.faulty for s in scores])


def _precision(scores: Sequence[Score]) -> Ratio:
    return Ratio.share([not s.faulty for s in scores], [s.called_ok for s in scores])


def _recall(scores: Sequence[Score]) -> Ratio:
    return Ratio.share([s.called_ok for s in scores], [not s.faulty for s in scores])


def _clean_bits(scores: Sequence[Score]) -> Ratio:
    return Ratio(np.array([s.clean_bits for s in scores]), np.array([s.clean_bytes for s in scores], np.float64))


FIX_RATE = "fix rate"
FIGURES = (
    Figure("exact@1", _among_faulty(lambda s: s.exact), lambda s: s.faulty),
    Figure("location@1", _among_faulty(lambda s: s.rank == 1), lambda s: s.faulty),
    Figure("lines@1", _among_faulty(lambda s: s.line_rank == 1), lambda s: s.faulty),
    Figure("ok_precision", _precision, lambda s: not s.faulty),
    Figure("ok_recall", _recall, lambda s: not s.faulty),
    Figure("clean_bits_per_byte", _clean_bits, lambda _: True, lower=True),
)
GOALS = (FIX_RATE, "exact@1", "location@1")


@dataclass(frozen=True, slots=True)
class _Compared:
    name: str
    base: Ratio
    tuned: Ratio
    examples: int
    lower: bool


def run_gate(
    base: Checkpoint, tuned: Checkpoint, heldout: Sequence[Held], config: GateConfig, fixer: Fixer | None = None
) -> Verdict:
    """Measure both on (a draw of) the held-out examples and decide.

    `base` is what the run started from: the base with its start adapter if it went on from one, else the plain base.
    """
    chosen = choose(heldout, config.examples)
    both = [measure_model(one, chosen) for one in (base, tuned)]
    if fixer:
        fixed = fixer((base, tuned))
        both = [replace(found, fixed=tasks) for found, tasks in zip(both, fixed, strict=True)]
    return decide(both[0], both[1], config)


def decide(base: Measured, tuned: Measured, config: GateConfig) -> Verdict:
    """The rule of the module docstring. Raises InputError where the two did not answer the same examples."""
    _check_same(base, tuned)
    compared = _compared(base, tuned)
    goal = _goal(compared)
    rows = _rows(compared, goal, config)
    faulty = sum(s.faulty for s in base.scores)
    broken = [s.id for s in tuned.scores if not math.isfinite(s.bits)]
    reasons = [f"the loss of {len(broken)} examples is not finite, of {broken[0]} first"] if broken else []
    reasons += _reasons(rows, goal)
    outcome = REFUSED if reasons else PASSED
    if not broken and faulty < LEAST:
        outcome = UNDECIDED
        reasons = [f"{faulty} faulty examples are too few to compare, {LEAST} are needed: hold out more"]
    return Verdict(outcome, goal, tuple(reasons), rows, base.name, tuned.name, len(base.scores))


def _check_same(base: Measured, tuned: Measured) -> None:
    if [s.id for s in base.scores] != [s.id for s in tuned.scores]:
        raise InputError("the two models did not answer the same held-out examples in one order", field="heldout")
    if base.fixed.keys() != tuned.fixed.keys():
        raise InputError("the two models were not given the same tasks to repair", field="gate.suite")


def _compared(base: Measured, tuned: Measured) -> list[_Compared]:
    found: list[_Compared] = []
    if base.fixed:
        tasks = sorted(base.fixed)
        ratios = [Ratio.mean([m.fixed[task] for task in tasks]) for m in (base, tuned)]
        found.append(_Compared(FIX_RATE, ratios[0], ratios[1], len(tasks), lower=False))
    for figure in FIGURES:
        count = sum(figure.counts(score) for score in base.scores)
        one, other = figure.ratio(base.scores), figure.ratio(tuned.scores)
        found.append(_Compared(figure.name, one, other, count, figure.lower))
    return found


def _goal(compared: Sequence[_Compared]) -> str:
    """The first goal with examples enough and a hit of either model; the last one in any case."""
    by_name = {one.name: one for one in compared}
    for name in GOALS[:-1]:
        one = by_name.get(name)
        if one is not None and one.examples >= LEAST and one.base.top.sum() + one.tuned.top.sum() > 0:
            return name
    return GOALS[-1]


def _rows(compared: Sequence[_Compared], goal: str, config: GateConfig) -> tuple[Row, ...]:
    others = sum(one.name != goal and one.examples >= LEAST for one in compared)
    simultaneous = 1 - (1 - config.level) / max(others, 1)
    resamples = max(config.resamples, math.ceil(2 * _BEYOND / (1 - simultaneous)))
    rows: list[Row] = []
    for one in compared:
        level = config.level if one.name == goal else simultaneous
        interval = paired(one.base, one.tuned, level=level, resamples=resamples)
        rows.append(_row(one, interval))
    return tuple(rows)


def _row(one: _Compared, interval: Interval) -> Row:
    low, high = (-interval.high, -interval.low) if one.lower else (interval.low, interval.high)
    if one.examples < LEAST or math.isnan(low):
        verdict = "not compared"
    else:
        verdict = "worse" if high < 0 else "better" if low > 0 else "no clear difference"
    return Row(
        one.name, one.base.value, one.tuned.value, interval.difference, interval.low, interval.high, interval.level,
        one.examples, verdict,
    )  # fmt: skip


def _reasons(rows: Sequence[Row], goal: str) -> list[str]:
    reasons: list[str] = []
    for row in rows:
        if row.figure == goal and row.difference < 0:
            reasons.append(f"the goal, {goal}, fell from {row.base:.4f} to {row.tuned:.4f}")
        elif row.verdict == "worse":
            reasons.append(f"{row.figure} is worse: {row.base:.4f} to {row.tuned:.4f}")
    return reasons
