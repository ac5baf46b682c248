"""Packed training rows of a dataset: each Parquet shard's records as token rows that numpy maps from the disk.

Owns which records become examples. The arrays and weights are `data.pack`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path

from data.pack import Encoded, encode_example, write_packed
from data.parquet import read_parquet
from data.plans import Plan
from data.records import example
from data.shards import Shard, digest, room_needed, sha256_of
from data.stages import FORMAT, Place, Progress
from data.tokenizer import LineEncoder
from repair.errors import InputError, PatchError
from repair.windows import MAX_LINES


@lru_cache(maxsize=1)
def _encoder(path: Path) -> LineEncoder:
    return LineEncoder.read(path)


def _encoded(tokenizer: Path, path: Path) -> tuple[list[Encoded], int]:
    """The examples of one Parquet shard as tokens, and how many cannot be said as an example."""
    made: list[Encoded] = []
    left_out = 0
    for record in read_parquet(path):
        try:
            if not record.accepted or record.buggy.count("\n") > MAX_LINES:
                left_out += 1  # a rejected repair teaches nothing here; a long text's line tokens would be ambiguous
                continue
            made.append(encode_example(example(record), _encoder(tokenizer)))
        except PatchError:
            left_out += 1
    return made, left_out


def write_packed_shards(plan: Plan, place: Place, hashes: Mapping[str, str]) -> dict[str, int]:
    """Write `packed/NAME.*.npy` for Parquet shards (name to SHA-256); counts, also of what was left out.

    Raises InputError when there is no such tokenizer, or the disk is full.
    """
    tokenizer = place.root / plan.write.tokenizer
    if not tokenizer.is_file():
        raise InputError(f"{tokenizer}: no such tokenizer", field="write.tokenizer")
    packed = place.out / "packed"
    key = digest(FORMAT, sha256_of(tokenizer), plan.write.row)
    shards = {name: Shard(place.out / "work" / "pack", name, digest(key, own)) for name, own in hashes.items()}
    known = {n: s.counts() if (packed / f"{n}.ids.npy").is_file() else None for n, s in shards.items()}
    missing = [place.out / "data" / f"{name}.parquet" for name, told in known.items() if told is None]
    results = place.executor.map(partial(_encoded, tokenizer), missing)
    total: Counter[str] = Counter()
    for number, (name, told) in enumerate(known.items(), 1):
        own = told
        if own is None:
            examples, left_out = next(results)
            with room_needed(packed):
                own = {**write_packed(packed, name, examples, plan.write.row), "left_out": left_out}
            own["too_long"] = len(examples) - own["examples"]
            shards[name].finish(own)
        total.update(own)
        place.report(Progress("pack", number, len(known), name, told is not None))
    return dict(sorted(total.items()))
