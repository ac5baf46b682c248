"""Rows of the pack layout: a declaration, two bodies and a test. One row to one Case; reads no file.

    {task_id?, declaration, buggy_solution, canonical_solution?, test, entry_point?, test_setup?, import?, bug_type?}

The program is `declaration + solution` and its tests are `test_setup + test`. Other fields (prompts, docstrings, the
few tests of `example_test`) are not used: there are no held-out tests in this layout, and none are made up.
"""

from __future__ import annotations

import re
from pathlib import Path

from eval.suites.cases import LANGUAGES, Case
from eval.suites.fields import Row, optional_text, text
from repair.errors import SuiteError

MARKS = frozenset({"declaration", "buggy_solution", "test"})
"""Fields by which the layout is known."""

_ALIASES = {
    "python": "python", "python3": "python", "py": "python", "javascript": "javascript", "js": "javascript",
    "node": "javascript", "java": "java",
}  # fmt: skip
_WORD = re.compile(r"[a-z0-9]+")
_FOLDERS = 3  # of the path, from the file outwards, that may name the language
# Node only prints what console.assert finds; a test must end there.
_NODE_ASSERT = """console.assert = (holds, ...said) => {
  if (holds) return;
  const error = new Error(['Assertion failed', ...said].join(': '));
  error.name = 'AssertionError';
  throw error;
};
"""
_JAVA_IMPORTS = re.compile(r"\A(?:\s*import\s[^;{}]*;)+")


def parse_pack(row: Row, path: Path, line: int) -> Case:
    """One row of line `line`. Raises SuiteError naming the field at fault."""
    language = _language(row, path)
    declaration, buggy = _any_text(row, "declaration"), text(row, "buggy_solution")
    fixed = optional_text(row, "canonical_solution")
    tests = "\n".join(part for part in (optional_text(row, "test_setup"), text(row, "test")) if part)
    above = _above(row)
    if language == "java" and (found := _JAVA_IMPORTS.match(tests)):  # tests follow the code, imports may not
        above, tests = f"{found[0].strip()}\n{above}", tests[found.end() :].lstrip("\n")
    if language == "javascript":
        tests = _NODE_ASSERT + tests
    return Case(
        id=optional_text(row, "task_id") or optional_text(row, "id") or f"{path.stem}/{line}",
        language=language,
        buggy_code=f"{above}{declaration}{buggy}",
        tests=tests,
        fixed_code=None if fixed is None else f"{above}{declaration}{fixed}",
        entry_point=optional_text(row, "entry_point"),
        bug_type=optional_text(row, "bug_type"),
    )


def _any_text(row: Row, name: str) -> str:
    """A text that must be there and may be blank."""
    if row.get(name) is None:
        raise SuiteError(f"field {name!r} is missing", field=name)
    return optional_text(row, name) or ""


def _above(row: Row) -> str:
    lines = optional_text(row, "import")
    return f"{lines.rstrip()}\n" if lines else ""


def _language(row: Row, path: Path) -> str:
    """What the field says, else the id ("Java/7"), else the name of the file or of a folder around it."""
    named = optional_text(row, "language")
    if named is not None:
        return _known(named)
    prefix, slash, _ = (optional_text(row, "task_id") or "").partition("/")
    if slash:
        return _known(prefix)
    for part in (path.stem, *(folder.name for folder in list(path.parents)[:_FOLDERS])):
        for word in _WORD.findall(part.lower()):
            if word in _ALIASES:
                return _ALIASES[word]
    raise SuiteError(
        'the language is told by neither `language` nor `task_id` ("Python/3") nor the file\'s name', field="language"
    )


def _known(name: str) -> str:
    language = _ALIASES.get(name.strip().lower())
    if language is None:
        raise SuiteError(f"language {name!r} cannot be run; known are {', '.join(LANGUAGES)}", field="language")
    return language
