"""The data of `emend improve`: which code may be used, the recipe of the faults, the mixture drawn of them.

Composes `data` and `training.records`. Must not know why a plan is as it is.
"""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from eval.improvement import CLEAN_SHARE, Built, Plan, quotas
from repair.errors import InputError
from serve.printing import stderr

if TYPE_CHECKING:
    from data.records import Record

FAULTS, MIXTURE = "faults", "mixture"  # folders in OUT
_EACH = 4  # faults of one function: more than are wanted, the mixture is drawn of them
_HELDOUT = 2000  # pairs kept for the gate, which looks at 400
_NOTICES = ("LICENSE*", "LICENCE*", "COPYING*")


@dataclass(frozen=True, slots=True)
class Code:
    """A folder that `inject` reads, with the licence of a folder of source files."""

    path: Path
    licence: str = ""


def permissive(code: Sequence[Path], licence: str, out: Path) -> tuple[Code, ...]:
    """Folders to inject into. Wheels given one by one are copied to OUT/code.

    Raises InputError: no such path, nothing to read, no licence that allows training on it.
    """
    if not code:
        raise InputError("give --code: folders or wheels of code that faults are put into", field="code")
    wheels = [path for path in code if path.is_file() and path.suffix == ".whl"]
    folders = [_folder(path, licence) for path in code if path not in wheels]
    if wheels:
        (out / "code").mkdir(parents=True, exist_ok=True)
        for path in wheels:
            if not (out / "code" / path.name).exists():
                shutil.copy(path, out / "code" / path.name)
        folders.append(Code((out / "code").resolve()))
    refused = {folder: reason for folder in folders if (reason := _refused(folder))}
    if len(refused) == len(folders):
        raise InputError(f"no code with a permissive licence: {'; '.join(refused.values())}", field="code")
    for reason in refused.values():
        stderr().print(Text(f"left out: {reason}"), soft_wrap=True)
    return tuple(folder for folder in folders if folder not in refused)


def _folder(path: Path, licence: str) -> Code:
    if not path.is_dir():
        raise InputError(f"{path}: neither a folder nor a wheel (.whl)", field="code")
    path = path.resolve()
    return Code(path) if any(path.glob("*.whl")) else Code(path, licence or _noticed(path))


def _noticed(folder: Path) -> str:
    """The licence that a file of the folder, or of one above it in the same checkout, is."""
    from data.licence_texts import licence_of

    for place in (folder, *folder.parents):
        for file in sorted(file for name in _NOTICES for file in place.glob(name) if file.is_file()):
            if found := licence_of(file.read_text("utf-8", "replace")):
                return found
        if (place / ".git").exists():
            break
    return ""


def _refused(code: Code) -> str:
    """Why nothing of the code may be used, "" where something may."""
    from data.licences import expression_allowed
    from data.sources.lots import read_lots

    lots = read_lots(code.path, name="", licence=code.licence)
    if any(lot.files for lot in lots):
        if not code.licence:
            return f"{code.path} has no licence file that is known (say it with --licence SPDX)"
        return "" if expression_allowed(code.licence) else f"{code.path} is under {code.licence}"
    return (
        ""
        if any(lot.package.decision.accepted for lot in lots)
        else "; ".join(f"{lot.package.name}: {lot.package.decision.reason}" for lot in lots[:3])
    )


def faults_toml(code: Sequence[Code], suites: Sequence[Path]) -> str:
    """The recipe of the dataset: all classes; no code of the suites."""
    cap = max(500_000, 6_000_000 // len(code))
    sources = "".join(
        f'[[sources]]\nkind = "inject"\npath = {json.dumps(str(one.path))}\nlicence = {json.dumps(one.licence)}\n'
        f"each = {_EACH}\ncap = {cap}\n\n"
        for one in code
    )
    named = ", ".join(json.dumps(str(path.resolve())) for path in suites)
    return (
        "# Written by emend improve. The mixture of the classes is drawn of what is built here.\n"
        f'name = "improve"\noutput = "{FAULTS}"\n\n{sources}[decontaminate]\nsuites = [{named}]\n\n'
        '[split]\nby = "file"\nvalidation = 0.25\ntest = 0.0\n'
    )


def mixed(folder: Path, out: Path, plan: Plan, pairs: int) -> Built:
    """Draw the training pairs by the plan's shares, the held-out ones as they are, into a dataset of its own.

    Raises InputError: nothing was injected, or nothing could be held out.
    """
    from data.records import CLEAN
    from training.records import open_dataset

    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    splits = manifest["counts"].get("split", {})
    for split in ("train", "validation"):
        if not splits.get(split):
            why = ", ".join(f"{n} {reason}" for reason, n in manifest["dropped"].get("read", {}).items()) or "no code"
            raise InputError(
                f"nothing was injected for the split {split!r} ({why}): give more code with --code, of permissive "
                "licence and with functions of 3 lines or more",
                field="code",
            )
    known = [record for _, record in open_dataset((str(folder),), "train").records()]
    draw = random.Random(0)
    draw.shuffle(known)
    single = [r for r in known if len(set(r.bug_classes)) == 1]
    groups: dict[str, list[Record]] = {}
    for record in single:
        groups.setdefault(record.bug_classes[0], []).append(record)
    clean = groups.pop(CLEAN, [])[: round(CLEAN_SHARE * pairs)]
    counts = quotas(plan.shares, pairs - len(clean), {name: len(those) for name, those in groups.items()})
    train = [*clean, *(record for name, count in counts.items() for record in groups.get(name, [])[:count])]
    if len(train) == len(clean):
        raise InputError("nothing was injected of the classes that fail: give more code with --code", field="code")
    draw.shuffle(train)
    held = [record for _, record in open_dataset((str(folder),), "validation").records()]
    draw.shuffle(held)
    digest = _write_dataset(out, {"train": train, "validation": held[:_HELDOUT]})
    return Built(_classes(train), _classes(held[:_HELDOUT]), sum(splits.values()), _licences(train), digest)


def _classes(records: Sequence[Record]) -> dict[str, int]:
    return dict(Counter("+".join(sorted(set(r.bug_classes))) for r in records).most_common())


def _licences(records: Sequence[Record]) -> dict[str, int]:
    return dict(Counter(record.licence for record in records).most_common())


def _write_dataset(out: Path, splits: Mapping[str, Sequence[Record]]) -> str:
    """A folder as `emend data build` leaves it, the manifest last; gives its digest."""
    from data.parquet import parquet_bytes
    from data.records import to_row
    from data.shards import digest, sha256_of
    from data.stages import FORMAT

    (out / "data").mkdir(parents=True, exist_ok=True)
    files: dict[str, object] = {}
    for split, records in splits.items():
        path = out / "data" / f"{split}-00000.parquet"
        path.write_bytes(parquet_bytes([to_row(record) for record in records]))
        files[f"data/{path.name}"] = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    counts = {
        "split": {split: len(records) for split, records in splits.items()},
        "licence": _licences([record for records in splits.values() for record in records]),
    }
    manifest = {"format": FORMAT, "name": "improve", "counts": counts, "files": files}
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return digest(manifest)
