"""Feedback as Records: what users accepted and rejected of the repairs they were offered.

Reads an export of the repair journal, JSON lines of `{language, path, text_before, text_after, error?, accepted, at}`.
A change within one function becomes that function's record, else the whole file's if it is short.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from data.labels import hunks_of
from data.records import ErrorOrigin, Origin, Record
from data.sources.suites import error_type, last_line, whole_lines
from data.steps import Outcome, Rejection
from data.store import read_rows
from repair.errors import PatchError, SuiteError
from repair.languages import Function, functions
from repair.sources import Source
from repair.windows import MAX_LINES, context_lines

_TEXTS = ("language", "path", "text_before", "text_after", "at")


@dataclass(frozen=True, slots=True)
class Cut:
    """The part of a file that a record is about."""

    buggy: str
    fixed: str
    first_line: int
    function: str
    context: tuple[str, ...]


def _checked(row: Mapping[str, object], path: Path, number: int) -> None:
    wrong = [name for name in _TEXTS if not isinstance(row.get(name), str)]
    if not isinstance(row.get("accepted"), bool):
        wrong.append("accepted")
    if not isinstance(row.get("error", ""), str | None):
        wrong.append("error")
    if wrong:
        kind = "true or false" if wrong[0] == "accepted" else "a text"
        raise SuiteError(f"{path}: row {number}: {wrong[0]} must be {kind}", field=wrong[0], line=number)


def _utc(text: str, path: Path, number: int) -> str:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise SuiteError(f"{path}: row {number}: at is no ISO 8601 time ({error})", field="at", line=number) from error
    return at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _whole(function: Function, source: Source) -> tuple[int, int]:
    span = source.line_span(function.first_line, function.last_line, terminator=True)
    return span.start, span.end


def _function_cut(before: Source, after: Source) -> Cut | None:
    """The outermost function that holds the whole change; None where there is no such one."""
    changed = hunks_of(before.text, after.text)
    first, last = changed[0].first, max(changed[-1].first, changed[-1].last)
    found = functions(before)
    own = next((f for f in found if not f.nested and f.first_line <= first and last <= f.last_line), None)
    if own is None:
        return None
    start, end = _whole(own, before)
    for other in functions(after):
        begin, stop = _whole(other, after)
        fixed = after.text[begin:stop]
        if other.qualified_name == own.qualified_name and before.text[:start] + fixed + before.text[end:] == after.text:
            context = context_lines(before, own, found)
            return Cut(before.text[start:end], fixed, own.first_line, own.qualified_name, context)
    return None


def cut_change(before: Source, after: Source) -> Cut | str:
    """What the record is about, or why there is none."""
    if not before.text.strip() or not after.text.strip():
        return "row: an empty text"
    if before.text == after.text:
        return "row: the texts are equal"
    try:
        cut = _function_cut(before, after)
    except PatchError:
        return "row: the change cannot be said in lines"
    if cut is not None:
        return cut
    if before.line_count > MAX_LINES:
        return "row: the change is not within one function, and the file is long"
    return Cut(before.text, after.text, 1, "", ())


def feedback_records(path: Path, *, licence: str, repository: str) -> Iterator[Outcome]:
    """One record a row; `accepted` is kept. Raises SuiteError, naming row and field, and InputError."""
    for number, row in enumerate(read_rows(path), 1):
        _checked(row, path, number)
        language, name = str(row["language"]), str(row["path"])
        before, after = (Source(name, whole_lines(str(row[key])), language) for key in ("text_before", "text_after"))
        cut = cut_change(before, after)
        if isinstance(cut, str):
            yield Rejection("read", cut, f"{path.name}:{number}")
            continue
        error = last_line(str(row.get("error") or ""))
        yield Record(
            language=language,
            buggy=cut.buggy,
            fixed=cut.fixed,
            origin=Origin.FEEDBACK,
            path=name,
            first_line=cut.first_line,
            function=cut.function,
            context=cut.context,
            error=error,
            error_type=error_type(error),
            error_origin=ErrorOrigin.REPORTED if error else ErrorOrigin.NONE,
            repository=repository or path.stem,
            authored=_utc(str(row["at"]), path, number),
            licence=licence,
            accepted=bool(row["accepted"]),
        )
