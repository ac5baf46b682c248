"""The error text of a case: which lines of the program it names, and the same report once the program was changed.

Owns numbers and quoted code in reports of Python, Node and Java. Must not know why a program changes. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from eval.suites.rows import LANGUAGES, Case
from repair.traces import owned_frames, parse_error

_HEADLINE = re.compile(r"\s*(?:Uncaught )?[\w.$]*(?:Error|Exception|Interrupt|Exit)\b(?! at line)")
_MARKERS = re.compile(r"\s*[\^~][\^~ ]*$")


@dataclass(frozen=True, slots=True)
class Reported:
    """An error text with the places in it that name lines of the script (code, blank line, tests)."""

    lines: tuple[str, ...]
    pattern: re.Pattern[str] | None  # group 1: the path as printed, group 2: the line's number

    @property
    def numbers(self) -> tuple[int, ...]:
        """All lines of the script that are named, each once."""
        found = self.pattern.findall("\n".join(self.lines)) if self.pattern else []
        return tuple(dict.fromkeys(int(number) for _, number in found))

    @property
    def headline(self) -> int | None:
        """Index of the last line that gives the error's type (and message)."""
        found = [n for n, line in enumerate(self.lines) if _HEADLINE.match(line) and not self._named(line)]
        return found[-1] if found else None

    def _named(self, line: str) -> bool:
        return bool(self.pattern and self.pattern.search(line))


def reported(case: Case) -> Reported | None:
    """The case's error text, None without one."""
    if not case.error:
        return None
    frames = owned_frames(parse_error(case.error).evidence, (LANGUAGES[case.language],))
    paths = sorted({frame.path for _, _, frame in frames}, key=lambda path: (-len(path), path))
    names = "|".join(re.escape(path) for path in paths)
    pattern = re.compile(rf'(?<![\w./-])((?:{names})(?:", line |:))(\d+)') if paths else None
    return Reported(tuple(case.error.split("\n")), pattern)


def code_lines(case: Case) -> int:
    """The last line of the script that holds code under test (suites differ in the blank lines before the tests)."""
    return case.buggy_code.rstrip().count("\n") + 1


def renumbered(case: Case, after: str, where: Mapping[int, int]) -> str | None:
    """The report after `buggy_code` became `after`; `where` says which line of code stands where now.

    Lines that `where` does not name keep their number. Those of the tests move by as many lines as the code grew.
    Code that is quoted below a number follows; markers below code that reads differently are left out.
    """
    grown = after.count("\n") - case.buggy_code.count("\n")
    last = code_lines(case)

    def moved(line: int) -> int:
        return line + grown if line > last else where.get(line, line)

    return _rewritten(case, moved, after.split("\n"))


def renumbered_only(case: Case, moved: Callable[[int], int], *, quoted: bool) -> str | None:
    """The report with other numbers for the code's lines; `quoted` code follows them, or stays as it was."""
    last = code_lines(case)
    lines = case.buggy_code.split("\n") if quoted else None
    return _rewritten(case, lambda line: line if line > last else moved(line), lines)


def _rewritten(case: Case, moved: Callable[[int], int], after: list[str] | None) -> str | None:
    """The report with each named line moved, and quoted as it stands in `after` (None: as it was)."""
    report = reported(case)
    if report is None or report.pattern is None:
        return case.error
    before = case.buggy_code.split("\n")
    result: list[str] = []
    quoted, changed = 0, False  # the line that the next one may quote; whether the quoted one changed
    for line in report.lines:
        new = line
        if quoted and after is not None and line.strip() and line.strip() == _at(before, quoted):
            margin = line[: len(line) - len(line.lstrip())]
            new = margin + _at(after, moved(quoted))
            changed, quoted = new != line, 0
        elif changed and _MARKERS.match(line):
            changed = False
            continue
        else:
            found = report.pattern.search(line)
            quoted, changed = int(found[2]) if found else 0, False
            new = report.pattern.sub(lambda m: f"{m[1]}{moved(int(m[2]))}", line)
        result.append(new)
    return "\n".join(result)


def _at(lines: list[str], number: int) -> str:
    return lines[number - 1].strip() if 1 <= number <= len(lines) else ""
