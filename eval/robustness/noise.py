"""Noise in the error text: the program stays, what is reported of it is typed badly, cut, wrapped, missing or wrong.

Each function gives the case with another `error`, or None where it has nothing to change. Pure but for the chance
that is handed in.
"""

from __future__ import annotations

import random as chance
import re
from dataclasses import replace

from eval.faults import changed_lines
from eval.robustness.reported import code_lines, renumbered_only, reported
from eval.suites.rows import Case

_WORD = re.compile(r"[A-Za-z]{4,}")
_TYPOS = 2  # words
_WARNINGS = {
    "python": (
        "/usr/lib/python3/dist-packages/requests/__init__.py:102: RequestsDependencyWarning: urllib3 (2.2.1) or "
        "chardet (5.2.0) doesn't match a supported version!\n  warnings.warn(",
        "/opt/app/venv/lib/python3.12/site-packages/pkg_tools/compat.py:18: DeprecationWarning: the imp module is "
        "deprecated in favour of importlib\n  import imp",
        "/opt/app/venv/lib/python3.12/site-packages/plotkit/axes.py:231: UserWarning: tight layout not applied\n"
        "  self._warn()",
    ),
    "javascript": (
        "(node:4711) [DEP0040] DeprecationWarning: The `punycode` module is deprecated. Please use a userland "
        "alternative instead.\n(Use `node --trace-deprecation ...` to show where the warning was created)",
        "(node:4711) ExperimentalWarning: The Fetch API is an experimental feature. This feature could change at any "
        "time",
        "npm warn deprecated inflight@1.0.6: This module is not supported, and leaks memory.",
    ),
    "java": (
        "Note: Legacy.java uses unchecked or unsafe operations.\nNote: Recompile with -Xlint:unchecked for details.",
        "WARNING: A terminally deprecated method in java.lang.System has been called",
        "OpenJDK 64-Bit Server VM warning: Sharing is only supported for boot loader classes",
    ),
}


def typo(case: Case, random: chance.Random) -> Case | None:
    """Two neighbouring letters change places in up to two words of the message (of the type, where it is bare)."""
    report = reported(case)
    if report is None or report.headline is None:
        return None
    line = report.lines[report.headline]
    kind, colon, message = line.partition(":")
    start = len(kind) + 1 if colon and _WORD.search(message) else 0
    words = [m for m in _WORD.finditer(line, start) if len(set(m[0][1:])) > 1]
    chosen = random.sample(words, min(_TYPOS, len(words)))
    for word in sorted(chosen, key=lambda m: -m.start()):
        at = random.choice([n for n in range(word.start() + 1, word.end() - 1) if line[n] != line[n + 1]])
        line = line[:at] + line[at + 1] + line[at] + line[at + 2 :]
    lines = (*report.lines[: report.headline], line, *report.lines[report.headline + 1 :])
    return _with(case, "\n".join(lines))


def truncated(case: Case, random: chance.Random) -> Case | None:
    """A third to two thirds of the text is gone, at its beginning or at its end, as a log that was cut."""
    text = (case.error or "").strip()
    kept = int(len(text) * random.uniform(1 / 3, 2 / 3))
    if kept < 1 or len(text) < 12:
        return None
    return _with(case, f"{text[:kept]}..." if random.random() < 0.5 else f"...{text[-kept:]}")


def wrapped(case: Case, random: chance.Random) -> Case | None:
    """Each line behind a logger's prefix, in colours."""
    if not case.error:
        return None
    second, worker = random.randrange(60), random.randrange(1, 17)
    prefix = f"2024-03-18 09:41:{second:02d},{random.randrange(1000):03d} ERROR [worker-{worker}] app.jobs: "
    return _with(case, "\n".join(f"{prefix}\x1b[31m{line}\x1b[0m" for line in case.error.strip().split("\n")))


def unrelated_warnings(case: Case, random: chance.Random) -> Case | None:
    """Warnings of libraries stand before the error."""
    if not case.error:
        return None
    found = list(_WARNINGS[case.language])
    random.shuffle(found)
    return _with(case, "\n".join((*found, case.error)))


def missing(case: Case, random: chance.Random) -> Case | None:
    """There is no error text."""
    del random  # nothing to draw
    return replace(case, error=None) if case.error else None


def wrong_lines(case: Case, random: chance.Random) -> Case | None:
    """Frames of the program name (and quote) other lines of it, none of them at fault."""
    faulty = changed_lines(case.buggy_code, case.fixed_code) if case.fixed_code is not None else ()
    lines = case.buggy_code.split("\n")
    named = _own_lines(case)
    others = [n for n, line in enumerate(lines, 1) if line.strip() and n not in faulty and n not in named]
    if not named or not others:
        return None
    to = {line: random.choice(others) for line in named}
    return _with(case, renumbered_only(case, lambda line: to.get(line, line), quoted=True))


def stale_lines(case: Case, random: chance.Random) -> Case | None:
    """The program's lines are numbered as in an older file; the quoted code is right."""
    named = _own_lines(case)
    if not named:
        return None
    by = random.choice((-3, -2, 2, 3, 7))
    return _with(case, renumbered_only(case, lambda line: max(1, line + by), quoted=False))


def _own_lines(case: Case) -> tuple[int, ...]:
    report = reported(case)
    return tuple(n for n in report.numbers if n <= code_lines(case)) if report else ()


def _with(case: Case, error: str | None) -> Case | None:
    return replace(case, error=error) if error and error != case.error else None
