"""Summaries as a table, in Markdown for the documentation and as rows for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from eval.glassbox.quality import Summary
from eval.stats import Estimate

HEAD = (
    "method", "LDS", "deletion AUC gain (nats)", "top-1 drop / random", "planted line first (chance)",
    "random-weight likeness", "s", "beats random",
)  # fmt: skip


def cells(found: Summary) -> tuple[str, ...]:
    """One row under HEAD; intervals are 95 %."""
    hit = "" if found.hit is None else f"{_told(found.hit, 2)} ({found.chance or 0:.2f})"
    return (
        found.method.value, _told(found.lds, 2), _told(found.deletion_gain, 2), f"{found.drop_ratio:.1f}", hit,
        "" if found.sanity is None else _told(found.sanity, 2), f"{found.seconds:.2f}",
        "yes" if found.beats_random else "no",
    )  # fmt: skip


def _told(one: Estimate, digits: int) -> str:
    if one.value is None:
        return "-"
    told = f"{one.value:.{digits}f}"
    return told if one.low is None else f"{told} [{one.low:.{digits}f}, {one.high:.{digits}f}]"


def markdown(summaries: Iterable[Summary]) -> str:
    """A GitHub table, with a final newline."""
    rows: list[Sequence[str]] = [HEAD, ["---", *["---:"] * (len(HEAD) - 2), "---"], *map(cells, summaries)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
