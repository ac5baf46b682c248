"""Client: what a session needs of the editor at the other end. `editor.py` has it from a real one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from lsprotocol import types

from serve.lsp.desk import Desk, Stop
from serve.lsp.options import Options
from serve.lsp.project import Buffer

Tell = Callable[[str], None]
Work = Callable[[Stop, Tell], Any]


class Client(Protocol):
    """What a session needs of the editor."""

    @property
    def encoding(self) -> str:
        """The unit of columns."""
        ...

    def buffers(self) -> dict[Path, Buffer]:
        """The open documents."""
        ...

    def folders(self) -> tuple[Path, ...]:
        """The workspace's folders."""
        ...

    def options(self, root: Path) -> Options:
        """The settings that hold in a folder."""
        ...

    def publish(self, uri: str, version: int | None, diagnostics: list[types.Diagnostic]) -> None:
        """Show these diagnostics of a document and no others."""
        ...

    def say(self, sentence: str) -> None:
        """One sentence for the user."""
        ...

    async def long(self, desk: Desk, key: str, title: str, work: Work) -> Any:  # noqa: ANN401
        """Do `work` at the desk, with progress that can be cancelled; what it returns. Raises what it raises."""
        ...
