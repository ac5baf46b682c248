"""Fairness of a run: gaps between groups of tasks, by what was measured of each. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from eval.measurement import Measurement
from eval.slices import Gap, Sliced, gap_table


def gaps_of(measured: Iterable[Measurement]) -> Mapping[str, tuple[Gap, ...]]:
    """Gap tables by figure: "correct" (unknown ones counted apart) and "located" (a faulty line is the first suspect).

    Groups are those of `Measurement.groups`: bug class, language, project, identifiers, style, length.
    """
    scored = [m for m in measured if m.scored and m.groups]
    correct = [Sliced(m.id, m.correct, m.groups) for m in scored]
    located = [Sliced(m.id, m.fault_rank == 1, m.groups) for m in scored if m.fault_lines]
    return {"correct": gap_table(correct), "located": gap_table(located)}
