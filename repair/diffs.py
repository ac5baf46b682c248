r"""Unified diffs: render a Patch so that `git apply` takes it byte for byte; parse one strictly into a Patch.

Lines end at "\n" only. A byte order mark, which `Source.text` does not hold, is part of a file's first line here.
A diff is text; who writes it to disk encodes it as its files are. Format: POSIX `diff -u`, git's path quoting.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from repair.edits import Edit, FilePatch, Patch, Span
from repair.errors import PatchError
from repair.sources import Source

CONTEXT = 3
_ALIGN_LIMIT = 250_000  # old times new lines of one change that are aligned line by line; more are replaced whole
_BOM = "\ufeff"
_NO_NEWLINE = "\\ No newline at end of file\n"
_ESCAPES = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
_UNESCAPES = {text[1]: code for code, text in _ESCAPES.items()}
_ESCAPED = re.compile(rb"\\([0-7]{3}|[abtnvfr\"\\])")
_HUNK = re.compile(r"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@(?: .*|\r)?$")
_REFUSED = (
    ("new file mode ", "creates a file"), ("deleted file mode ", "deletes a file"), ("old mode ", "changes a mode"),
    ("new mode ", "changes a mode"), ("rename ", "renames a file"), ("copy from ", "copies a file"),
    ("copy to ", "copies a file"), ("GIT binary patch", "is binary"), ("Binary files ", "is binary"),
)  # fmt: skip


def split_lines(text: str) -> list[str]:
    """Lines with their terminators, cut at the newline character only."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


@dataclass(frozen=True, slots=True)
class _Change:
    """Replace old lines `first`..`last` (0-based, half-open) by `new` (lines with terminators)."""

    first: int
    last: int
    new: tuple[str, ...]


def render_diff(patch: Patch, sources: Mapping[str, Source]) -> str:
    """The unified diff of a patch, "" for an empty one.

    Raises PatchError: a path that is not among `sources`, an edit beyond the text.
    """
    return "".join(_render_file(file, _known(sources, file.path)) for file in patch.files)


def _known(sources: Mapping[str, Source], path: str) -> Source:
    if path not in sources:
        raise PatchError(f"the patch changes {path}, which is not among the sources", field="path")
    return sources[path]


def _whole(source: Source) -> str:
    """The file's text with its byte order mark."""
    return _BOM + source.text if source.bom else source.text


def _render_file(file: FilePatch, source: Source) -> str:
    file.apply(source.text)  # raises when it does not fit
    shift = len(_BOM) if source.bom else 0
    edits = [Edit(Span(e.span.start + shift, e.span.end + shift), e.text) for e in file.edits]
    old = split_lines(_whole(source))
    changes = [small for change in _line_changes(_whole(source), edits) for small in _aligned(old, change)]
    if not changes:
        return ""
    hunks = "".join(_render_hunks(old, changes))
    return _render_head(file.path) + hunks


def _line_changes(text: str, edits: Sequence[Edit]) -> Iterator[_Change]:
    """Edits as changes of whole lines; edits that meet on a line become one change."""
    position = line = 0  # `line` is the number of lines before `position`
    index = 0
    while index < len(edits):
        begin, end, new, index = _next_change(text, edits, index)
        first = line + text.count("\n", position, begin)
        yield _Change(first, first + len(split_lines(text[begin:end])), tuple(split_lines(new)))
        position, line = end, first + text.count("\n", begin, end)


def _next_change(text: str, edits: Sequence[Edit], index: int) -> tuple[int, int, str, int]:
    """The range of whole lines that the edits from `index` on change, their new text, the edit after them."""
    at = begin = text.rfind("\n", 0, edits[index].span.start) + 1
    written = ""
    while True:
        edit = edits[index]
        written += text[at : edit.span.start] + edit.text
        at = edit.span.end
        end = _line_end(text, at, written)
        index += 1
        if index == len(edits) or edits[index].span.start >= end:
            return begin, end, written + text[at:end], index


