"""Records: invariants, the flat form and the way to a training example."""

from dataclasses import replace

import pytest

from data.records import ErrorOrigin, Origin, Record, example, from_row, to_row
from repair.errors import InputError
from repair.views import Hunk

RECORD = Record(
    language="python",
    buggy="def f(xs):\n    return xs[0]\n",
    fixed="def f(xs):\n    return xs[-1]\n",
    origin=Origin.COMMIT,
    path="pkg/a.py",
    first_line=10,
    function="f",
    error="IndexError: list index out of range",
    error_origin=ErrorOrigin.EXECUTED,
    frames=(2,),
    repository="r",
    reasons=("message: fix",),
)


def test_flat_form_comes_back():
    row = to_row(RECORD)
    assert from_row(row) == RECORD
    assert (row["id"], row["fault_first"], row["fault_last"], row["hunks"]) == (RECORD.id, 2, 2, 1)


def test_a_rejected_repair_is_another_record():
    assert replace(RECORD, accepted=False).id != RECORD.id
    assert replace(RECORD, difficulty=0.5).id == RECORD.id


def test_example_counts_in_the_lines_of_the_file():
    made = example(RECORD)
    assert made.hunks == (Hunk(11, 11, "    return xs[-1]"),)
    assert made.view.frames == (11,)
    assert made.view.last_line == 11
    assert not made.error_made


@pytest.mark.parametrize(
    ("row", "field"),
    [({"schema": 9}, "schema"), ({"schema": 1}, "language"), ({**to_row(RECORD), "origin": "sky"}, "origin")],
)
def test_bad_rows_name_the_field(row: dict[str, object], field: str):
    with pytest.raises(InputError) as caught:
        from_row(row)
    assert caught.value.field == field


def test_an_error_text_says_where_it_is_from():
    with pytest.raises(InputError, match="error_origin"):
        Record(language="python", buggy="x\n", fixed="y\n", origin=Origin.SUITE, error="boom")
