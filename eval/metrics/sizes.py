"""How large a change is: lines, hunks and edits between two texts. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

_TOKEN = re.compile(r"\w+|\s+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class PatchSize:
    """Three counts of one change."""

    lines: int  # taken away plus added, as `diff --stat` counts
    hunks: int  # runs of changed lines
    edits: int  # runs of changed tokens (words, blanks, signs)


def patch_size(before: str, after: str) -> PatchSize:
    """The size of the change from one text to another. Lines end at the newline character only."""
    runs = _changed(before.split("\n"), after.split("\n"))
    tokens = _changed(_TOKEN.findall(before), _TOKEN.findall(after))
    return PatchSize(sum(gone + new for gone, new in runs), len(runs), len(tokens))


def _changed(before: Sequence[str], after: Sequence[str]) -> list[tuple[int, int]]:
    """Lengths of the runs that differ, on either side."""
    if before == after:
        return []
    codes = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return [(i_end - i, j_end - j) for tag, i, i_end, j, j_end in codes if tag != "equal"]
