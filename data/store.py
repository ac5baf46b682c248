"""Files on disk that a build leaves behind: written whole or not at all, read back as values.

Owns: atomic writing, JSON lines, the layout of `files/` (one shard and one summary for each package).
Must not know what the rows mean.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from repair.errors import InputError


def write_text(path: Path, text: str) -> None:
    """Write a file so that a kill leaves either the old or the new one. Raises InputError (full disk, no right)."""
    partial = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})", field="out") from error


def write_rows(path: Path, rows: Iterable[Mapping[str, object]]) -> int:
    """Write JSON lines whole or not at all; how many there were."""
    lines = [json.dumps(row, ensure_ascii=False, sort_keys=True) for row in rows]
    write_text(path, "".join(f"{line}\n" for line in lines))
    return len(lines)


def read_rows(path: Path) -> Iterator[dict[str, object]]:
    """The rows of a JSON lines file. Raises InputError, naming the line that is no object."""
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise InputError(f"{path}:{number}: not an object", field=str(path))
                yield row
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file", field=str(path)) from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: {error}", field=str(path)) from error


def write_array(path: Path, array: NDArray[np.generic]) -> None:
    """Write a `.npy` file (memory-mappable) whole or not at all."""
    partial = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            np.save(stream, array, allow_pickle=False)
        partial.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})", field="out") from error
