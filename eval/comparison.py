"""Two results on the same tasks: what differs in the settings, in each figure, and whether that can be chance. Pure.

How it is shown is the commands' business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from eval.measurement import Conditions, Measurement
from eval.paired import compare, mcnemar_exact
from eval.report.figures import NUMBERS, YES_NO, correct, plausible
from eval.report.runs import Run
from eval.stats import Share, bootstrap, holm, median, quantile
from repair.errors import InputError

COMPARED = ("model", "adapter", "weights")
"""Conditions whose difference is what a comparison is usually about; others are settings."""

Pairs = Sequence[tuple[str, Measurement, Measurement]]
"""Name of a task, before, after."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One condition that differs."""

    name: str
    before: object
    after: object


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of both results over the tasks that have it in both.

    Yes/no figures: shares 0..1, `difference` is after - before with Newcombe's interval for paired shares, `p_value`
    McNemar's exact one. Others (`share` False): medians, `difference` is the median of the tasks' differences with
    its bootstrap interval, `p_value` that of the exact sign test. `adjusted` by Holm over all figures.
    """

    name: str
    share: bool
    more_is_better: bool
    tasks: int
    before: float | None
    after: float | None
    difference: float | None
    interval: tuple[float, float] | None
    p_value: float
    adjusted: float = 1.0
    before_share: Share | None = None
    after_share: Share | None = None

    @property
    def significant(self) -> bool:
        """Below 5 % although several figures were looked at."""
        return self.adjusted < 0.05


@dataclass(frozen=True, slots=True)
class Comparison:
    """`gained`: tasks that only `after` solves, `lost`: that only `before` does; by "correct" and by "plausible"."""

    before: Conditions
    after: Conditions
    differing: tuple[Difference, ...]
    suites: tuple[str, ...]
    tasks: int
    only_before: int
    only_after: int
    changed: tuple[str, ...]  # same id, other content: left out
    figures: tuple[Figure, ...]
    gained: Mapping[str, tuple[str, ...]]
    lost: Mapping[str, tuple[str, ...]]

    @property
    def settings_differ(self) -> tuple[Difference, ...]:
        """Those besides the model: they alone may explain a difference."""
        return tuple(d for d in self.differing if d.name not in COMPARED)


def compare_runs(before: Sequence[Run], after: Sequence[Run]) -> Comparison:
    """Compare the tasks that both have: of one suite and content, by id where a content's digest is not told.

    Raises InputError where there is no such task.
    """
    pairs: list[tuple[str, Measurement, Measurement]] = []
    changed: list[str] = []
    common = [(old, new) for old in before for new in after if old.suite == new.suite]
    named = len(common) > 1
    for old, new in common:
        same, other = pair(old.measurements, new.measurements)
        pairs += [(f"{old.suite}: {b.id}" if named else b.id, a, b) for a, b in same]
        changed += [f"{old.suite}: {name}" if named else name for name in other]
    if not pairs:
        raise InputError(_nothing_common(before, after, changed), field="results")
    alone = [sum(len(run.measurements) for run in runs) - len(pairs) - len(changed) for runs in (before, after)]
    first, second = before[0].conditions, after[0].conditions
    decided = (("correct", correct), ("plausible", plausible))
    return Comparison(
        before=first,
        after=second,
        differing=_differing(first, second),
        suites=tuple(old.suite for old, _ in common),
        tasks=len(pairs),
        only_before=alone[0],
        only_after=alone[1],
        changed=tuple(changed),
        figures=figures_of(pairs),
        gained={name: _turned(pairs, figure, better=True) for name, figure in decided},
        lost={name: _turned(pairs, figure, better=False) for name, figure in decided},
    )


def pair(
    before: Iterable[Measurement], after: Iterable[Measurement]
) -> tuple[list[tuple[Measurement, Measurement]], list[str]]:
    """Measurements of the same task, and the ids whose content differs."""
    rows = list(after)
    by_digest = {m.digest: m for m in rows if m.digest}
    by_id = {m.id: m for m in rows}
    same: list[tuple[Measurement, Measurement]] = []
    changed: list[str] = []
    for m in before:
        named = by_id.get(m.id)
        alike = named is not None and (m.digest == named.digest or not m.digest or not named.digest)
        found = named if alike else by_digest.get(m.digest)
        if found is not None:
            same.append((m, found))
        elif named is not None:
            changed.append(m.id)
    return same, changed


def figures_of(pairs: Pairs) -> tuple[Figure, ...]:
    """All figures of paired tasks."""
    found = [_share_figure(name, pairs, of) for name, of in YES_NO.items()]
    found += [_number_figure(name, pairs, of) for name, of in NUMBERS.items()]
    adjusted = holm([figure.p_value for figure in found])
    return tuple(replace(figure, adjusted=p) for figure, p in zip(found, adjusted, strict=True))


def _share_figure(name: str, pairs: Pairs, of: Callable[[Measurement], bool | None]) -> Figure:
    keyed = [(str(number), of(a), of(b)) for number, (_, a, b) in enumerate(pairs)]
    paired = compare({k: a for k, a, _ in keyed}, {k: b for k, _, b in keyed})
    return Figure(
        name,
        True,
        True,
        paired.known,
        paired.before.value,
        paired.after.value,
        paired.difference,
        paired.interval,
        paired.p_value,
        before_share=paired.before,
        after_share=paired.after,
    )


def _number_figure(name: str, pairs: Pairs, of: Callable[[Measurement], float | None]) -> Figure:
    both = [(x, y) for _, a, b in pairs if (x := of(a)) is not None and (y := of(b)) is not None]
    steps = [y - x for x, y in both]
    less, more = sum(step < 0 for step in steps), sum(step > 0 for step in steps)
    return Figure(
        name,
        False,
        False,
        len(both),
        quantile([x for x, _ in both], 0.5),
        quantile([y for _, y in both], 0.5),
        quantile(steps, 0.5),
        bootstrap(steps, median) if steps else None,
        mcnemar_exact(less, more),  # the sign test is the same question of a fair coin
    )


def _turned(pairs: Pairs, of: Callable[[Measurement], bool | None], *, better: bool) -> tuple[str, ...]:
    return tuple(name for name, a, b in pairs if of(a) is not better and of(a) is not None and of(b) is better)


def _differing(before: Conditions, after: Conditions) -> tuple[Difference, ...]:
    old, new = asdict(before), asdict(after)
    return tuple(Difference(name, old[name], new[name]) for name in old if old[name] != new[name])


def _nothing_common(before: Sequence[Run], after: Sequence[Run], changed: Sequence[str]) -> str:
    if changed:
        return (
            f"all {len(changed)} tasks with a common id differ in content ({changed[0]!r} for one): "
            "measure both on the same file"
        )
    old, new = (", ".join(sorted(run.suite for run in runs)) for runs in (before, after))
    return f"the results have no task in common: the first are of {old}, the second of {new}"


def comparison_json(found: Comparison) -> dict[str, Any]:
    """For JSON; shares 0..1."""
    return {
        "before": asdict(found.before),
        "after": asdict(found.after),
        "differing": {d.name: [d.before, d.after] for d in found.differing},
        "settings_differ": [d.name for d in found.settings_differ],
        "suites": list(found.suites),
        "tasks": found.tasks,
        "only_before": found.only_before,
        "only_after": found.only_after,
        "left_out_for_other_content": list(found.changed),
        "figures": {figure.name: _figure_json(figure) for figure in found.figures},
        "gained": {name: list(ids) for name, ids in found.gained.items()},
        "lost": {name: list(ids) for name, ids in found.lost.items()},
    }


def _figure_json(figure: Figure) -> dict[str, Any]:
    told = {
        "tasks": figure.tasks,
        "before": figure.before,
        "after": figure.after,
        "difference": figure.difference,
        "interval95": figure.interval,
        "test": "McNemar, exact" if figure.share else "sign test, exact",
        "p_value": figure.p_value,
        "p_holm": figure.adjusted,
        "significant": figure.significant,
        "more_is_better": figure.more_is_better,
    }
    for name, share in (("before", figure.before_share), ("after", figure.after_share)):
        if share is not None:
            told[f"{name}_interval95"] = share.interval
    return told
