"""Terrain: what kind of place each line of one source is, for localization.

Owns the reading of the syntax tree as lines. Knows nothing of evidence, models or weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from repair.languages import Node, ParseError, Tree, functions, language, parse, parses, statement_lines
from repair.languages.recent import Recent
from repair.sources import Source

_PUNCTUATION = frozenset("()[]{};,: \t")


class Ground(Enum):
    """What stands on a line."""

    STATEMENT = auto()  # a statement (or an else) begins here
    CONTINUATION = auto()  # code of a statement that began above
    IDLE = auto()  # blank, comment, lone brackets, inside of a string


@dataclass(frozen=True, slots=True)
class Terrain:
    """One source by lines (1-based; index 0 of the tuples is unused)."""

    source: Source
    ground: tuple[Ground, ...]
    owner: tuple[int, ...]  # first line of the innermost statement on the line, the line itself where there is none
    header_of: dict[int, int]  # lines of function headers, decorators included -> first line of the body
    module_level: frozenset[int]  # lines outside of all functions
    error: str = ""  # why the source does not parse
    error_line: int = 0  # where, 0 when it parses; past the end (an unclosed bracket) counts as the last line
    before_error: int = 0  # the last line of code above

    def begins(self) -> list[int]:
        """Lines on which a statement begins."""
        return [n for n, ground in enumerate(self.ground) if ground is Ground.STATEMENT]


def _is_docstring(node: Node, strings: frozenset[str]) -> bool:
    """A statement that is a string and nothing else."""
    named = node.named_children
    if len(named) != 1 or named[0].kind not in strings:
        return False
    return node.start == named[0].start and node.end - named[0].end <= 1  # `return "x"` says something


def _says_nothing(node: Node, tree: Tree) -> bool:
    """A comment or a docstring: coverage does not record it."""
    return node.kind in tree.language.comments or _is_docstring(node, tree.language.strings)


def _owners(tree: Tree, count: int) -> list[int]:
    """For each line the first line of the innermost statement that covers it.

    A bare `else:` belongs to its `if`: coverage does not record it as a line of its own.
    """
    owner = list(range(count + 1))
    table = tree.language
    for node in tree.nodes:
        bare_else = node.kind in table.else_clauses and node.child("condition") is None
        if node.named and (node.kind in table.statements or node.kind in table.else_clauses) and not bare_else:
            first, last = tree.source.lines_of(node.span)
            for line in range(first, last + 1):
                owner[line] = first
    return owner


def _quiet_lines(tree: Tree) -> set[int]:
    """Lines inside of strings that began above, docstrings with their first line, and lines of comments only."""
    quiet: set[int] = set()
    table = tree.language
    for node in tree.nodes:
        if node.kind in table.statements and _is_docstring(node, table.strings):
            first, last = tree.source.lines_of(node.span)
            quiet.update(range(first, last + 1))
        elif node.kind in table.strings:
            first, last = tree.source.lines_of(node.span)
            quiet.update(range(first + 1, last + 1))
        elif node.kind in table.comments:
            first, last = tree.source.lines_of(node.span)
            begin = tree.source.line_span(first).start
            alone = not tree.source.text[begin : node.start].strip()
            quiet.update(range(first if alone else first + 1, last + 1))
    return quiet


def _headers(source: Source, tree: Tree) -> dict[int, int]:
    """Lines of function headers -> the first line of the function's body."""
    found: dict[int, int] = {}
    kinds = tree.language.functions
    for node in tree.nodes:
        body = node.child("body") if node.kind in kinds and node.named else None
        if body is None:
            continue
        inner = next((c for c in body.named_children if not _says_nothing(c, tree)), body)
        first, begin = source.position(node.start)[0], source.position(inner.start)[0]
        for line in range(first, max(begin, first + 1)):
            found.setdefault(line, begin)
    for function in functions(source):  # decorators stand above the definition's own node
        line = function.first_line
        while line not in found and line < function.last_line:
            found[line] = function.last_line
            line += 1
    return found


def _ground(source: Source, tree: Tree) -> tuple[Ground, ...]:
    begins = statement_lines(source)
    quiet = _quiet_lines(tree)
    found = [Ground.IDLE]
    for number, text in enumerate(source.lines, 1):
        if number in quiet or not text.strip():
            found.append(Ground.IDLE)
        elif number in begins:
            found.append(Ground.STATEMENT)
        elif set(text) <= _PUNCTUATION or text.lstrip().startswith(tree.language.comment or "\0"):
            found.append(Ground.IDLE)
        else:
            found.append(Ground.CONTINUATION)
    return tuple(found)


def _error(source: Source, ground: tuple[Ground, ...]) -> tuple[str, int, int]:
    """Message, line and the line of code above, of the first syntax error."""
    error: ParseError | None = parses(source) if language(source.language).grammar is not None else None
    if error is None:
        return "", 0, 0
    at = min(max(error.line, 1), source.line_count)
    return error.message, at, max((n for n in range(1, at) if ground[n] is not Ground.IDLE), default=0)


@Recent  # one repair asks before and after the model has spoken
def survey(source: Source) -> Terrain:
    """The terrain of one source; any text will do, one that does not parse as well."""
    tree = parse(source)
    count = source.line_count
    inside = {n for f in functions(source) for n in range(f.first_line, f.last_line + 1)}
    ground = _ground(source, tree)
    return Terrain(
        source,
        ground,
        tuple(_owners(tree, count)),
        _headers(source, tree),
        frozenset(range(1, count + 1)) - inside,
        *_error(source, ground),
    )
