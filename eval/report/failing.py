"""Clusters of failed tasks as HTML: the cure that they call for, and examples. Must not know how clusters are made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from data.charts import escaped
from eval.clusters import Cluster, Example
from eval.report.diffs import diff_html

_CLUSTERS = 40  # told with examples; further ones are counted


def clusters_html(found: Sequence[Cluster], budget: int) -> Iterable[str]:
    """A card for each cluster, for a section of the kind "clusters"; each diff has at most `budget` characters."""
    yield from (_cluster(cluster, budget) for cluster in found[:_CLUSTERS])
    if rest := sum(c.count for c in found[_CLUSTERS:]):
        yield f'<p class="soft">{rest} more failed tasks in {len(found) - _CLUSTERS} smaller groups.</p>'


def _cluster(found: Cluster, budget: int) -> str:
    tasks_ = "1 task" if found.count == 1 else f"{found.count} tasks"
    shown = "".join(_example(example, budget) for example in found.examples)
    return (
        f'<div class="card"><h3><span class="count">{tasks_}</span> · {escaped(found.name)}</h3>'
        f'<p class="advice">{escaped(found.advice)}</p>'
        f"<details><summary>{'Example' if len(found.examples) == 1 else 'Examples'}</summary>{shown}</details></div>"
    )


def _example(example: Example, budget: int) -> str:
    where = f"{example.id[:200]} · fault in line {_lines(example.fault_lines)} · suspects {_lines(example.suspects)}"
    return (
        f'<div class="example"><p class="where">{escaped(where)}</p><div class="two">'
        f"<div><h4>Reference</h4>{diff_html(example.reference_diff, budget, 'The suite has no reference.')}</div>"
        f"<div><h4>Chosen patch</h4>{diff_html(example.chosen_diff, budget, 'No patch was chosen.')}</div></div></div>"
    )


def _lines(lines: Sequence[int]) -> str:
    return ", ".join(str(line) for line in lines[:10]) or "–"
