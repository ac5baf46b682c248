"""Checks of records: parse, licence, decontamination on both sides and in every language."""

from dataclasses import replace

import pytest

from data.checks import decontaminated, licensed, parsed
from data.decontaminate import Forbidden
from data.records import Origin, Record
from data.steps import Rejection, Step, through
from tests.data.planted import PLANTED, RENAMED

SCRIPT = """function widest(rows, wanted) {
  let best = 0;
  for (const row of rows) {
    best = Math.max(best, row.width - wanted.margin + row.padding);
  }
  return best;
}
"""
OTHER = "def other(a, b):\n    return a + b\n"
FORBIDDEN = Forbidden.build([], [PLANTED, SCRIPT])


BUGGY = OTHER.replace("+", "-")


def record(buggy=BUGGY, fixed=OTHER, **more):
    return Record(**{"language": "python", "buggy": buggy, "fixed": fixed, "origin": Origin.COMMIT, **more})


def indented(text):
    return "".join(f"    {line}\n" for line in text.splitlines())


@pytest.mark.parametrize(
    "made",
    [
        record(fixed=RENAMED, buggy=RENAMED.replace(">=", ">")),
        record(buggy=RENAMED, fixed=RENAMED.replace("max", "min")),  # the buggy side alone
        record(fixed=indented(RENAMED), buggy=indented(RENAMED).replace(">=", ">")),  # as a method
        record(PLANTED.replace("best, len", "best, 2 + len"), PLANTED.replace("best, len", "best, 1 + len")),
        record(SCRIPT.replace("+", "-"), SCRIPT, language="javascript"),
        record(SCRIPT.replace("widest", "w").replace("+", "-"), SCRIPT.replace("widest", "w"), language="java"),
        record(test="assert longest_run([1, 1], 1) == 2 for position, item in enumerate(items):\n if item == wanted"),
    ],
)
def test_measured_programs_are_dropped(made):
    assert isinstance(decontaminated(FORBIDDEN, made), Rejection)


def test_others_pass_and_suites_keep_their_own_rows():
    assert decontaminated(FORBIDDEN, record()) == record()
    own = record(PLANTED.replace(">=", ">"), PLANTED, origin=Origin.SUITE)
    assert decontaminated(FORBIDDEN, own) is own


@pytest.mark.parametrize(
    ("licence", "accepted"),
    [("MIT", True), ("MIT OR GPL-3.0-only", True), ("GPL-3.0-only", False), ("", False), ("mine", False)],
)
def test_licences(licence, accepted):
    assert isinstance(licensed(record(licence=licence)), Record) is accepted


def test_a_copyleft_header_is_found():
    text = "# GNU General Public License version 3\nx = 1\n"
    assert isinstance(licensed(record(text.replace("1", "2"), text, licence="MIT")), Rejection)


@pytest.mark.parametrize(
    ("made", "kept"),
    [
        (record(), True),
        (record(fixed="def f(:\n    pass\n"), False),
        (record(buggy="def f(:\n    pass\n"), False),
        (record(buggy="def f(:\n    pass\n", bug_classes=("syntax",)), True),
        (record(indented(OTHER).replace("+", "-"), indented(OTHER)), True),
        (record("  f(a) { return a; }\n", "  f(a) { return a + 1; }\n", language="javascript"), True),
        (record("  int f(int a) { return a; }\n", "  int f(int a) { return a + 1; }\n", language="java"), True),
        (record("  f(a) { return a; }\n", "  f(a) { return a + ; }\n", language="typescript"), False),
    ],
)
def test_both_sides_must_parse_as_pieces_of_a_file(made, kept):
    assert isinstance(parsed(made), Record) is kept


def test_steps_run_in_order_and_name_who_rejects():
    steps = (
        Step("first", lambda r: replace(r, message=r.message + "1")),
        Step("second", lambda r: Rejection("", "no") if r.message == "1" else r),
    )
    assert through(record(), steps) == Rejection("second", "no")
    assert through(record(message="x"), steps).message == "x1"
