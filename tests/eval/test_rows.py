import json
from dataclasses import replace

import pytest

from eval.suites.rows import Case, parse_row, read_suite
from repair.errors import SuiteError

ROW = {"id": "a", "language": "python", "buggy_code": "x = 1\n", "tests": "assert x == 2\n"}


def write(tmp_path, *rows):
    path = tmp_path / "suite.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_rows_are_read_with_the_file_s_hash(tmp_path):
    suite = read_suite(write(tmp_path, ROW, "", {**ROW, "id": "b", "fixed_code": "x = 2\n", "error": " "}))
    assert suite.name == "suite"
    assert len(suite.sha256) == 64
    assert suite.cases == (
        Case("a", "python", "x = 1\n", "assert x == 2\n"),
        Case("b", "python", "x = 1\n", "assert x == 2\n", fixed_code="x = 2\n"),
    )


@pytest.mark.parametrize(
    ("row", "field", "says"),
    [
        ("{", "", "not JSON"),
        ("[]", "", "must be an object"),
        ({**ROW, "fix": "x"}, "fix", "unknown field 'fix'"),
        ({k: v for k, v in ROW.items() if k != "tests"}, "tests", "is missing"),
        ({**ROW, "tests": " "}, "tests", "is empty"),
        ({**ROW, "buggy_code": 3}, "buggy_code", "must be a text, it is int"),
        ({**ROW, "language": "cobol"}, "language", "known are python"),
    ],
)
def test_bad_rows_are_named_by_line_and_field(tmp_path, row, field, says):
    with pytest.raises(SuiteError, match=says) as caught:
        read_suite(write(tmp_path, ROW, row))
    assert (caught.value.line, caught.value.field) == (2, field)
    assert "line 2: " in str(caught.value)


def test_ids_are_unique(tmp_path):
    with pytest.raises(SuiteError, match="stands in line 1 already"):
        read_suite(write(tmp_path, ROW, ROW))


def test_a_line_separator_inside_of_a_text_ends_no_row():
    assert parse_row(json.dumps({**ROW, "tests": "a\u2028b"}, ensure_ascii=False)).tests == "a\u2028b"


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\n"])
def test_files_without_rows(tmp_path, content):
    path = tmp_path / "suite.jsonl"
    path.write_bytes(content)
    with pytest.raises(SuiteError):
        read_suite(path)


def test_missing_file(tmp_path):
    with pytest.raises(SuiteError, match="No such file"):
        read_suite(tmp_path / "none.jsonl")


HEADER = {"format": "emend-suite", "version": 1, "name": "river locks", "made": "by hand"}


def test_a_header_names_the_suite(tmp_path):
    suite = read_suite(write(tmp_path, HEADER, ROW))
    assert (suite.name, len(suite.cases), suite.layout) == ("river locks", 1, "rows")
    assert read_suite(write(tmp_path, {"format": "emend-suite"}, ROW)).name == "suite"


@pytest.mark.parametrize(
    ("rows", "line", "field", "says"),
    [
        (({**HEADER, "version": 2}, ROW), 1, "version", "of version 2, this Emend reads version 1; upgrade Emend"),
        (("", {**HEADER, "version": "x"}, ROW), 2, "version", "of version 'x', .*; correct the header"),
        (({**HEADER, "version": True}, ROW), 1, "version", "of version True"),
        (({**HEADER, "format": "other"}, ROW), 1, "format", "'other' is unknown"),
        (({**HEADER, "name": 3}, ROW), 1, "name", "must be a text"),
        (({**HEADER, "layout": "programs"}, ROW), 1, "layout", "known are rows"),
        ((ROW, HEADER), 2, "format", "only be the first row"),
        ((HEADER,), 0, "suite", "has no rows"),
    ],
)
def test_headers_that_are_refused(tmp_path, rows, line, field, says):
    with pytest.raises(SuiteError, match=says) as caught:
        read_suite(write(tmp_path, *rows))
    assert (caught.value.line, caught.value.field) == (line, field)


def test_the_layout_can_be_demanded(tmp_path):
    path = write(tmp_path, ROW)
    assert read_suite(path, layout="rows") == read_suite(path)
    for layout, field in (("pack", "buggy_solution"), ("repositories", "buggy_code"), ("programs", "layout")):
        with pytest.raises(SuiteError) as caught:
            read_suite(path, layout=layout)
        assert caught.value.field in (field, "declaration")
    with pytest.raises(SuiteError, match="there is no layout 'x'; known are auto"):
        read_suite(path, layout="x")


def test_the_digest_is_of_the_content():
    case = Case("a", "python", "x = 1\n", "assert x == 2\n")
    assert case.digest == replace(case, source="elsewhere", license="MIT").digest
    changes = {"id": "b", "tests": "assert x\n", "fixed_code": "x = 2\n", "held_out_tests": "assert x\n", "error": "E"}
    assert len({replace(case, **{name: text}).digest for name, text in changes.items()} | {case.digest}) == 6
    assert replace(case, fixed_code="x").digest != replace(case, held_out_tests="x").digest