def _line_end(text: str, at: int, written: str) -> int:
    """The first offset from `at` on where both the old text and what replaces it stand at a line's start."""
    old_at_start = at == 0 or text[at - 1] == "\n"
    if old_at_start and (not written or written.endswith("\n")):
        return at
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1


def _aligned(old: Sequence[str], change: _Change) -> Iterator[_Change]:
    """A change without the lines that it leaves as they are."""
    before = old[change.first : change.last]
    if len(before) * len(change.new) > _ALIGN_LIMIT:
        yield change
        return
    matcher = SequenceMatcher(None, before, change.new, autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag != "equal":
            yield _Change(change.first + a, change.first + b, change.new[c:d])


def _render_hunks(old: Sequence[str], changes: Sequence[_Change]) -> Iterator[str]:
    """Hunks with three lines of context; changes closer than twice that share one."""
    group: list[_Change] = []
    shift = 0
    for change in changes:
        if group and change.first - group[-1].last > 2 * CONTEXT:
            text, grown = _render_hunk(old, group, shift)
            yield text
            shift += grown
            group = []
        group.append(change)
    yield _render_hunk(old, group, shift)[0]


def _render_hunk(old: Sequence[str], group: Sequence[_Change], shift: int) -> tuple[str, int]:
    """One hunk, and by how many lines it makes the file longer."""
    first = max(group[0].first - CONTEXT, 0)
    last = min(group[-1].last + CONTEXT, len(old))
    body: list[str] = []
    at = first
    for change in group:
        body += [" " + line for line in old[at : change.first]]
        body += ["-" + line for line in old[change.first : change.last]]
        body += ["+" + line for line in change.new]
        at = change.last
    body += [" " + line for line in old[at:last]]
    grown = sum(len(c.new) - (c.last - c.first) for c in group)
    head = f"@@ -{_range(first, last - first)} +{_range(first + shift, last - first + grown)} @@\n"
    return head + "".join(line if line.endswith("\n") else f"{line}\n{_NO_NEWLINE}" for line in body), grown


def _range(first: int, count: int) -> str:
    """POSIX: an empty range names the line before it; a count of one is left out."""
    return f"{first + (count > 0)}" if count == 1 else f"{first + (count > 0)},{count}"


def _render_head(path: str) -> str:
    old, new = quote_path(f"a/{path}"), quote_path(f"b/{path}")
    # git ends a name that holds a blank with a tab, or the blank could begin a date
    tab = "\t" if " " in path and not old.startswith('"') else ""
    return f"diff --git {old} {new}\n--- {old}{tab}\n+++ {new}{tab}\n"


def quote_path(path: str) -> str:
    """A path as git prints it: in quotes with octal bytes where it holds control, quote or non-ASCII characters."""
    data = path.encode("utf-8", "surrogateescape")
    if all(32 <= byte < 127 and byte not in _ESCAPES for byte in data):
        return path
    shown = (_ESCAPES.get(b) or (chr(b) if 32 <= b < 127 else f"\\{b:03o}") for b in data)
    return '"' + "".join(shown) + '"'


def unquote_path(text: str) -> str:
    """The path that `quote_path` printed. Raises PatchError for quotes that do not close or bytes that are no utf-8."""
    if not text.startswith('"'):
        return text
    if len(text) < 2 or not text.endswith('"'):
        raise PatchError(f"the path {text} has no closing quote", field="diff")
    try:
        return _ESCAPED.sub(_unescape, text[1:-1].encode("utf-8", "surrogateescape")).decode()
    except ValueError as error:
        raise PatchError(f"the path {text} is not utf-8", field="diff") from error


def _unescape(found: re.Match[bytes]) -> bytes:
    code = found[1].decode()
    return bytes([int(code, 8) if len(code) == 3 else _UNESCAPES[code]])


@dataclass(frozen=True, slots=True)
class _Hunk:
    """`first` is the 0-based index of the first old line; `number` the diff's line where it begins."""

    number: int
    first: int
    body: tuple[tuple[str, str], ...]  # (" ", "-" or "+"; the line with its terminator)


@dataclass(slots=True)
class _File:
    path: str
    hunks: list[_Hunk] = field(default_factory=list[_Hunk])


def diff_paths(text: str) -> tuple[str, ...]:
    """The files that a diff changes, in its order. Raises PatchError like `parse_diff`."""
    return tuple(file.path for file in _read_files(text))


def parse_diff(text: str, sources: Mapping[str, Source]) -> Patch:
    """The patch that a unified diff means for these sources.

    Strict: each hunk must match at its very line, byte for byte. Raises PatchError, naming file and line:
    context that differs, counts that do not add up, a file that is not there; also for what is no change
    of a text file (binary, rename, copy, mode, creation, deletion).
    """
    return Patch(tuple(_file_patch(file, _known(sources, file.path)) for file in _read_files(text)))


def _read_files(text: str) -> list[_File]:
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    files: list[_File] = []
    at = 0
    in_head = False  # between `diff --git` and `---`; before that stands prose
    while at < len(lines):
        line = lines[at]
        in_head = (in_head or line.startswith("diff --git ")) and not line.startswith("--- ")
        if in_head or line.startswith("Binary files "):
            _refuse(line, at)
        if line.startswith("--- ") and at + 1 < len(lines) and lines[at + 1].startswith("+++ "):
            files.append(_File(_path(line, lines[at + 1], at)))
            at += 2
        elif line.startswith("@@ "):
            if not files:
                raise PatchError(f"line {at + 1}: a hunk before any file is named", field="diff")
            hunk, at = _read_hunk(lines, at)
            files[-1].hunks.append(hunk)
        else:
            if files and files[-1].hunks and line[:1] in (" ", "+", "-") and line.rstrip() not in ("", "--"):
                raise PatchError(f"line {at + 1}: more lines than the hunk's header counts", field="diff")
            at += 1
    _check_files(files)
    return files


def _check_files(files: Sequence[_File]) -> None:
    if not files:
        raise PatchError("no unified diff: no `--- a/path` with `+++ b/path` was found", field="diff")
    for file in files:
        if not file.hunks:
            raise PatchError(f"{file.path}: no hunk follows its name", field="diff")


def _refuse(line: str, at: int) -> None:
    for prefix, what in _REFUSED:
        if line.startswith(prefix):
            raise PatchError(f"line {at + 1}: the diff {what}; only changes of text are applied", field="diff")


def _name(line: str) -> str:
    """The path of a `---` or `+++` line; a tab ends it (a date may follow)."""
    name = line[4:].removesuffix("\r")
    return unquote_path(name if name.startswith('"') else name.partition("\t")[0])


def _path(old_line: str, new_line: str, at: int) -> str:
    old, new = _name(old_line), _name(new_line)
    if "/dev/null" in (old, new):
        what = "creates" if old == "/dev/null" else "deletes"
        raise PatchError(f"line {at + 1}: the diff {what} {new if old == '/dev/null' else old}", field="diff")
    if old[1:2] == new[1:2] == "/" and old[0] != new[0]:  # a/ b/, or i/ w/ and others (diff.mnemonicPrefix)
        old, new = old[2:], new[2:]
    if old != new:
        raise PatchError(f"line {at + 1}: the diff renames {old} to {new}", field="diff")
    return old


def _read_hunk(lines: Sequence[str], at: int) -> tuple[_Hunk, int]:
    """The hunk whose header is line `at` (0-based), and the index after it."""
    head = _HUNK.match(lines[at])
    if head is None:
        raise PatchError(f"line {at + 1}: not a hunk's header: {lines[at][:60]}", field="diff")
    start, old, new = int(head[1]), int(head[2] or head[2] is None), int(head[4] or head[4] is None)
    if old and not start:
        raise PatchError(f"line {at + 1}: lines are counted from 1", field="diff")
    number, body = at + 1, list[tuple[str, str]]()
    at += 1
    while old or new or (at < len(lines) and lines[at].startswith("\\ ")):
        if at >= len(lines):
            raise PatchError(f"line {number}: the hunk is cut short", field="diff")
        sign, rest = lines[at][:1] or " ", lines[at][1:]  # mailers cut the blank of an empty context line
        if sign == "\\" and body:
            body[-1] = (body[-1][0], body[-1][1].removesuffix("\n"))
        elif sign in (" ", "-", "+"):
            body.append((sign, rest + "\n"))
            old, new = old - (sign != "+"), new - (sign != "-")
        else:
            raise PatchError(f"line {at + 1}: neither context nor change: {lines[at][:60]}", field="diff")
        if old < 0 or new < 0:
            raise PatchError(f"line {at + 1}: more lines than the hunk's header counts", field="diff")
        at += 1
    return _Hunk(number, start - 1 if any(s != "+" for s, _ in body) else start, tuple(body)), at


def _file_patch(file: _File, source: Source) -> FilePatch:
    lines = split_lines(_whole(source))
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    edits: list[Edit] = []
    after = 0
    for hunk in file.hunks:
        if hunk.first < after:
            raise PatchError(f"{file.path}: the hunk of line {hunk.number} overlaps the one before", field="diff")
        found, after = _hunk_edits(file.path, hunk, lines, starts)
        edits += found
    return FilePatch(file.path, tuple(_without_bom(file.path, e) if source.bom else e for e in edits))


def _hunk_edits(path: str, hunk: _Hunk, lines: Sequence[str], starts: Sequence[int]) -> tuple[list[Edit], int]:
    """One edit for each run of changed lines, and the index of the old line after the hunk."""
    edits: list[Edit] = []
    at = run = hunk.first
    added = ""
    if at > len(lines):
        raise PatchError(f"{path}: line {at + 1} of the hunk of line {hunk.number} is not there", field="diff")
    for sign, line in (*hunk.body, (" ", "")):
        if sign == " ":
            if run < at or added:
                edits.append(Edit(Span(starts[run], starts[at]), added))
            run, added = at + 1, ""
        if sign == "+":
            added += line
        elif line:
            _check(path, hunk, lines, at, line)
            at += 1
    _check_end(path, hunk, lines, at)
    return edits, at


def _check(path: str, hunk: _Hunk, lines: Sequence[str], at: int, wanted: str) -> None:
    """Raise PatchError unless the file's line is the hunk's, its terminator too."""
    if at >= len(lines):
        raise PatchError(f"{path}: the file ends before line {at + 1} (hunk of line {hunk.number})", field="diff")
    if lines[at] == wanted:
        return
    shown = (
        "differs in how it ends" if lines[at].rstrip("\r\n") == wanted.rstrip("\r\n")
        else f"is {lines[at].rstrip()[:60]!r}, the diff expects {wanted.rstrip()[:60]!r}"
    )  # fmt: skip
    raise PatchError(f"{path}: line {at + 1} {shown} (hunk of line {hunk.number})", field="diff")


def _check_end(path: str, hunk: _Hunk, lines: Sequence[str], after: int) -> None:
    """A line without newline may only be the last one of the new text."""
    new = [line for sign, line in hunk.body if sign != "-"]
    if hunk.first == len(lines) and lines:
        new.insert(0, lines[-1])
    cut = [line for line in new if not line.endswith("\n")]
    if any(not line.endswith("\n") for line in new[:-1]) or (cut and after < len(lines)):
        raise PatchError(f"{path}: a line without newline in the middle (hunk of line {hunk.number})", field="diff")


def _without_bom(path: str, edit: Edit) -> Edit:
    """The edit in offsets of `Source.text`, which lacks the byte order mark."""
    if edit.span.start > 0:
        return Edit(Span(edit.span.start - 1, edit.span.end - 1), edit.text)
    if edit.span.end < 1 or not edit.text.startswith(_BOM):
        raise PatchError(f"{path}: the diff moves or removes the byte order mark", field="diff")
    return Edit(Span(0, edit.span.end - 1), edit.text[1:])
