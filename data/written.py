"""The last stage of a dataset: Parquet shards, packed training rows, the report of what was dropped, manifest, card.

Owns the output folder's files but `work/`. Must not know sources or cleaning. The manifest is written last: a folder
that has one is a whole dataset.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from data import card
from data.packing import write_packed_shards
from data.plans import Augment, Plan
from data.records import from_row, to_row
from data.shards import Shard, digest, room_needed, sha256_of, write_bytes
from data.splits import SPLITS, TEST, TRAIN
from data.stages import FORMAT, Collected, Place, Progress, rows_of
from data.store import write_text

if TYPE_CHECKING:
    from typing import Any


Pieces = tuple[tuple[str, tuple[int, ...]], ...]  # clean shard and numbers of its rows
_COUNTED = ("language", "origin", "licence", "error_origin")


@dataclass(frozen=True, slots=True)
class Stages:
    """What the stages before left: shards of records, the same cleaned, and the choice among them."""

    collected: Sequence[Collected]
    clean: Sequence[Collected]
    choice: Collected


@dataclass(frozen=True, slots=True)
class _Part:
    """One file of a split: its name and the rows that go into it."""

    split: str
    number: int
    pieces: Pieces

    @property
    def name(self) -> str:
        return f"{self.split}-{self.number:05d}"


def _parts(choice: Shard, rows: int) -> Iterator[_Part]:
    """The files of all splits, each of at most `rows` records, in the order of the records."""
    open_parts: dict[str, tuple[int, list[tuple[str, tuple[int, ...]]], int]] = {}
    for row in choice.rows():
        kept: Any = row["rows"]
        for split, numbers in sorted(kept.items()):
            left = list(numbers)
            while left:
                number, pieces, size = open_parts.setdefault(split, (0, [], 0))
                taken, left = left[: rows - size], left[rows - size :]
                pieces.append((str(row["shard"]), tuple(taken)))
                size += len(taken)
                open_parts[split] = (number, pieces, size)
                if size == rows:
                    yield _Part(split, number, tuple(pieces))
                    open_parts[split] = (number + 1, [], 0)
    for split, (number, pieces, size) in sorted(open_parts.items()):
        if size:
            yield _Part(split, number, tuple(pieces))


def _counts(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    counts = {name: Counter(str(row[name]) for row in rows) for name in _COUNTED}
    counts["bug_class"] = Counter(c for row in rows for c in row["bug_classes"] or [""])
    return {name: dict(sorted(counter.items())) for name, counter in counts.items()}


def _parquet(folder: Path, augment: Augment, part: _Part) -> tuple[bytes, dict[str, Any]]:
    from data.parquet import parquet_bytes

    found = (row for shard, numbers in part.pieces for row in rows_of(folder / f"{shard}.jsonl", numbers))
    copies = augment.copies if part.split == TRAIN else 0
    rows = [one for row in found for one in (row, *_copies(row, copies, augment.seed))]
    content = parquet_bytes(rows)
    told = {"rows": len(rows), "sha256": hashlib.sha256(content).hexdigest(), "counts": _counts(rows)}
    return content, told


def _copies(row: dict[str, object], copies: int, seed: int) -> Iterator[dict[str, Any]]:
    """The same record written differently; the chance depends on the record alone, not on where it stands."""
    if not copies:
        return
    from data.augment import TRANSFORMATIONS, augmented

    kept = [one for one in TRANSFORMATIONS if one.name != "rename-parameters"]
    draw = random.Random(f"{seed}:{row['id']}")
    yield from map(to_row, augmented(from_row(row), draw, copies, kept))


def _write_parquet(parts: Sequence[_Part], place: Place, choice: Shard, augment: Augment) -> dict[str, dict[str, Any]]:
    """Counts by part; those that are there are kept."""
    keys = [digest(FORMAT, choice.key, p.pieces, asdict(augment) if p.split == TRAIN else {}) for p in parts]
    shards = [Shard(place.out / "work" / "write", p.name, key) for p, key in zip(parts, keys, strict=True)]
    files = [place.out / "data" / f"{part.name}.parquet" for part in parts]
    known = [shard.counts() if file.is_file() else None for shard, file in zip(shards, files, strict=True)]
    missing = [part for part, told in zip(parts, known, strict=True) if told is None]
    results = place.executor.map(partial(_parquet, place.out / "work" / "clean", augment), missing)
    made: dict[str, dict[str, Any]] = {}
    for number, (part, shard, file, told) in enumerate(zip(parts, shards, files, known, strict=True), 1):
        own = told
        if own is None:
            content, own = next(results)
            write_bytes(file, content)
            shard.finish(own)
        made[part.name] = own
        place.report(Progress("write", number, len(parts), part.name, told is not None))
    return made


def _write_dropped(path: Path, stages: Stages) -> dict[str, dict[str, int]]:
    """All that was left out, in the order of the stages; counts by stage and reason."""
    counts: dict[str, Counter[str]] = {}
    partial_path = path.with_name(f"{path.name}.part")
    with room_needed(path.parent), partial_path.open("w", encoding="utf-8", newline="\n") as stream:
        for one in (*stages.collected, *stages.clean, stages.choice):
            for row in one.shard.dropped():
                counts.setdefault(str(row["stage"]), Counter())[str(row["reason"])] += int(str(row["count"]))
                stream.write(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n")
    partial_path.replace(path)
    return {stage: dict(sorted(found.items())) for stage, found in counts.items()}


def _remove_others(folder: Path, names: set[str]) -> None:
    """Files of an earlier recipe, which a reader of the whole folder would take for part of this dataset."""
    for path in folder.glob("*") if folder.is_dir() else ():
        if path.name.partition(".")[0] not in names and path.name.startswith(tuple(SPLITS)):
            path.unlink()


def _summed(made: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    total: dict[str, Counter[str]] = {"split": Counter()}
    for name, told in made.items():
        total["split"][name.rpartition("-")[0]] += told["rows"]
        for kind, counts in told["counts"].items():
            total.setdefault(kind, Counter()).update(counts)
    return {kind: dict(sorted(counter.items())) for kind, counter in total.items()}


def _file(path: Path) -> dict[str, object]:
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}


def write_dataset(plan: Plan, place: Place, stages: Stages, against: Mapping[str, Any]) -> dict[str, Any]:
    """Write everything but `work/`; gives back the manifest."""
    out = place.out
    parts = list(_parts(stages.choice.shard, plan.write.rows))
    made = _write_parquet(parts, place, stages.choice.shard, plan.augment)
    hashes = {part.name: str(made[part.name]["sha256"]) for part in parts if part.split != TEST}
    packed = write_packed_shards(plan, place, hashes) if plan.write.tokenizer else {}
    _remove_others(out / "data", {part.name for part in parts})
    _remove_others(out / "packed", {part.name for part in parts} if plan.write.tokenizer else set())
    dropped = _write_dropped(out / "dropped.jsonl", stages)
    written = sorted(p for folder in ("data", "packed") for p in (out / folder).glob("*") if p.suffix != ".part")
    values: dict[str, Any] = {
        "format": FORMAT,
        "name": plan.name,
        "recipe": plan.choices(),
        "recipe_digest": plan.digest(),
        "versions": card.versions(),
        "from": _sources(stages.collected),
        "counts": _summed(made),
        "packed": packed,
        "dropped": dropped,
        "decontaminated_against": dict(against),
        "files": {p.relative_to(out).as_posix(): _file(p) for p in (*written, out / "dropped.jsonl")},
    }
    with room_needed(out):
        write_text(out / "README.md", card.card(values))
        values["files"]["README.md"] = _file(out / "README.md")
        text = json.dumps(values, sort_keys=True, indent=1, ensure_ascii=False)
        write_text(out / "manifest.json", f"{text}\n")
    return json.loads(text)


def _sources(collected: Sequence[Collected]) -> list[dict[str, Any]]:
    """One row for each thing that was read, with the records that came of it before cleaning."""
    rows: dict[str, dict[str, Any]] = {}
    for one in collected:
        row = rows.setdefault(json.dumps([one.about.get(k) for k in ("source", "name", "version")]), dict(one.about))
        row["records"] = row.get("records", 0) + one.counts["records"]
    return list(rows.values())
