"""Records of a dataset as cases: the functions that run alone, with tests of what the repaired code answers.

The tests are made as `data.executed` makes them: calls are drawn, what the repaired function answers is what it must
answer, and a record counts only where the faulty one answers otherwise. Owns the reasons for leaving a record out.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

from data.executed import Runner, observed, suite_row, tested
from data.labelling import labelled
from data.mutants import Unit
from data.records import Origin, Record, example
from data.standalone import Module
from eval.suites.rows import Case, parse_row
from repair.errors import InputError, PatchError
from repair.languages import functions
from repair.sources import Source

_IMPORTS = ("import ", "from ")


def runnable(record: Record, runner: Runner, seed: int = 0) -> Case | str:
    """The record as a case with the record's id, or why it is none. Deterministic for the seed and the record."""
    if reason := _unfit(record):
        return reason
    unit, module = _unit(record), Module.of(_program(record))
    if unit is None or module is None:
        return "no function at the top of a module that parses"
    draw = random.Random(f"{seed}:{record.id}")
    alone = tested(unit, module, runner, draw)
    if alone is None:
        return "the function does not run alone, or its answers cannot be tested"
    seen = observed(example(labelled(record)), alone, record.buggy, runner, draw)
    if seen is None:
        return "no drawn call tells the faulty code from the repaired one"
    classes = seen.example.bug_classes or ("unknown",)
    row = suite_row(seen, 0) | {"id": record.id, "bug_type": classes[0]}
    return parse_row(json.dumps({**row, "source": record.repository, "license": record.licence}))


def _unfit(record: Record) -> str:
    """Why a record is no case, before anything is run; "" for none."""
    reasons = (
        (record.origin is Origin.SUITE, "a row of a suite"),
        (record.language != "python", "not Python: functions of it cannot be run alone"),
        (record.buggy == record.fixed, "no fault"),
        (not record.accepted, "a repair that was rejected"),
        (not _sayable(record), "the change cannot be said in lines"),
    )
    return next((reason for holds, reason in reasons if holds), "")


def _sayable(record: Record) -> bool:
    try:
        return bool(record.hunks) or record.buggy == record.fixed
    except PatchError:
        return False


def _program(record: Record) -> str:
    """The repaired function after the imports that the record knows."""
    imports = [line for line in record.context if line.startswith(_IMPORTS) and "\n" not in line]
    return "\n".join((*imports, record.fixed))


def _unit(record: Record) -> Unit | None:
    text = _program(record)
    source = Source(record.path or "solution.py", text, "python")
    own = [one for one in functions(source) if not one.nested and not one.class_header]
    if len(own) != 1:
        return None
    return Unit(record.repository, source, own[0], len(text) - len(record.fixed), record.fixed, record.context)


def runnable_all(records: Iterable[Record], seed: int = 0) -> Iterator[tuple[Record, Case | str]]:
    """All of them; one child process runs them and is ended afterwards."""
    runner = Runner()
    try:
        for record in records:
            yield record, runnable(record, runner, seed)
    finally:
        runner.close()


def is_suite(path: Path) -> bool:
    """Whether a path names a suite rather than records of a dataset. Raises InputError where nothing is there.

    A folder with a manifest, a .parquet file and JSON lines with the fields of a record are datasets.
    """
    if path.is_dir():
        return not (path / "manifest.json").is_file()
    if path.suffix == ".parquet":
        return False
    try:
        with path.open(encoding="utf-8") as stream:
            first = next((line for line in stream if line.strip()), "")
        row = json.loads(first)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}", field="path") from error
    except ValueError:
        return True  # the suite's reader says what is wrong
    return not (isinstance(row, dict) and {"buggy", "fixed"} <= set(row))
