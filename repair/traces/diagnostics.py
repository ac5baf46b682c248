"""Findings of compilers, type checkers and linters: mypy, pyright, ruff, flake8, pylint, javac, tsc, gcc's style."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from repair.defects import Diagnostic, Evidence, Frame, Traceback
from repair.traces.text import split_error

_PATH = r"((?:[A-Za-z]:(?=[\\/]))?[^\s:][^:]{0,500})"
_AT = r"(\d{1,9})"
_TSC = re.compile(rf"(\S.{{0,500}}?)\({_AT},{_AT}\): (error|warning|info) (TS\d+): (.*)")
_DASHED = re.compile(rf"\s*{_PATH}:{_AT}:{_AT} - (error|warning|information)(?: (TS\d+))?: (.*)")
_GCC = re.compile(rf"{_PATH}:{_AT}:(?:{_AT}:)?(?:\d+:\d+:)? (fatal error|error|warning|note): (.*)")
_LINT = re.compile(rf"{_PATH}:{_AT}:{_AT}: ([A-Z]+\d+|invalid-syntax|SyntaxError):? (.*)")
_RULE = re.compile(r"([A-Z]+\d+|invalid-syntax|(?:error|warning)(?:\[[\w-]{1,80}\])?):? (.*)")
_ARROW = re.compile(rf"\s*--> {_PATH}:{_AT}:{_AT}$")
_RAISED = re.compile(rf"{_PATH}:{_AT}: (.*)")
_CODE_AT_END = re.compile(r" [\[(]([\w-]{1,80})[\])]$")
_CARET = re.compile(r"\s*\^")
_SEVERITIES = {"fatal error": "error", "information": "note", "info": "note"}

Found = tuple[tuple[Evidence, ...], int] | None


def _looks_like_path(text: str) -> bool:
    """Keeps times of day and other `12:30:` from being taken for files."""
    return any(c in text for c in "./\\<") and any(c.isalpha() for c in text)


def _split_code(message: str) -> tuple[str, str]:
    """A message and the rule's name that ends it in brackets."""
    found = _CODE_AT_END.search(message)
    return (message[: found.start()].rstrip(), found[1]) if found else (message, "")


def _tsc(line: str) -> Diagnostic | None:
    found = _TSC.match(line)
    if not found:
        return None
    severity = _SEVERITIES.get(found[4], found[4])
    return Diagnostic(found[1], int(found[2]), found[6], int(found[3]), found[5], "tsc", severity)


def _dashed(line: str) -> Diagnostic | None:
    """pyright, and tsc with --pretty."""
    found = _DASHED.match(line)
    if not found:
        return None
    message, rule = (found[6], found[5]) if found[5] else _split_code(found[6])
    tool = "tsc" if found[5] else "pyright"
    return Diagnostic(found[1], int(found[2]), message, int(found[3]), rule, tool, _SEVERITIES.get(found[4], found[4]))


def _gcc(line: str) -> Diagnostic | None:
    """mypy, javac and whatever prints like gcc."""
    found = _GCC.match(line)
    if not found:
        return None
    tool = {"java": "javac", "py": "mypy", "pyi": "mypy"}.get(found[1].rpartition(".")[2], "")
    message, rule = _split_code(found[5]) if tool == "mypy" else (found[5], "")
    severity = _SEVERITIES.get(found[4], found[4])
    return Diagnostic(found[1], int(found[2]), message, int(found[3] or 0), rule, tool, severity)


def _lint(line: str) -> Diagnostic | None:
    """Ruff (concise), flake8, pylint."""
    found = _LINT.match(line)
    if not found:
        return None
    message = found[5].removeprefix("[*] ")
    return Diagnostic(found[1], int(found[2]), message, int(found[3]), found[4], "lint", _lint_severity(found[4]))


def _lint_severity(code: str) -> str:
    """Only what stops a program from running, or is certain to fail, counts as an error."""
    return "error" if code in ("invalid-syntax", "SyntaxError", "E999", "E902", "F821", "F823", "F822") else "warning"


_PARSERS: tuple[Callable[[str], Diagnostic | None], ...] = (_tsc, _dashed, _gcc, _lint)


def _caret_column(lines: Sequence[str], at: int) -> int:
    """The 1-based column of the caret two lines below, 0 where there is none (javac)."""
    below = lines[at + 2] if at + 2 < len(lines) else ""
    return below.index("^") + 1 if _CARET.match(below) else 0


def read_diagnostic(lines: Sequence[str], at: int) -> Found:
    """One line `path:line: ...` in the manner of one of the tools."""
    found = next((d for parse in _PARSERS if (d := parse(lines[at]))), None)
    if found is None or not _looks_like_path(found.path):
        return None
    column = found.column or _caret_column(lines, at)
    if column == found.column:
        return (found,), at + 1
    shown = Diagnostic(found.path, found.line, found.message, column, found.code, found.tool, found.severity)
    return (shown,), at + 3


def read_framed_diagnostic(lines: Sequence[str], at: int) -> Found:
    """A finding with its source drawn below: `CODE message`, ` --> path:line:column`, bars (ruff, ty, rustc)."""
    arrow = _ARROW.match(lines[at + 1]) if at + 1 < len(lines) else None
    rule = _RULE.match(lines[at]) if arrow else None
    if arrow is None or rule is None:
        return None
    code, severity = rule[1], _lint_severity(rule[1])
    if code.startswith(("error", "warning")):
        severity, _, code = code.removesuffix("]").partition("[")
    end = at + 2
    while end < len(lines) and lines[end]:
        end += 1
    message = rule[2].removeprefix("[*] ")
    return (Diagnostic(arrow[1], int(arrow[2]), message, int(arrow[3]), code, "lint", severity),), end


def read_raised_at(lines: Sequence[str], at: int) -> Found:
    """`path:line: SomeError: message` (pytest --tb=line, warnings) or `path:line: assert ...`."""
    found = _RAISED.match(lines[at])
    if not found or not _looks_like_path(found[1]):
        return None
    error = split_error(found[3], strict=True)
    if error is None and found[3].startswith("assert "):
        error = "AssertionError", found[3]
    return ((Traceback(*error, (Frame(found[1], int(found[2])),)),), at + 1) if error else None
