"""What tox and nox would run for tests, read from their files where it is plain.

Pure. A recipe that cannot be read plainly comes with the reason, for the report.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from repair.projects.listing import Tree, at, strings, table

_POSARGS = re.compile(r"\{posargs(?::((?:[^{}]|\{[^{}]*\})*))?\}|\[\]")
_KNOWN = {"{toxinidir}": ".", "{tox_root}": ".", "{envpython}": "python", "{envbindir}/": "", "{/}": "/", "{:}": ":"}
_CONDITION = re.compile(r"^[\w!,.{}-]+:\s+")
_COVERAGE = re.compile(r"^(?:python -m )?coverage run(?: -\S+(?:=\S+)?)* -m ")
_TEST_SESSION = re.compile(r"^(?:tests?|unit|pytest|unittests?)(?:$|[_-])")
_SPARED = re.compile(
    r"--(?:cov|no-cov|junit-?xml|durations|color|numprocesses|dist|basetemp)(?:[-=].*)?$|-n(?:auto|logical|\d+)?$"
)
_TAKING = re.compile(r"--(?:cov|cov-report|cov-config|junit-?xml|durations|color|numprocesses|dist|basetemp)|-n")


@dataclass(frozen=True, slots=True)
class Recipe:
    """The words of a plain command, or none and the reason."""

    source: str
    words: tuple[str, ...] = ()
    reason: str = ""


def recipes(tree: Tree) -> tuple[Recipe, ...]:
    """Of tox first, then of nox."""
    found = [*_of_tox(tree)]
    nox = tree.text("noxfile.py")
    if nox:
        found.append(_first_plain("noxfile.py", _nox_lines(nox)))
    return tuple(found)


def _of_tox(tree: Tree) -> Iterator[Recipe]:
    sections = tree.ini("tox.ini")
    if "testenv" in sections:
        yield _first_plain("[testenv] in tox.ini", _logical(sections["testenv"].get("commands", "")))
    for path, keys in (("tox.toml", ("env_run_base",)), ("pyproject.toml", ("tool", "tox", "env_run_base"))):
        commands = at(tree.toml(path), *keys, "commands")
        if isinstance(commands, list):
            yield _first_plain(f"tox in {path}", (_joined(command) for command in commands))
    legacy = at(tree.toml("pyproject.toml"), "tool", "tox", "legacy_tox_ini")
    if isinstance(legacy, str):
        found = re.search(r"^\[testenv\]$(.*?)(?=^\[|\Z)", legacy, re.M | re.S)
        commands = re.search(r"^commands\s*=(.*?)(?=^\S|\Z)", found[1] if found else "", re.M | re.S)
        yield _first_plain("tox in pyproject.toml", _logical(commands[1] if commands else ""))


def _joined(command: object) -> str:
    """A command of TOML: words, of which a table may stand for the user's arguments."""
    words: list[str] = []
    for word in command if isinstance(command, list) else []:  # pyright: ignore[reportUnknownVariableType]
        if isinstance(word, str):
            words.append(word)
        else:
            words.extend(strings(table(word).get("default")))
    return shlex.join(words)


def _logical(text: str) -> Iterator[str]:
    """Lines, those with a backslash at their end joined with the next."""
    yield from (line.strip() for line in re.sub(r"\\\n\s*", " ", text).split("\n") if line.strip())


def _first_plain(source: str, lines: Iterable[str]) -> Recipe:
    reason = "it names no command for tests"
    for line in lines:
        words, why = _plain(line)
        if words:
            return Recipe(source, words)
        reason = why or reason
    return Recipe(source, reason=reason)


def _plain(line: str) -> tuple[tuple[str, ...], str]:
    """The words of a line that runs pytest or unittest, or nothing and why not."""
    line = _CONDITION.sub("", line).lstrip("-").strip()
    line = _POSARGS.sub(lambda found: found[1] or "", line)
    for sign, meaning in _KNOWN.items():
        line = line.replace(sign, meaning)
    line = _COVERAGE.sub("python -m ", line)
    if re.match(r"(?:pytest|py\.test)\b", line):
        line = f"python -m {line.replace('py.test', 'pytest', 1)}"
    if not re.match(r"python3? -m (?:pytest|unittest)\b", line):
        return (), ""
    try:
        words = list(_kept(shlex.split(line)))
    except ValueError:
        return (), f"what it runs cannot be read: {line[:80]}"
    if any(sign in word for word in words for sign in "{$"):
        return (), f"what it runs is not plain: {line[:80]}"
    return ("python", *words[1:]), ""


def _kept(words: list[str]) -> Iterator[str]:
    """The words without options that only report, or that ask for several processes."""
    value = False  # whether the word belongs to the option before
    for word in words:
        if _SPARED.match(word):
            value = _TAKING.fullmatch(word) is not None
        elif not value or word.startswith("-"):
            value = False
            yield word
        else:
            value = False


def _nox_lines(text: str) -> Iterator[str]:
    """What sessions for tests run, as command lines; what is computed is left out of them."""
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return
    for function in module.body:
        if isinstance(function, ast.FunctionDef) and _TEST_SESSION.match(function.name):
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "run":
                    words = [word.value for word in call.args if isinstance(word, ast.Constant)]
                    yield shlex.join(str(word) for word in words)
