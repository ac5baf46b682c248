"""The figures that reports, comparisons and leaderboards tell, each as a value of one task. Pure.

A yes/no figure is None where it is not known of a task: such tasks count in no share and in no paired test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from eval.measurement import Conditions, Measurement, Status
from eval.report.runs import Run
from eval.stats import Share, quantile


def plausible(m: Measurement) -> bool | None:
    """Whether a plausible patch was chosen."""
    return m.status is Status.REPAIRED if m.scored else None


def correct(m: Measurement) -> bool | None:
    """Whether a correct patch was chosen; None where the plausible one can neither be called right nor wrong."""
    if not m.scored:
        return None
    return m.correct if m.status is Status.REPAIRED else False


def located(most: int) -> Callable[[Measurement], bool | None]:
    """Whether a line of the fault is among the first `most` suspects; None without a reference."""

    def found(m: Measurement) -> bool | None:
        if not m.scored or (m.fault_rank is None and not m.fault_lines):
            return None
        return m.fault_rank is not None and m.fault_rank <= most

    return found


def overfitting(m: Measurement) -> bool | None:
    """Of a plausible patch that is known to be right or wrong: whether it is wrong."""
    return not m.correct if m.status is Status.REPAIRED and m.correct is not None else None


YES_NO: Mapping[str, Callable[[Measurement], bool | None]] = {
    "plausible": plausible,
    "correct": correct,
    "location@1": located(1),
    "location@5": located(5),
}
"""Yes/no figures of which more is better."""


def first_plausible(m: Measurement) -> float | None:
    """Rank of the first plausible candidate."""
    return float(m.first_plausible) if m.scored and m.first_plausible is not None else None


def seconds(m: Measurement) -> float | None:
    """Wall seconds; they depend on the machine."""
    return m.wall_seconds if m.scored else None


NUMBERS: Mapping[str, Callable[[Measurement], float | None]] = {
    "median rank": first_plausible,
    "median seconds": seconds,
}
"""Figures of which less is better; the rank is that of the first plausible candidate."""


def share(measurements: Iterable[Measurement], figure: Callable[[Measurement], bool | None]) -> Share:
    """The share of tasks for which a figure holds, of those of which it is known."""
    values = [value for m in measurements if (value := figure(m)) is not None]
    return Share(sum(values), len(values))


def correct_share(measurements: Iterable[Measurement]) -> Share:
    """The share of correct patches of all scored tasks: what is unknown counts as not correct, as in `summarize`."""
    scored = [m for m in measurements if m.scored]
    return Share(sum(correct(m) is True for m in scored), len(scored))


def middle(measurements: Iterable[Measurement], figure: Callable[[Measurement], float | None]) -> float | None:
    """The median of a figure over the tasks that have it."""
    return quantile([value for m in measurements if (value := figure(m)) is not None], 0.5)


def unknown(measurements: Iterable[Measurement]) -> int:
    """Plausible patches that nothing can call right or wrong."""
    return sum(m.status is Status.REPAIRED and m.correct is None for m in measurements)


def model_name(c: Conditions) -> str:
    """Model and adapter; the order of a search that no model leads."""
    led = "" if c.order == "model" else f", {c.order} order"
    return f"{c.model}{f' + {c.adapter}' if c.adapter else ''}{led}"


def settings(c: Conditions) -> tuple[tuple[str, str], ...]:
    """All settings, named, in the order in which they matter."""
    judged = " (all judged)" if c.exhaustive else f" (until {c.extra} after the first plausible one)"
    return (
        ("location", f"{c.location}{' (perfect localization)' if c.location == 'given' else ''}"),
        ("tests", f"{c.tests}{' to the repair' if c.tests == 'given' else ' to the repair, the first patches count'}"),
        ("candidates", f"{c.candidates}{judged}"),
        ("seconds", f"{c.seconds:g} a task"),
        ("model", c.model + (f" + {c.adapter}" if c.adapter else "")),
        ("weights", c.weights or "not told"),
        ("order", c.order),
        ("seed", str(c.seed)),
        ("sandbox", f"tier {c.tier}" if c.tier else "not told"),
    )


def brief(c: Conditions) -> str:
    """The settings besides the model in one short line."""
    return (
        f"location {c.location}, tests {c.tests}, {c.candidates} candidates{' all judged' if c.exhaustive else ''}, "
        f"{c.seconds:g} s, seed {c.seed}, sandbox {c.tier or '?'}"
    )


def title(run: Run) -> str:
    """A run in a few words."""
    return f"{run.suite}, {model_name(run.conditions)}"
