"""Shelves: bytes that one task leaves and others take, wherever they run - checkouts, mostly.

What stands on a shelf may be gone when it is asked for (a lost node, an emptied folder): whoever takes it can make it
again. `repair.cluster.RayShelf` is the one of a cluster.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Ticket:
    """What is needed to take something again. `digest` is the sha256 of the content, `size` its bytes.

    `place` is the shelf's own (a reference of Ray's object store); it can be pickled wherever tasks go.
    """

    digest: str
    size: int
    place: object = None


class Shelf(Protocol):
    """Can be pickled, and used in any task of its executor."""

    def put(self, content: bytes) -> Ticket:
        """Leave some bytes."""
        ...

    def get(self, ticket: Ticket) -> bytes | None:
        """The same bytes; None when they are gone or damaged."""
        ...


def ticket_of(content: bytes, place: object = None) -> Ticket:
    """The ticket of a content."""
    return Ticket(hashlib.sha256(content).hexdigest(), len(content), place)


@dataclass(frozen=True, slots=True)
class FolderShelf:
    """Files named by their sha256 under `folder`, which is made when it is needed. Raises OSError when it is full."""

    folder: Path

    def put(self, content: bytes) -> Ticket:
        """Written beside and renamed, so that others see all of it or nothing; what is there already stays."""
        ticket = ticket_of(content)
        path = self._path(ticket)
        if self.get(ticket) is not None:
            return ticket
        path.parent.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(prefix=".", dir=path.parent)
        beside = Path(name)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(content)
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        return ticket

    def get(self, ticket: Ticket) -> bytes | None:
        """As `Shelf.get`: what does not have the ticket's digest is damaged."""
        try:
            content = self._path(ticket).read_bytes()
        except OSError:
            return None
        return content if ticket_of(content).digest == ticket.digest else None

    def _path(self, ticket: Ticket) -> Path:
        return self.folder / ticket.digest[:2] / ticket.digest[2:]


@cache
def passing_shelf() -> FolderShelf:
    """A shelf in a new folder that goes with this process."""
    folder = Path(tempfile.mkdtemp(prefix="emend-shelf-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return FolderShelf(folder)
