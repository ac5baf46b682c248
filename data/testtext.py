"""The text of failing tests for a record: short enough for a prompt, ending where the failure was.

Owns what is shown of a test that is too long. Must not know mutants or runs beyond the failure itself.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

from data.testbed import Failure
from repair.oracles.testtext import test_source

TEST_TOKENS = 64
_OTHERS = 3  # further failing tests that are looked at
_TOKEN = re.compile(r"\w+|[^\w\s]")


def test_text(root: Path, tests: Sequence[str], failure: Failure) -> str:
    """Source of the failing test, then of others that still fit into 64 words and signs.

    Of a longer one the lines that lead to the failing one are shown.
    """
    first = failure.test_id if failure.test_id in tests else (tests[0] if tests else "")
    source = test_source(root, first) if first else ""
    if tokens(source) > TEST_TOKENS:
        return _leading(source, failure)
    shown = [source] if source else []
    for other in [test for test in tests if test != first][:_OTHERS]:
        text = test_source(root, other)
        if text and text not in shown and sum(map(tokens, shown)) + tokens(text) <= TEST_TOKENS:
            shown.append(text)
    return "\n".join(shown)


test_text.__test__ = False  # type: ignore[attr-defined]  # not for pytest to collect


def tokens(text: str) -> int:
    """Words and single signs of a text."""
    return len(_TOKEN.findall(text))


def _leading(source: str, failure: Failure) -> str:
    """The statements up to the one that failed, as many as fit; the beginning where that is not known."""
    lines = source.split("\n")
    codes = {f.code.strip().split("\n")[0] for f in failure.frames if f.code.strip()}
    at = next((n for n in range(len(lines) - 1, -1, -1) if lines[n].strip() in codes), None)
    if at is None:
        return _fitting(lines)
    end = _statement_end(source, at + 1)
    return textwrap.dedent("\n".join(_fitting(lines[:end][::-1]).split("\n")[::-1]))


def _statement_end(source: str, line: int) -> int:
    """Last line of the smallest statement that begins on a line."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return line
    ends = [n.end_lineno or line for n in ast.walk(tree) if isinstance(n, ast.stmt) and n.lineno == line]
    return min(ends, default=line)


def _fitting(lines: Sequence[str]) -> str:
    room, kept = TEST_TOKENS, list[str]()
    for line in lines:
        room -= tokens(line)
        if room < 0:
            break
        kept.append(line)
    return "\n".join(kept)
