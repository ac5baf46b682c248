r"""Offsets in a text (code points) to positions of the protocol: lines, and columns in the agreed unit. Pure.

LSP 3.17 ends lines at "\n", "\r\n" and a lone "\r", `repair.sources` at "\n" only: so positions are counted here.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping

from lsprotocol import types

from repair.edits import Edit, Span

_ENDS = re.compile(r"\r\n|\n|\r")
BOM = "\ufeff"
_UNITS: Mapping[str, Callable[[str], int]] = {
    "utf-8": lambda text: len(text.encode("utf-8", "surrogatepass")),
    "utf-16": lambda text: len(text.encode("utf-16-le", "surrogatepass")) // 2,
    "utf-32": len,
}


class Positions:
    """Positions in one text as the client holds it; offsets do not count a byte order mark at its start."""

    def __init__(self, text: str, encoding: str = "utf-16") -> None:
        self._text = text
        self._shift = int(text.startswith(BOM))
        self._starts = [0, *(found.end() for found in _ENDS.finditer(text))]
        self._units = _UNITS.get(encoding, _UNITS["utf-16"])

    def at(self, offset: int) -> types.Position:
        """The position of an offset."""
        offset = min(offset + self._shift, len(self._text))
        line = bisect_right(self._starts, offset) - 1
        return types.Position(line, self._units(self._text[self._starts[line] : offset]))

    def range(self, span: Span) -> types.Range:
        """The range of a span."""
        return types.Range(self.at(span.start), self.at(span.end))

    def edit(self, edit: Edit) -> types.TextEdit:
        r"""The same edit, in the protocol's words; no position lies between "\r" and "\n", editors would move it."""
        start, end, text = edit.span.start, edit.span.end, edit.text
        if self._splits(start):
            start, text = start - 1, f"\r{text}"
        if self._splits(end):
            end, text = end + 1, f"{text}\n"
        return types.TextEdit(self.range(Span(start, end)), text)

    def _splits(self, offset: int) -> bool:
        at = offset + self._shift
        return self._text[at - 1 : at + 1] == "\r\n" if at else False
