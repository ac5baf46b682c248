"""Does a text parse, and are two texts the same program: `parses`, `tree_key`, `undefined_names`."""

from __future__ import annotations

import symtable
import warnings

from repair.languages.registry import language
from repair.languages.table import ParseError
from repair.languages.trees import Tree, parse
from repair.sources import Source

_SYMTABLE_FAILURES = (SyntaxError, ValueError, RecursionError, MemoryError)


def _grammar_error(tree: Tree) -> ParseError | None:
    node = tree.error
    if node is None:
        return None
    line = tree.source.position(node.start)[0]
    if node.kind != "ERROR":
        return ParseError(line, f"SyntaxError: {node.kind!r} is missing")
    first = tree.text(node).strip().split("\n", 1)[0][:40]
    return ParseError(line, f"SyntaxError: cannot read {first!r}" if first else "SyntaxError: unexpected end")


def parses(source: Source) -> ParseError | None:
    """Why and where the source does not parse, None when it does. Never raises.

    Where a language has a parser of its own (Python) that one decides, else the grammar does.
    """
    table = language(source.language)
    if table.check is not None:
        return table.check(source.text)
    return _grammar_error(parse(source))


def _leaves(tree: Tree) -> str:
    comments, strings = tree.language.comments, tree.language.strings
    parts: list[str] = []
    skip_to = -1
    for node in tree.nodes:
        if node.start < skip_to or node.kind in comments:
            continue
        if node.kind in strings:  # blanks inside of strings count
            parts.append(tree.text(node))
            skip_to = node.end
        elif not node.children and node.end > node.start:
            parts.append(tree.text(node))
    return "\0".join(parts)


def tree_key(source: Source) -> str:
    """A text that is equal for sources that differ in comments and layout only (Python: parentheses too).

    Falls back to the text itself where there is no tree.
    """
    table = language(source.language)
    if table.canonical is not None:
        key = table.canonical(source.text)
        if key is not None:
            return key
    if table.grammar is None or parses(source) is not None:
        return source.text
    return _leaves(parse(source))


def _table_names(top: symtable.SymbolTable) -> tuple[set[str], set[str]]:
    """Names bound at module level (or declared global), and names used that resolve to globals."""
    bound: set[str] = set()
    used: set[str] = set()
    stack = [top]
    while stack:
        table = stack.pop()
        at_top = table.get_type() == "module"
        for symbol in table.get_symbols():
            if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace():
                if at_top or symbol.is_declared_global():
                    bound.add(symbol.get_name())
            elif at_top or symbol.is_global():
                used.add(symbol.get_name())
        stack.extend(table.get_children())
    return bound, used


def _stars(tree: Tree) -> bool:
    return any(n.kind == "wildcard_import" for n in tree.nodes)


def undefined_names(source: Source) -> frozenset[str]:
    """Global names that a Python source uses and that neither it nor the builtins define.

    Empty for other languages, for text that does not parse and after `from x import *`.
    Compare with the original's: a patch should not add to them.
    """
    table = language(source.language)
    if table.check is None:
        return frozenset()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            top = symtable.symtable(source.text, "<source>", "exec")
    except _SYMTABLE_FAILURES:
        return frozenset()
    bound, used = _table_names(top)
    free = used - bound - table.builtins
    if free and "*" in source.text and _stars(parse(source)):
        return frozenset()
    return frozenset(free)
