"""Finished shards: rows and their summary on disk, written whole, so that a killed build goes on where it was.

A shard is `NAME.jsonl`, `NAME.dropped.jsonl` and, written last, the summary `NAME.json` with the key of everything
the rows depend on. Owns that order, the lock of an output folder and what a full disk is told. Must not know what
rows mean.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data.store import read_rows, write_rows, write_text
from repair.errors import InputError

if TYPE_CHECKING:
    from typing import Any

Row = Mapping[str, object]
_FULL = (errno.ENOSPC, errno.EDQUOT)


def digest(*parts: object) -> str:
    """16 hex digits that depend on every part (JSON values, or whatever has a telling `str`)."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class Shard:
    """Where one shard lies and the key that it must have to be current. `name` may hold folders."""

    folder: Path
    name: str
    key: str

    def _path(self, ending: str) -> Path:
        return self.folder / f"{self.name}{ending}"

    def counts(self) -> dict[str, Any] | None:
        """The summary's counts when it is finished under this very key, else None."""
        try:
            summary = json.loads(self._path(".json").read_text("utf-8"))
        except (OSError, ValueError):
            return None  # never finished
        return summary["counts"] if isinstance(summary, dict) and summary.get("key") == self.key else None

    def write(
        self,
        rows: Sequence[Row],
        dropped: Sequence[Row],
        counts: Mapping[str, object],
        *,
        beside: Mapping[str, Sequence[Row]] | None = None,
    ) -> None:
        """Write all files (`NAME.KIND.jsonl` for each kind of `beside`), the summary last.

        Raises InputError (full disk: what to do).
        """
        with room_needed(self.folder):
            for kind, others in (beside or {}).items():
                write_rows(self._path(f".{kind}.jsonl"), others)
            write_rows(self._path(".jsonl"), rows)
            write_rows(self._path(".dropped.jsonl"), dropped)
            self.finish(counts)

    def finish(self, counts: Mapping[str, object]) -> None:
        """Write the summary: from now on the shard is taken for whole."""
        with room_needed(self.folder):
            write_text(self._path(".json"), json.dumps({"key": self.key, "counts": counts}, sort_keys=True) + "\n")

    def rows(self) -> Iterator[dict[str, object]]:
        """Its rows, in order."""
        return read_rows(self._path(".jsonl"))

    def dropped(self) -> Iterator[dict[str, object]]:
        """What was left out, in order."""
        return read_rows(self._path(".dropped.jsonl"))


@contextmanager
def room_needed(folder: Path) -> Generator[None]:
    """Tell what to do when the disk is full; what was finished before stays, the unfinished file goes."""
    try:
        yield
    except (OSError, InputError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if not isinstance(cause, OSError) or cause.errno not in _FULL:
            raise
        for partial in folder.rglob("*.part"):
            partial.unlink(missing_ok=True)
        raise InputError(
            f"{folder}: the disk is full; make room and run the same command again: finished shards are kept",
            field="output",
        ) from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, as `store.write_text` does."""
    partial = path.with_name(f"{path.name}.part")
    with room_needed(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)


@contextmanager
def locked(out: Path) -> Generator[None]:
    """Hold an output folder for one build. Raises InputError when another one writes there, or none can."""
    path = out / "work" / "lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("w")
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror}); name another folder", field="output") from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"{out}: another build writes there; wait for it or stop it", field="output") from error
        yield
