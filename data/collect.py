"""First stage of a build: packages to cleaned files, one shard a package, resumable.

Reads through `sources.packages`, cuts what `decontaminate` forbids, writes `files/NAME.jsonl` (path, text)
and `files/NAME.json` (the manifest row). A package whose summary exists with the same recipe is not read again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from data.decontaminate import Dropped, Forbidden, clean
from data.recipe import Recipe
from data.sources.packages import CodeFile, Package, Tally, read_files
from data.store import read_rows, write_rows, write_text

_CHOICES = ("seed", "cap", "test_share", "limits")


def _cleaned(
    package: Package, tally: Tally, recipe: Recipe, forbidden: Forbidden
) -> Iterator[tuple[CodeFile, tuple[Dropped, ...]]]:
    files = read_files(
        package, tally, limits=recipe.limits, cap=recipe.cap, test_share=recipe.test_share, seed=recipe.seed
    )
    for file in files:
        text, dropped = clean(file.path, file.text, forbidden)
        yield CodeFile(file.package, file.path, text), dropped


def _summary(package: Package, tally: Tally, dropped: Sequence[Dropped], recipe: Recipe) -> dict[str, object]:
    return {
        **package.told,
        "held_out": package.name in recipe.held_out,
        "files": tally.files,
        "bytes": tally.size,
        "test_bytes": tally.test_size,
        "left_out": dict(sorted(tally.left_out.items())),
        "decontaminated": dict(sorted(Counter(d.reason for d in dropped).items())),
    }


def collect_package(package: Package, folder: Path, recipe: Recipe, forbidden: Forbidden) -> dict[str, object]:
    """Write one package's shard and summary, or give back the summary of an earlier build with the same choices."""
    summary_path = folder / f"{package.name}.json"
    key = f"{recipe.digest(*_CHOICES)}:{package.sha256[:16]}:{len(forbidden.marks)}:{len(forbidden.grams)}"
    if summary_path.exists():
        earlier = json.loads(summary_path.read_text("utf-8"))
        if earlier.get("key") == key:
            return earlier | {"held_out": package.name in recipe.held_out}
    tally = Tally()
    dropped: list[Dropped] = []
    rows: list[dict[str, object]] = []
    if package.decision.accepted:
        for file, cut in _cleaned(package, tally, recipe, forbidden):
            dropped += cut
            if file.text:
                rows.append({"path": file.path, "text": file.text})
    write_rows(folder / f"{package.name}.jsonl", rows)
    write_rows(
        folder / f"{package.name}.dropped.jsonl",
        ({"path": d.path, "name": d.name, "first": d.first, "last": d.last, "reason": d.reason} for d in dropped),
    )
    summary = _summary(package, tally, dropped, recipe) | {"key": key}
    write_text(summary_path, json.dumps(summary, sort_keys=True, indent=1) + "\n")
    return summary


def collected(folder: Path, names: Sequence[str]) -> Iterator[CodeFile]:
    """The cleaned files of some packages, in order. Raises InputError when one was not collected."""
    for name in names:
        for row in read_rows(folder / f"{name}.jsonl"):
            yield CodeFile(name, str(row["path"]), str(row["text"]))
