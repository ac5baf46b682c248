"""Encoded examples on disk: flat arrays that are mapped, not read, so that a large dataset stays in bounded memory.

Owns the format of one cache folder, that it is written whole or not at all, and that a damaged one is made again.
Must not know where records come from, how they are encoded or what a token weighs.

    KEY/ids.u32      token ids of all examples, one after another
    KEY/marks.u8     the role of each token (`repair.prompts.Role`), 128 added where the code holds the fault
    KEY/records.z    each example's record, compressed, for those who need the source again
    KEY/index.npy    int64 (examples, 4): end in ids, tokens of the prompt, hunks of the answer, end in records
    KEY/meta.json    written last: sha256 of each file, and what the maker told
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data.records import SCHEMA, Record, from_row
from data.shards import sha256_of
from repair.errors import InputError
from training.encoding import Tokens

if TYPE_CHECKING:
    from typing import Any

_MUTED = 128
_FILES = ("ids.u32", "marks.u8", "records.z", "index.npy")


class Writer:
    """Appends examples to the files of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._index: list[tuple[int, int, int, int]] = []
        self._ends = (0, 0)  # in ids, in records
        with ExitStack() as stack:
            self._streams = [stack.enter_context((folder / name).open("wb")) for name in _FILES[:3]]
            self._open = stack.pop_all()

    def __len__(self) -> int:
        return len(self._index)

    def add(self, tokens: Tokens, record: Record, hunks: int) -> None:
        """One example; `hunks` 0 means that there is no fault."""
        kept = {"schema": SCHEMA, **{one.name: getattr(record, one.name) for one in fields(record)}}
        packed = zlib.compress(json.dumps(kept).encode(), 1)
        marks = tokens.roles | (tokens.muted.astype(np.uint8) * np.uint8(_MUTED))
        contents = (tokens.ids.astype(np.uint32).tobytes(), marks.astype(np.uint8).tobytes(), packed)
        for stream, content in zip(self._streams, contents, strict=True):
            stream.write(content)
        self._ends = (self._ends[0] + len(tokens), self._ends[1] + len(packed))
        self._index.append((self._ends[0], tokens.prompt, hunks, self._ends[1]))

    def close(self) -> None:
        """Write the index and close everything."""
        self._open.close()
        np.save(self._folder / "index.npy", np.array(self._index, np.int64).reshape(-1, 4))


class Encoded:
    """The examples of one cache folder. Raises ValueError, OSError or KeyError when it is not whole."""

    def __init__(self, folder: Path) -> None:
        meta: Any = json.loads((folder / "meta.json").read_text("utf-8"))
        for name in _FILES:
            if sha256_of(folder / name) != meta["sha256"][name]:
                raise ValueError(f"{name} is not what was written")
        self.told: Mapping[str, Any] = meta["told"]
        self.index: NDArray[np.int64] = np.load(folder / "index.npy")
        self._ids = np.memmap(folder / "ids.u32", np.uint32, "r")
        self._marks = np.memmap(folder / "marks.u8", np.uint8, "r")
        self._records = np.memmap(folder / "records.z", np.uint8, "r")

    def __len__(self) -> int:
        return len(self.index)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example."""
        return np.diff(self.index[:, 0], prepend=0)

    @property
    def clean(self) -> NDArray[np.bool_]:
        """Which examples have no fault."""
        return self.index[:, 2] == 0

    @property
    def highest(self) -> int:
        """The largest token id."""
        return int(self._ids.max())

    def _span(self, number: int, column: int) -> tuple[int, int]:
        return int(self.index[number - 1, column]) if number else 0, int(self.index[number, column])

    def tokens(self, number: int) -> Tokens:
        """One example, copied out of the map."""
        span = slice(*self._span(number, 0))
        marks = np.array(self._marks[span])
        muted = marks >= _MUTED
        return Tokens(np.array(self._ids[span]), marks & np.uint8(_MUTED - 1), muted, int(self.index[number, 1]))

    def record(self, number: int) -> Record:
        """What an example was made from."""
        return from_row(json.loads(zlib.decompress(self._records[slice(*self._span(number, 3))].tobytes())))


Make = Callable[[Writer], Mapping[str, object]]


def encoded(cache: Path, key: str, make: Make) -> Encoded:
    """The examples under a key, made if they are not there whole; what `make` raises leaves nothing behind.

    Processes that ask for the same key at once make it once. Raises InputError when the disk is full.
    """
    folder = cache / key
    with _alone(cache / f"{key}.lock"):
        try:
            return Encoded(folder)
        except (OSError, ValueError, KeyError):
            shutil.rmtree(folder, ignore_errors=True)  # never made, or torn
        with _room(cache):
            _write(folder, make)
        return Encoded(folder)


def _write(folder: Path, make: Make) -> None:
    for left in folder.parent.glob(f"{folder.name}.*/"):
        shutil.rmtree(left)  # of a process that was killed: the lock is ours
    partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        writer = Writer(partial)
        try:
            told = dict(make(writer))
        finally:
            writer.close()
        hashes = {name: sha256_of(partial / name) for name in _FILES}
        (partial / "meta.json").write_text(json.dumps({"sha256": hashes, "told": told}, sort_keys=True), "utf-8")
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _alone(lock: Path) -> Generator[None]:
    with lock.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@contextmanager
def _room(cache: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(
            f"{cache}: the disk is full; make room, or set XDG_CACHE_HOME to a folder on a larger one",
            field="XDG_CACHE_HOME",
        ) from error


def cache_folder(run: Path) -> Path:
    """$XDG_CACHE_HOME/emend/encoded, or beside the run where that cannot be written."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    for folder in (Path(home) / "emend" / "encoded", run / "encoded"):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    raise InputError(f"neither {home} nor {run} can be written: set XDG_CACHE_HOME", field="XDG_CACHE_HOME")
