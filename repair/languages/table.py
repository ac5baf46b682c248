"""Language: what the engine must know of a language, as one table; no code elsewhere asks for a language's name.

Owns the shape of the table only. The rows are `python.py`, `ecmascript.py`, `java.py`; `registry.py` finds them.
Kinds are node types of the language's tree-sitter grammar.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ParseError:
    """Where and why a text does not parse; `line` is 1-based, 0 where the parser could not say."""

    line: int
    message: str


Kinds = frozenset[str]
_NONE: Kinds = frozenset()


@dataclass(frozen=True, slots=True)
class Language:
    """One language. Empty sets and None mean that the language has no such thing."""

    name: str
    grammar: Callable[[], object] | None = None  # the capsule of the tree-sitter grammar, loaded on first use
    check: Callable[[str], ParseError | None] | None = None  # the language's own, stricter parser
    canonical: Callable[[str], str | None] | None = None  # the language's own canonical form of a program
    comment: str = "#"  # token that begins a comment to the end of the line

    functions: Kinds = _NONE  # definitions and anonymous functions: each opens a scope
    classes: Kinds = _NONE
    wrappers: Kinds = _NONE  # a decorated or exported definition
    blocks: Kinds = _NONE  # nodes whose children are statements
    statements: Kinds = _NONE
    comments: Kinds = _NONE
    strings: Kinds = _NONE
    interpolations: Kinds = _NONE  # code inside of strings
    identifiers: Kinds = _NONE  # variables (and what the grammar spells alike)
    member_names: Kinds = _NONE  # names that only occur behind a dot
    imports: Kinds = _NONE
    name_roles: frozenset[tuple[str, str]] = frozenset()  # (parent kind, field) where an identifier is no variable
    bindings: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    # kind -> fields (or "" for all children) whose identifiers it binds
    opaque: Kinds = _NONE  # inside of a binding, subtrees that bind nothing (a.b, a[b], annotations)
    unbound: frozenset[tuple[str, str]] = frozenset()  # (parent kind, field) inside of a binding that binds nothing
    patterns: Kinds = _NONE  # nodes that group targets
    comprehensions: Kinds = _NONE  # expressions that have their own scope

    calls: Kinds = _NONE
    arguments: Kinds = _NONE  # argument lists
    keyword_arguments: Kinds = _NONE
    spreads: Kinds = _NONE
    members: Kinds = _NONE  # x.name
    subscripts: Kinds = _NONE
    slices: Kinds = _NONE
    binaries: Kinds = _NONE  # children: operand, operator, operand (, operator, operand)*
    negations: Kinds = _NONE  # unary operators, `not` among them
    parentheses: Kinds = _NONE
    conditionals: Kinds = _NONE  # if statements and their else-if clauses
    loops: Kinds = _NONE
    else_clauses: Kinds = _NONE
    condition_owners: Kinds = _NONE  # nodes with a field "condition"
    ternaries: Kinds = _NONE
    returns: Kinds = _NONE
    raises: Kinds = _NONE
    jumps: Kinds = _NONE  # break, continue
    assignments: Kinds = _NONE
    augmented: Kinds = _NONE
    collections: Kinds = _NONE  # literals with elements
    integers: Kinds = _NONE
    floats: Kinds = _NONE
    trues: Kinds = _NONE
    falses: Kinds = _NONE
    nulls: Kinds = _NONE
    parameters: Kinds = _NONE

    arithmetic: Kinds = _NONE  # operator tokens
    comparisons: Kinds = _NONE
    conjunctions: tuple[str, ...] = ()  # and, or
    negation: str = ""  # as written in front of an operand
    true: str = ""
    false: str = ""
    null: str = ""
    self_name: str = ""
    terminator: str = ""  # of a statement
    layout: bool = False  # indentation is syntax
    keywords: Kinds = _NONE
    builtins: Kinds = _NONE
