"""What a test command is: pytest, unittest, a script, Node's test runner, or something that only exits.

Pure reading of the command and of file names. Knows nothing of sandboxes.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import PurePosixPath

from repair.errors import OracleError
from repair.sources import language_of

_PYTHON = re.compile(r"python(\d+(\.\d+)?)?$")
_OPERATORS = frozenset("();<>|&")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_WRAPPERS = (("uv", "run"), ("poetry", "run"), ("pipenv", "run"), ("pdm", "run"), ("hatch", "run"))
_TEST_NAME = re.compile(r"(^tests?[_-].*|.*[_.-](test|spec)|^tests?)\.\w+$|Tests?\.java$")


class Tool(Enum):
    """How the tests run, and so how finely their results are told."""

    PYTEST = "pytest"
    UNITTEST = "unittest"
    PYTHON = "python"  # one script
    NODE_TEST = "node --test"
    PROGRAM = "program"  # the exit status alone


@dataclass(frozen=True, slots=True)
class TestCommand:
    """A test command read: `python` is the interpreter's name in it, `args` what follows the tool's name."""

    __test__ = False

    tool: Tool
    args: tuple[str, ...]
    python: str = ""
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    cwd_on_path: bool = True  # `python -m pytest` imports from the working directory, `pytest` does not
    functions: tuple[str, ...] = ()  # Python files whose plain test functions unittest shall run too

    @property
    def shown(self) -> str:
        """For messages."""
        return (
            shlex.join(self.args) if self.tool is Tool.PROGRAM else f"{self.tool.value} {shlex.join(self.args)}".strip()
        )


def is_test_name(path: str) -> bool:
    """Whether a file is a test by its name: test_x.py, x_test.py, x.test.js, x.spec.ts, XTest.java, ..."""
    return bool(_TEST_NAME.search(PurePosixPath(path).name))


def parse_command(command: str | Sequence[str]) -> TestCommand:
    """Read a command. Raises OracleError when it is empty or its quotes do not match."""
    words = _words(command) if isinstance(command, str) else list(command)
    if words is None:
        return TestCommand(Tool.PROGRAM, ("/bin/sh", "-c", str(command)))
    env: dict[str, str] = {}
    while words and _ASSIGNMENT.match(words[0]):
        name, _, value = words.pop(0).partition("=")
        env[name] = value
    if tuple(words[:2]) in _WRAPPERS:
        words = words[2:]
    if not words:
        raise OracleError("the test command is empty; give one such as `python -m pytest -q`")
    return _classified(words, env)


def _words(command: str) -> list[str] | None:
    """The words of a command line, None when it takes a shell to run it."""
    if any(sign in command for sign in "$`\n"):
        return None
    try:
        signs = list(shlex.shlex(command, posix=True, punctuation_chars=True))
        words = shlex.split(command)
    except ValueError as error:
        raise OracleError(f"the test command cannot be read ({error}): {command}") from error
    needs_shell = any(set(sign) <= _OPERATORS for sign in signs if sign) or any("*" in word for word in words[:1])
    return None if needs_shell else words


def _classified(words: list[str], env: Mapping[str, str]) -> TestCommand:
    program = PurePosixPath(words[0]).name
    if program in ("pytest", "py.test"):
        return TestCommand(Tool.PYTEST, tuple(words[1:]), _beside(words[0]), env, cwd_on_path=False)
    if program == "node" and "--test" in words[1:]:
        return TestCommand(Tool.NODE_TEST, tuple(words), env=env)
    if not _PYTHON.match(program):
        return TestCommand(Tool.PROGRAM, tuple(words), env=env)
    tool, args = _python_tool(words)
    return TestCommand(tool, tuple(args), words[0], env)


def _python_tool(words: list[str]) -> tuple[Tool, list[str]]:
    """What `python ...` runs."""
    match words[1:]:
        case ["-m", "pytest" | "py.test", *rest]:
            return Tool.PYTEST, rest
        case ["-m", "unittest", *rest]:
            return Tool.UNITTEST, rest
        case [script, *rest] if script.endswith(".py"):
            return Tool.PYTHON, [script, *rest]
        case _:
            return Tool.PROGRAM, words


def _beside(program: str) -> str:
    """The interpreter of `some/venv/bin/pytest` is the one beside it."""
    return str(PurePosixPath(program).parent / "python") if "/" in program else ""


def command_for(tests: Sequence[str], *, pytest: bool) -> TestCommand:
    """The command for test files without one; `pytest` says whether the interpreter has it.

    Raises OracleError for a language without a usual runner.
    """
    languages = {language_of(path) for path in tests}
    if not tests:
        raise OracleError("there are neither a test command nor test files; give one of them")
    if languages == {"python"}:
        if pytest:
            return TestCommand(Tool.PYTEST, tuple(tests))
        return TestCommand(Tool.UNITTEST, tuple(tests), functions=tuple(tests))
    if languages == {"javascript"}:
        return TestCommand(Tool.NODE_TEST, ("node", "--test", *tests))
    names = ", ".join(sorted(languages))
    raise OracleError(f"it is not known how to run tests in {names}; give the command with --test")
