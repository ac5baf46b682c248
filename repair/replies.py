"""What a model answers: text to hunks, or the reason why it is none. Nothing is ever guessed at.

One reply format for all models (the embedded one's special tokens are turned into it):

    @@ 12-13        replace lines 12 to 13 by the lines that follow (none: delete them)
    @@ 20+          insert the lines that follow before line 20
    @@ ok           no fault found

A line of code that itself begins with `@@ ` (after any backslashes) has one more backslash before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from repair.errors import PatchError
from repair.prompts import LINE_TOKENS, Piece
from repair.views import Hunk, View

_HEADER = re.compile(r"@@ (?:(\d{1,7})-(\d{1,7})|(\d{1,7})\+|(ok))\s*")
_FENCE = re.compile(r"^```[\w-]*[ \t]*\n(.*?)^```[ \t]*$", re.DOTALL | re.MULTILINE)
_THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_LOOKS_LIKE_HEADER = re.compile(r"^(?=\\*@@ )", re.MULTILINE)
_ESCAPED = re.compile(r"\\+@@ ")
_LINE_TOKEN = re.compile(r"<\|L(\d+)\|>")


@dataclass(frozen=True, slots=True)
class Change:
    """A readable reply: hunks in order, disjoint, inside the view."""

    hunks: tuple[Hunk, ...]


@dataclass(frozen=True, slots=True)
class NoFault:
    """The model says that nothing is wrong."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """No change can be read from the reply; `reason` says why."""

    reason: str


Reply = Change | NoFault | Unreadable


def render_reply(hunks: Sequence[Hunk]) -> str:
    """The text of a reply; what `parse_reply` reads. Training targets of plain models are made by this."""
    if not hunks:
        return "@@ ok\n"
    parts: list[str] = []
    for hunk in hunks:
        parts.append(f"@@ {hunk.first}+" if hunk.inserts else f"@@ {hunk.first}-{hunk.last}")
        if hunk.text:
            parts.append(_LOOKS_LIKE_HEADER.sub(r"\\", hunk.text))
    return "\n".join(parts) + "\n"


def _hunk(header: re.Match[str], body: Sequence[str]) -> Hunk:
    first, last, before, _ = header.groups()
    lines = (line[1:] if _ESCAPED.match(line) else line for line in body)
    text = "\n".join(line.removesuffix("\r") for line in lines)
    return Hunk(int(before), int(before) - 1, text) if before else Hunk(int(first), int(last), text)


def _reply_lines(text: str) -> list[str] | Unreadable:
    """The lines of the reply proper: without a thought before it, out of a fenced block in prose."""
    text = _THOUGHT.sub("", text, count=1).lstrip("\r\n")
    fenced = [] if _HEADER.match(text) else _FENCE.findall(text)  # code may hold fences of its own
    blocks = [block for block in fenced if _HEADER.match(block.lstrip())]
    if len(blocks) > 1:
        return Unreadable("the reply has several blocks of hunks")
    lines = (blocks[0] if blocks else text).lstrip("\r\n").removesuffix("\n").split("\n")
    if not _HEADER.fullmatch(lines[0]):
        return Unreadable(f"the reply does not begin with a hunk header but with {lines[0][:60]!r}")
    return lines


def parse_reply(text: str, view: View) -> Reply:
    """Read a reply. A fenced block is taken out of surrounding prose; two of them are ambiguous."""
    lines = _reply_lines(text)
    if isinstance(lines, Unreadable):
        return lines
    headers = [(at, match) for at, line in enumerate(lines) if (match := _HEADER.fullmatch(line))]
    if headers[0][1][4]:
        return NoFault() if len(headers) == 1 else Unreadable("the reply says that there is no fault, and hunks")
    if any(match[4] for _, match in headers):
        return Unreadable("the reply has hunks, and says that there is no fault")
    ends = [at for at, _ in headers[1:]] + [len(lines)]
    try:
        hunks = [_hunk(match, lines[at + 1 : end]) for (at, match), end in zip(headers, ends, strict=True)]
    except PatchError as error:
        return Unreadable(str(error))
    return check_hunks(hunks, view)


def check_hunks(hunks: Sequence[Hunk], view: View) -> Reply:
    """Hunks in order as a Change, or Unreadable when one lies outside of the view or two overlap."""
    ordered = sorted(hunks)
    reached = inserted = 0
    for hunk in ordered:
        if hunk.first < view.first_line or max(hunk.first - 1, hunk.last) > view.last_line:
            return Unreadable(f"lines {hunk.first}-{hunk.last} are not among those shown")
        if hunk.first <= reached or (hunk.inserts and hunk.first == inserted):
            return Unreadable(f"two hunks touch line {hunk.first}")
        reached, inserted = max(hunk.last, reached), hunk.first if hunk.inserts else 0
    return Change(tuple(ordered))


def changes_nothing(hunks: Sequence[Hunk], view: View) -> bool:
    """Whether hunks (those of a Change) leave every line as it is."""
    shown = view.lines
    return all(
        not hunk.inserts
        and hunk.text != ""  # no text deletes the lines, also an empty one
        and hunk.text.split("\n") == list(shown[hunk.first - view.first_line : hunk.last - view.first_line + 1])
        for hunk in hunks
    )


def _number(token: str, view: View) -> int | None:
    """The line of the view that a line token means (numbers are modulo 256; a window has fewer lines)."""
    match = _LINE_TOKEN.fullmatch(token)
    if not match:
        return None
    number = view.first_line + (int(match[1]) - view.first_line) % LINE_TOKENS
    return number if number <= view.last_line else None


def parse_compact(pieces: Sequence[Piece], view: View) -> Reply:
    """Read the embedded model's answer: everything after `<|fix|>`, up to and with `<|eot|>`."""
    if [p.text for p in pieces if p.special] == ["<|ok|>", "<|eot|>"] and len(pieces) == 2:
        return NoFault()
    if not pieces or not pieces[-1].special or pieces[-1].text != "<|eot|>":
        return Unreadable("the reply was cut off before its end")
    hunks: list[Hunk] = []
    group: list[Piece] = []
    for piece in pieces:
        if piece.special and piece.text in ("<|fix|>", "<|eot|>"):
            hunk = _compact_hunk(group, view)
            if isinstance(hunk, Unreadable):
                return hunk
            hunks.append(hunk)
            group = []
        else:
            group.append(piece)
    return check_hunks(hunks, view) if not group else Unreadable("text after the end of the reply")


def _compact_hunk(group: Sequence[Piece], view: View) -> Hunk | Unreadable:
    specials = [p.text for p in group if p.special]
    text = "".join(p.text for p in group if not p.special)
    first = _number(specials[0], view) if specials else None
    if first is None or not group[0].special:
        return Unreadable("the reply does not begin with a line that was shown")
    try:
        if specials[1:] == ["<|ins|>"] and group[1].special:
            return Hunk(first, first - 1, text)
        if len(specials) == 3 and specials[2] == "<|txt|>" and all(p.special for p in group[:3]):
            last = _number(specials[1], view)
            return Hunk(first, last, text) if last is not None else Unreadable("the last line was not shown")
    except PatchError as error:
        return Unreadable(str(error))
    return Unreadable("the special tokens of the reply are out of order")
