"""Records of a user's dataset: folders of `emend data build`, and single .parquet and .jsonl files.

Owns what a dataset may be given as, the checks of what a person wrote by hand, and which records belong to a split.
Must not know models, tokens or weights.

A folder says itself which records belong to a split. In a file a row's own `split` decides; without one the rule of
`data.splits` does: a hash of the repository (5 % validation, 5 % test), and of the repaired code where the row names
no repository, so that the same code never lies in two splits. A row of a .jsonl file needs `buggy` and `fixed` only.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from data.plans import Split
from data.records import SCHEMA, ErrorOrigin, Origin, Record, from_row
from data.shards import digest, sha256_of
from data.sources.suites import last_line, whole_lines
from data.splits import TRAIN, split_of
from data.stages import FORMAT
from repair.errors import InputError, SuiteError
from repair.languages import language_names
from repair.sources import language_of
from repair.traces import frames_in, headline, parse_error

if TYPE_CHECKING:
    from typing import Any

Row = Mapping[str, object]
_FILES = {"python": "solution.py", "javascript": "solution.js", "typescript": "solution.ts", "tsx": "solution.tsx"}
_WRITTEN = ("schema", "id", "fault_first", "fault_last", "hunks")  # beside a record's own fields in what `data` writes
_BATCH = 1000  # rows of a Parquet file in memory


def _is_list(value: object, kind: type) -> bool:
    return isinstance(value, list | tuple) and all(type(item) is kind for item in cast("list[object]", value))


_KINDS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "str": ("a text", lambda v: isinstance(v, str)),
    "int": ("a whole number", lambda v: type(v) is int),
    "float": ("a number", lambda v: type(v) in (int, float)),
    "bool": ("true or false", lambda v: isinstance(v, bool)),
    "Origin": (f"one of {', '.join(Origin)}", lambda v: v in tuple(Origin)),
    "ErrorOrigin": (f"one of {', '.join(filter(None, ErrorOrigin))}, or empty", lambda v: v in tuple(ErrorOrigin)),
    "tuple[str, ...]": ("a list of texts", lambda v: _is_list(v, str)),
    "tuple[int, ...]": ("a list of whole numbers", lambda v: _is_list(v, int)),
}
_FIELDS = {one.name: _KINDS[str(one.type)] for one in fields(Record)} | {"split": _KINDS["str"]}


@dataclass(frozen=True, slots=True)
class Part:
    """One folder or file of a dataset, as a model card names it. `sha256` is of the manifest or of the file."""

    name: str
    path: str
    sha256: str
    splits: Mapping[str, int]  # records by split; of a file they are known once it is read
    files: tuple[Path, ...] | None = None  # Parquet files of the split in a folder; None: the part is itself a file


@dataclass(frozen=True, slots=True)
class Dataset:
    """What a recipe's `data.dataset` names, opened for one split."""

    parts: tuple[Part, ...]
    split: str

    @property
    def key(self) -> str:
        """Depends on every byte that is read."""
        return digest(self.split, [part.sha256 for part in self.parts])

    def records(self) -> Iterator[tuple[int, Record]]:
        """The records of the split with the number of their part, in order.

        Raises InputError or SuiteError: a row that cannot be read (file, line and field are named), an empty split.
        """
        there: Counter[str] = Counter()
        for number, part in enumerate(self.parts):
            there.update(part.splits)
            for split, record in _records(part, self.split):
                if part.files is None:
                    there[split] += 1
                if split == self.split:
                    yield number, record
        if not there[self.split]:
            names = ", ".join(part.path for part in self.parts)
            found = ", ".join(f"{name} ({count})" for name, count in sorted(there.items()) if count) or "none"
            raise InputError(
                f"{names}: no record of the split {self.split!r}; there are {found}. Set data.split and "
                "data.heldout_split, or give the rows of a file a `split`",
                field="data.dataset",
            )


def open_dataset(paths: Sequence[str], split: str) -> Dataset:
    """Check what is there. Raises InputError: no such path, a build that never ended or is of another version."""
    if not paths:
        raise InputError(
            "data.dataset names nothing: give folders of `emend data build` or files", field="data.dataset"
        )
    return Dataset(tuple(_part(Path(path).expanduser(), split) for path in paths), split)


def _part(path: Path, split: str) -> Part:
    if path.is_dir():
        return _folder(path, split)
    if not path.is_file():
        raise InputError(f"{path}: no such folder or file", field="data.dataset")
    if path.suffix not in (".parquet", ".jsonl"):
        raise InputError(f"{path}: neither a folder nor a .parquet or .jsonl file", field="data.dataset")
    return Part(path.name, str(path), sha256_of(path), {})


