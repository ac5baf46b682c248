"""Edits as values: Span, Edit, FilePatch, Patch; apply them, invert them.

Owns the arithmetic of replacing text. Knows nothing of files, languages, diffs or models
(`diffs.py` renders and parses unified diffs).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import PurePosixPath

from repair.errors import PatchError


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A half-open range of character (code point) offsets, `start <= end`."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise PatchError(f"span {self.start}..{self.end} is not a range of offsets", field="span")

    def __len__(self) -> int:
        return self.end - self.start

    def of(self, text: str) -> str:
        """The part of `text` that this span covers."""
        return text[self.start : self.end]


@dataclass(frozen=True, slots=True, order=True)
class Edit:
    """Replace what lies in `span` by `text`; an empty span inserts, an empty text deletes."""

    span: Span
    text: str


def _merge(edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """Sort, drop edits that do nothing, merge touching ones (else their inverses would collide)."""
    merged: list[Edit] = []
    for edit in sorted((e for e in edits if len(e.span) or e.text), key=lambda e: (e.span.start, e.span.end)):
        if merged and edit.span.start < merged[-1].span.end:
            raise PatchError(f"edits overlap at offset {edit.span.start}", field="edits")
        if merged and edit.span.start == merged[-1].span.end:
            last = merged.pop()
            merged.append(Edit(Span(last.span.start, edit.span.end), last.text + edit.text))
        else:
            merged.append(edit)
    return tuple(merged)


@dataclass(frozen=True, slots=True)
class FilePatch:
    """Edits of one file, sorted, disjoint and not touching (the constructor sees to it).

    `path` is relative, with forward slashes and without `..`.
    """

    path: str
    edits: tuple[Edit, ...]

    def __post_init__(self) -> None:
        parts = PurePosixPath(self.path).parts
        spelled = "/".join(parts) == self.path  # one path, one spelling: not ./a, a//b or a/
        if not spelled or not parts or parts[0] == "/" or ".." in parts or "\\" in self.path or "\0" in self.path:
            raise PatchError(f"{self.path!r} is not a relative path inside the project", field="path")
        object.__setattr__(self, "edits", _merge(self.edits))

    def apply(self, text: str) -> str:
        """`text` with all edits made. Raises PatchError when an edit lies beyond its end."""
        if self.edits and self.edits[-1].span.end > len(text):
            raise PatchError(
                f"{self.path}: edit ends at offset {self.edits[-1].span.end}, the text has {len(text)}", field="edits"
            )
        pieces: list[str] = []
        at = 0
        for edit in self.edits:
            pieces += (text[at : edit.span.start], edit.text)
            at = edit.span.end
        pieces.append(text[at:])
        return "".join(pieces)

    def invert(self, text: str) -> FilePatch:
        """The patch that leads from `self.apply(text)` back to `text`."""
        self.apply(text)  # raises when this patch is not one of `text`
        inverse: list[Edit] = []
        shift = 0
        for edit in self.edits:
            start = edit.span.start + shift
            inverse.append(Edit(Span(start, start + len(edit.text)), edit.span.of(text)))
            shift += len(edit.text) - len(edit.span)
        return FilePatch(self.path, tuple(inverse))


@dataclass(frozen=True, slots=True)
class Patch:
    """A change of one or more files; each path once, sorted; files without edits are dropped."""

    files: tuple[FilePatch, ...]

    def __post_init__(self) -> None:
        files = tuple(sorted((f for f in self.files if f.edits), key=lambda f: f.path))
        paths = [f.path for f in files]
        if len(set(paths)) != len(paths):
            raise PatchError("a path occurs twice in one patch", field="files")
        object.__setattr__(self, "files", files)

    def __bool__(self) -> bool:
        return bool(self.files)

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that it changes."""
        return tuple(f.path for f in self.files)

    def apply(self, texts: Mapping[str, str]) -> dict[str, str]:
        """All of `texts` with this patch made. Raises PatchError for a path that is not there."""
        result = dict(texts)
        for file in self.files:
            if file.path not in texts:
                raise PatchError(f"the patch changes {file.path}, which is not among the sources", field="path")
            result[file.path] = file.apply(texts[file.path])
        return result

    def invert(self, texts: Mapping[str, str]) -> Patch:
        """The patch that leads from `self.apply(texts)` back to `texts`."""
        self.apply(texts)
        return Patch(tuple(f.invert(texts[f.path]) for f in self.files))


def file_patch_between(path: str, old: str, new: str) -> FilePatch:
    """The edits of whole lines (split at newline characters only) that lead from `old` to `new`."""
    before, after = old.split("\n"), new.split("\n")
    starts = [0]
    for line in before:
        starts.append(starts[-1] + len(line) + 1)
    edits: list[Edit] = []
    matcher = SequenceMatcher(a=before, b=after, autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            continue
        edits.append(_line_edit(old, starts, (a, b), after[c:d]))
    return FilePatch(path, tuple(edits))


def _line_edit(old: str, starts: list[int], lines: tuple[int, int], text: list[str]) -> Edit:
    """Replace the lines `lines` (0-based, half-open) of `old` by `text`; starts has one entry past the end."""
    a, b = lines
    if starts[b] <= len(old):  # a terminator follows: whole lines with theirs
        return Edit(Span(starts[a], starts[b]), "".join(line + "\n" for line in text))
    if a < b and text:
        return Edit(Span(starts[a], len(old)), "\n".join(text))
    # at the end of the file, without a terminator of its own: take the one before it along
    start = max(starts[a] - 1, 0)
    return Edit(Span(start, len(old)), "".join("\n" + line for line in text))


def patch_between(old: Mapping[str, str], new: Mapping[str, str]) -> Patch:
    """The patch that leads from the texts `old` to `new` (same paths)."""
    return Patch(tuple(file_patch_between(path, old[path], new[path]) for path in old if old[path] != new[path]))
