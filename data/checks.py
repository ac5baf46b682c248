"""Checks of single records: do both sides parse, may the licence be used, is it a measured program.

Each is `Record -> Record | Rejection`, for `data.steps`. Knows nothing of order, shards or sources.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from data.decontaminate import Forbidden
from data.failures import parses_alone
from data.filters import parse
from data.licences import expression_allowed, header_refused
from data.records import Origin, Record
from data.steps import Outcome, Rejection
from repair.languages import language, parses
from repair.sources import Source

_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
_CLASS = "class Around {{\n{}\n}}\n"  # around a method of Java or JavaScript
_SUFFIX = {"python": ".py", "javascript": ".js", "typescript": ".ts", "tsx": ".tsx", "java": ".java"}


def parses_as_piece(text: str, name: str) -> bool:
    """Whether whole lines of a file parse on their own, inside of a class, or indented; unknown languages do."""
    if language(name).check is not None:  # Python's own parser decides
        return parses_alone(text)
    path = f"piece{_SUFFIX.get(name, '')}"
    return any(parses(Source(path, one, name)) is None for one in (text, _CLASS.format(text)))


def parsed(record: Record) -> Outcome:
    """`fixed` must parse; `buggy` too, unless that is its fault."""
    if record.origin is Origin.SUITE:
        return record
    if not parses_as_piece(record.fixed, record.language):
        return Rejection("", "the fixed side does not parse")
    syntax = "syntax" in record.bug_classes or record.error_type in ("SyntaxError", "IndentationError", "TabError")
    if not syntax and record.buggy != record.fixed and not parses_as_piece(record.buggy, record.language):
        return Rejection("", "the buggy side does not parse")
    return record


def licensed(record: Record) -> Outcome:
    """The licence must be on the allow-list, and no copyleft header may stand in the text."""
    if record.origin is Origin.SUITE:
        return record  # never trained on
    if not record.licence:
        return Rejection("", "no licence is known")
    if not expression_allowed(record.licence):
        return Rejection("", f"licence {record.licence[:60]!r} is not on the allow-list")
    header = header_refused(record.fixed)
    return Rejection("", f"licence header: {header}") if header else record


def _functions(text: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = parse(f"if 1:\n{text}" if text[:1] in " \t" else text)
    if tree is not None:
        yield from (node for node in ast.walk(tree) if isinstance(node, _FUNCTION))


def decontaminated(forbidden: Forbidden, record: Record) -> Outcome:
    """No text of a record may be a measured program: by marks (Python) on both sides, by n-grams everywhere."""
    if record.origin is Origin.SUITE:
        return record  # for evaluation alone; see `data.splits`
    if record.language == "python":
        for text in dict.fromkeys((record.fixed, record.buggy)):
            reason = next((r for node in _functions(text) if (r := forbidden.reason(node))), "")
            if reason:
                return Rejection("", reason)
    around = ("\n".join(record.context), record.test)
    if any(forbidden.holds_gram(text) for text in (record.fixed, record.buggy, *around) if text):
        return Rejection("", "13 tokens of a suite")
    return record