def _folder(path: Path, split: str) -> Part:
    file = path / "manifest.json"
    if not file.is_file():
        raise InputError(
            f"{path} has no manifest.json: it is no dataset, or its build has not ended; run `emend data build` again",
            field="data.dataset",
        )
    try:
        manifest: Any = json.loads(file.read_text("utf-8"))
        told, format_ = manifest["files"], manifest["format"]
        name, splits = str(manifest["name"]), {str(k): int(v) for k, v in manifest["counts"]["split"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file} is no manifest of a dataset ({error!r})", field="data.dataset") from error
    if format_ != FORMAT:
        raise InputError(
            f"{path} is a dataset of format {format_}; this Emend reads format {FORMAT}: build it again",
            field="data.dataset",
        )
    names = sorted(n for n in told if n.startswith(f"data/{split}-") and n.endswith(".parquet"))
    for one in names:
        if not (path / one).is_file() or sha256_of(path / one) != told[one]["sha256"]:
            raise InputError(
                f"{path / one} is not the file that the manifest tells of: run `emend data build` again to the end",
                field="data.dataset",
            )
    return Part(name, str(path), sha256_of(file), splits, tuple(path / one for one in names))


def _records(part: Part, split: str) -> Iterator[tuple[str, Record]]:
    """Records with their split."""
    from data.parquet import read_parquet

    if part.files is not None:
        for file in part.files:
            try:
                yield from ((split, record) for record in read_parquet(file))
            except InputError as error:
                raise InputError(f"{file}: {error}", field=error.field) from error
        return
    path = Path(part.path)
    for number, row in _rows(path):
        try:
            record = record_of(row)
            yield _split(row, record), record
        except InputError as error:
            where = f"{path}:{number}" if path.suffix == ".jsonl" else f"{path}: row {number}"
            raise SuiteError(f"{where}: {error}", field=error.field, line=number) from error


def _split(row: Row, record: Record) -> str:
    if row.get("split"):
        return str(row["split"])
    code = hashlib.sha256(record.fixed.encode()).hexdigest()
    found = split_of(replace(record, repository=record.repository or code), Split())
    return found if isinstance(found, str) else TRAIN


def _rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Rows of a file with their numbers, from 1."""
    if path.suffix == ".parquet":
        yield from enumerate(_parquet_rows(path), 1)
        return
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise SuiteError(f"{path}:{number}: not JSON ({error})", field=str(path), line=number) from error
            if not isinstance(row, dict):
                raise SuiteError(f"{path}:{number}: not an object", field=str(path), line=number)
            yield number, cast("dict[str, object]", row)


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH):
                yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read as Parquet ({error})", field="data.dataset") from error


def record_of(row: Row) -> Record:
    """The record of a row: one that `data` wrote, or one written by hand. Raises InputError naming the field."""
    given = {name: value for name, value in row.items() if value is not None}
    for name, value in given.items():
        _check(name, value)
    if "schema" in row and row["schema"] != SCHEMA:
        raise InputError(
            f"schema is {row['schema']!r}; this Emend reads records of schema {SCHEMA}: build them again",
            field="schema",
        )
    for name in ("buggy", "fixed"):
        if not str(given.get(name, "")).strip():
            raise InputError(f"{name} is missing or empty", field=name)
    record = from_row(given if "schema" in row else _completed(given))
    if record.language not in (*language_names(), "text"):
        known = ", ".join(language_names())
        raise InputError(f"language is {record.language!r}; known are {known}, text", field="language")
    return record


def _check(name: str, value: object) -> None:
    if name in _WRITTEN:
        return
    if name not in _FIELDS:
        close = difflib.get_close_matches(name, _FIELDS, n=1)
        raise InputError(f"unknown field {name!r}{f'; did you mean {close[0]}?' if close else ''}", field=name)
    kind, holds = _FIELDS[name]
    if not holds(value):
        raise InputError(f"{name} must be {kind}, it is {value!r:.60}", field=name)
    for text in (value,) if isinstance(value, str) else cast("list[object]", value) if isinstance(value, list) else ():
        try:
            str(text).encode()
        except UnicodeEncodeError as error:
            raise InputError(f"{name} holds half a character ({error.reason})", field=name) from error


def _completed(given: Row) -> Row:
    """A row written by hand with all fields of a record: an error text is read as at serving time."""
    path = str(given.get("path", ""))
    language = str(given.get("language") or (language_of(path) if path else "python"))
    defaults: dict[str, object] = {one.name: one.default for one in fields(Record)}
    values = {**defaults, "origin": Origin.COMMIT, "language": language, **given}
    values["path"] = path or _FILES.get(language, "Main.java" if language == "java" else "code")
    values |= {"buggy": whole_lines(str(given["buggy"])), "fixed": whole_lines(str(given["fixed"])), "schema": SCHEMA}
    text = str(given.get("error", "")).strip()
    if text:
        defect = parse_error(text)
        error = headline(defect) or last_line(text)
        kind = error.partition(":")[0]
        values["error"] = error
        values["error_origin"] = given.get("error_origin") or ErrorOrigin.REPORTED
        values["error_type"] = given.get("error_type") or (kind if kind.isidentifier() else "")
        if "frames" not in given:
            shift = cast("int", values["first_line"]) - 1
            lines = str(values["buggy"]).count("\n")
            numbers = (n - shift for n in frames_in(defect, str(values["path"])))
            values["frames"] = [n for n in numbers if 1 <= n <= lines]
    return values
