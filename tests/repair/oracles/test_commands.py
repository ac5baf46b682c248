"""Reading test commands."""

from __future__ import annotations

import pytest

from repair.errors import OracleError
from repair.oracles.commands import Tool, command_for, is_test_name, parse_command


@pytest.mark.parametrize(
    ("command", "tool", "args"),
    [
        ("pytest", Tool.PYTEST, ()),
        ("python -m pytest -q test_x.py::test_a[1]", Tool.PYTEST, ("-q", "test_x.py::test_a[1]")),
        ("pytest -k 'a and (b or c)'", Tool.PYTEST, ("-k", "a and (b or c)")),
        ("venv/bin/pytest t", Tool.PYTEST, ("t",)),
        ("uv run pytest t", Tool.PYTEST, ("t",)),
        ("PYTHONPATH=src python3.12 -m unittest -v", Tool.UNITTEST, ("-v",)),
        ("python check.py 3", Tool.PYTHON, ("check.py", "3")),
        ("node --test test/", Tool.NODE_TEST, ("node", "--test", "test/")),
        ("node check.js", Tool.PROGRAM, ("node", "check.js")),
        ("make test", Tool.PROGRAM, ("make", "test")),
        ("cd x && pytest", Tool.PROGRAM, ("/bin/sh", "-c", "cd x && pytest")),
        ("pytest $FILES", Tool.PROGRAM, ("/bin/sh", "-c", "pytest $FILES")),
        (["python", "-m", "pytest", "a b"], Tool.PYTEST, ("a b",)),
    ],
)
def test_parse(command, tool, args):
    read = parse_command(command)
    assert (read.tool, read.args) == (tool, args)


def test_environment_and_interpreter_are_kept():
    read = parse_command("PYTHONPATH=src A=1 python3.12 -m pytest")
    assert dict(read.env) == {"PYTHONPATH": "src", "A": "1"}
    assert read.python == "python3.12"
    assert parse_command("venv/bin/pytest").python == "venv/bin/python"
    assert parse_command("python -m pytest").cwd_on_path
    assert not parse_command("pytest").cwd_on_path


@pytest.mark.parametrize("command", ["", "   ", "A=1", [], "pytest 'x"])
def test_unreadable(command):
    with pytest.raises(OracleError):
        parse_command(command)


def test_without_a_command():
    assert command_for(["t/test_a.py"], pytest=True).tool is Tool.PYTEST
    assert command_for(["t/test_a.py"], pytest=False).tool is Tool.UNITTEST
    assert command_for(["a.test.js"], pytest=True).args == ("node", "--test", "a.test.js")
    for names in ([], ["ATest.java"], ["a.test.js", "test_a.py"]):
        with pytest.raises(OracleError):
            command_for(names, pytest=True)


def test_names_of_tests():
    yes = "test_a.py a_test.py tests.py test.py a.test.ts a.spec.js ATest.java x/test-a.mjs a_spec.rb"
    no = "a.py contest.py attest.py latest.js testing.py tester.py Testimony.java conftest.py"
    assert [name for name in yes.split() if not is_test_name(name)] == []
    assert [name for name in no.split() if is_test_name(name)] == []
