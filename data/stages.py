"""What the stages of a dataset share: where they run, whom they tell, shards that are made once.

Owns the rule that only missing shards are computed and only this process writes. Must not know what is in them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from data.records import Record
from data.shards import Row, Shard
from data.steps import Beside, Rejection
from data.store import read_rows
from repair.executors import Executor

if TYPE_CHECKING:
    from typing import Any

FORMAT = 1  # of everything under the output folder; another one means that nothing there is reused
Made = tuple[list[Row], list[Row], list[Beside]]  # rows, rows of what was left out, rows of other files


@dataclass(frozen=True, slots=True)
class Progress:
    """One thing that happened: `done` of `total` pieces of a stage, the last of them `name`; kept: not done anew."""

    stage: str
    done: int
    total: int
    name: str = ""
    kept: bool = False


Report = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Tell nobody."""
    del progress


@dataclass(frozen=True, slots=True)
class Place:
    """Where a build reads and writes, by whom it is computed, whom it tells. `root`: of the recipe's paths."""

    root: Path
    out: Path
    executor: Executor
    report: Report = silent


@dataclass(frozen=True, slots=True)
class Collected:
    """One finished shard of a stage with its counts, and what it says of where it is from."""

    shard: Shard
    counts: Mapping[str, Any]
    about: Mapping[str, object] = field(default_factory=dict[str, object])


def dropped_row(rejection: Rejection, record: Record | None = None) -> dict[str, object]:
    """A row of `dropped.jsonl`: id, stage, reason, where from, how many."""
    row: dict[str, object] = {"id": "", "stage": rejection.stage, "reason": rejection.reason, "where": rejection.where}
    row["count"] = rejection.count
    if record is not None:
        place = f"{record.path}:{record.first_line}" if record.path else ""
        row |= {"id": record.id, "where": " ".join(p for p in (record.repository, record.revision[:12], place) if p)}
        row |= {"origin": str(record.origin), "function": record.function}
    return row


def tally(rows: Sequence[Row], dropped: Sequence[Row]) -> dict[str, Any]:
    """Counts of a shard: records, and what was left out by reason."""
    left_out: Counter[str] = Counter()
    for row in dropped:
        left_out[str(row["reason"])] += int(str(row["count"]))
    return {"records": len(rows), "left_out": dict(sorted(left_out.items()))}


def sharded(
    stage: str, place: Place, pieces: Sequence[tuple[Shard, Any]], function: Callable[[Any], Made]
) -> list[dict[str, Any]]:
    """Make the shards that are not there yet; the counts of all, in order."""
    counts = [shard.counts() for shard, _ in pieces]
    missing = [piece for piece, found in zip(pieces, counts, strict=True) if found is None]
    results = place.executor.map(function, [item for _, item in missing])
    made: list[dict[str, Any]] = []
    for number, ((shard, _), found) in enumerate(zip(pieces, counts, strict=True), 1):
        own = found
        if own is None:
            rows, dropped, beside = next(results)
            own = tally(rows, dropped)
            shard.write(rows, dropped, own, beside=_by_kind(beside))
        made.append(own)
        place.report(Progress(stage, number, len(pieces), shard.name, found is not None))
    return made


def _by_kind(beside: Sequence[Beside]) -> dict[str, list[Row]]:
    kinds = dict.fromkeys(one.kind for one in beside)
    return {kind: [one.row for one in beside if one.kind == kind] for kind in kinds}


def rows_of(shard: Path, wanted: Sequence[int]) -> Iterator[dict[str, object]]:
    """Some rows of a clean shard, by number in rising order."""
    chosen_rows = iter(wanted)
    at = next(chosen_rows, -1)
    for number, row in enumerate(read_rows(shard)):
        if number == at:
            yield row
            at = next(chosen_rows, -1)
            if at < 0:
                return
