import json

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
