"""View and Hunk: the window of code that a model reads, and the change it answers with.

Both are free of any prompt format. `prompts.py` renders a View for a kind of model, `replies.py`
parses that model's text into Hunks, and only code (here) turns Hunks into a Patch.
Training examples are (View, Hunks) as well, so that serving and training cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from repair.edits import Edit, FilePatch, Patch, Span
from repair.errors import PatchError
from repair.sources import Source


@dataclass(frozen=True, slots=True)
class View:
    """One window of one file as a model sees it; line numbers are those of the file (1-based)."""

    path: str
    language: str
    first_line: int
    lines: tuple[str, ...]  # without terminators
    error: str = ""  # one line: type and message of the failure
    frames: tuple[int, ...] = ()  # lines of this window in the traceback, innermost first
    test: str = ""  # the failing assertion or a few lines of the test
    context: tuple[str, ...] = ()  # imports, class header, sibling signatures

    @property
    def last_line(self) -> int:
        """Number of the last line shown."""
        return self.first_line + len(self.lines) - 1


@dataclass(frozen=True, slots=True, order=True)
class Hunk:
    """Replace lines `first`..`last` (1-based, inclusive) by `text` (no final newline).

    `last == first - 1` inserts `text` before line `first`; an empty `text` deletes the lines.
    """

    first: int
    last: int
    text: str

    def __post_init__(self) -> None:
        if self.first < 1 or self.last < self.first - 1:
            raise PatchError(f"hunk of lines {self.first}-{self.last} is no range", field="hunk")
        if self.last < self.first and not self.text:
            raise PatchError("a hunk that inserts nothing", field="hunk")

    @property
    def inserts(self) -> bool:
        """Whether it only adds lines."""
        return self.last < self.first


def hunk_edit(source: Source, hunk: Hunk) -> Edit:
    """The edit of `source` that a hunk means. Raises PatchError when it lies outside of the file."""
    text = source.newline.join(line.removesuffix("\r") for line in hunk.text.split("\n"))
    count = source.line_count
    if hunk.inserts:
        if hunk.first > count + 1:
            raise PatchError(f"{source.path}: cannot insert before line {hunk.first} of {count}", field="hunk")
        if hunk.first == count + 1:
            end = len(source.text)
            if source.text and not source.text.endswith("\n"):
                return Edit(Span(end, end), source.newline + text)
            return Edit(Span(end, end), text + source.newline)
        at = source.line_span(hunk.first).start
        return Edit(Span(at, at), text + source.newline)
    if hunk.last > count:
        raise PatchError(f"{source.path}: hunk of lines {hunk.first}-{hunk.last}, the file has {count}", field="hunk")
    if not hunk.text:
        return Edit(source.line_span(hunk.first, hunk.last, terminator=True), "")
    return Edit(source.line_span(hunk.first, hunk.last), text)


def hunks_patch(source: Source, hunks: Iterable[Hunk]) -> Patch:
    """The patch of one file that hunks mean. Raises PatchError: outside, overlapping."""
    return Patch((FilePatch(source.path, tuple(hunk_edit(source, h) for h in _joined(hunks))),))


def _joined(hunks: Iterable[Hunk]) -> list[Hunk]:
    """Hunks in order; lines deleted and others inserted right behind them are one replacement.

    Apart, they would leave an empty line at the end of a file without final newline.
    """
    joined: list[Hunk] = []
    for hunk in sorted(hunks, key=lambda h: (h.first, h.last)):
        if joined and not joined[-1].text and hunk.inserts and hunk.first == joined[-1].last + 1:
            deleted = joined.pop()
            joined.append(Hunk(deleted.first, deleted.last, hunk.text))
        else:
            joined.append(hunk)
    return joined


def edit_hunk(source: Source, edit: Edit) -> Hunk | None:
    """The smallest hunk of whole lines that does what `edit` does; None when it changes nothing.

    For an edit that only touches terminators at the end of the file the last line is replaced.
    """
    first, last = source.lines_of(edit.span)
    if edit.span.end > source.line_span(last).end and last < source.line_count:
        last += 1  # the edit swallows a terminator: the next line is joined to this one
    span = source.line_span(first, last)
    before = source.text[span.start : edit.span.start]
    after = source.text[edit.span.end : max(span.end, edit.span.end)]
    old = [source.line(n) for n in range(first, last + 1)]
    new = [line.removesuffix("\r") for line in (before + edit.text + after).split("\n")]
    if not "".join((before, edit.text, after)):
        new = []
    while old and new and old[0] == new[0]:
        old, new, first = old[1:], new[1:], first + 1
    while old and new and old[-1] == new[-1]:
        old, new, last = old[:-1], new[:-1], last - 1
    if not old and not new:
        return None
    if not old and not "".join(new):
        return None  # blank lines alone
    return Hunk(first, last, "\n".join(new))
