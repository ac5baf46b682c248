"""Control: how a coordinator tells workers to stop - by files, which any process that shares the folder can see.

`cluster_control` is the one of a cluster.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

ALL = "*"  # no name of a repository


class Stops(Protocol):
    """Can be pickled: the coordinator raises flags, workers ask for them."""

    def clear(self) -> None:
        """Take all flags down, also those of a coordinator that was killed."""
        ...

    def stop(self, name: str = "") -> None:
        """Ask for the end of the work on a repository, or of all work."""
        ...

    def stopped(self, name: str) -> bool:
        """Whether work on a repository is to end."""
        ...

    def all_stopped(self) -> bool:
        """Whether all work is to end."""
        ...


@dataclass(frozen=True, slots=True)
class Control:
    """A folder of flags. Where a worker does not share it, it is told nothing and works to its bounds."""

    folder: Path

    def clear(self) -> None:
        """Take all flags down, also those of a coordinator that was killed."""
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "names").mkdir(parents=True, exist_ok=True)

    def stop(self, name: str = "") -> None:
        """Ask for the end of the work on a repository, or of all work."""
        (self.folder / "names" / name if name else self.folder / "all").touch()

    def stopped(self, name: str) -> bool:
        """Whether work on a repository is to end."""
        return self.all_stopped() or (self.folder / "names" / name).exists()

    def all_stopped(self) -> bool:
        """Whether all work is to end."""
        return (self.folder / "all").exists()
