"""Adversarial inputs as Records: what `emend model attack --train-set` writes, JSON lines of records.

A record is another one of a dataset, written so that a model was wrong on it; it keeps the licence and the repository
of that one. Rows of any other origin are refused: what measures would be trained on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from data.records import ErrorOrigin, Origin, Record, from_row
from data.sources.feedback import cut_change
from data.sources.suites import error_type, last_line, whole_lines
from data.steps import Outcome
from data.store import read_rows
from repair.errors import InputError, SuiteError
from repair.sources import Source


def adversarial_record(original: Record, buggy: str, fixed: str, *, error: str, how: str) -> Record | str:
    """`original` as it was written to mislead, or why there is none of it. Licence and repository are carried over.

    `buggy` and `fixed` are whole programs, `error` is what running the faulty one says, `how` tells of the writing.
    Raises InputError for a row of a suite: a suite measures and may not be trained on.
    """
    if original.origin is Origin.SUITE:
        raise InputError(f"{original.path}: a row of a suite measures and may not be trained on", field="train-set")
    path = original.path or "solution.py"
    before, after = (Source(path, whole_lines(text), original.language) for text in (buggy, fixed))
    cut = cut_change(before, after)
    if isinstance(cut, str):
        return cut
    told = last_line(error)
    return replace(
        original,
        buggy=cut.buggy,
        fixed=cut.fixed,
        origin=Origin.ADVERSARIAL,
        path=path,
        first_line=cut.first_line,
        function=cut.function,
        context=cut.context,
        error=told,
        error_type=error_type(told),
        error_origin=ErrorOrigin.EXECUTED if told else ErrorOrigin.NONE,
        frames=(),
        test="",
        difficulty=0.0,  # labelled again
        reasons=(f"adversarial: {how}", f"written anew from record {original.id}"),
    )


def adversarial_records(path: Path) -> Iterator[Outcome]:
    """The records of a file. Raises SuiteError naming the row that is no adversarial record."""
    for number, row in enumerate(read_rows(path), 1):
        try:
            record = from_row(row)
        except (InputError, TypeError) as error:
            raise SuiteError(f"{path}: row {number}: {error}", field="path", line=number) from error
        if record.origin is not Origin.ADVERSARIAL:
            reason = f"its origin is {str(record.origin)!r}, this source takes adversarial records alone"
            raise SuiteError(f"{path}: row {number}: {reason}", field="origin", line=number)
        yield record
