"""Languages: tables and syntax trees; parse, functions, scopes. Knows nothing of edits, models or tests.

A language is a row of data (`table.py`); everything here is driven by it, so that adding a language adds a row.
"""

from repair.languages.checks import parses, tree_key, undefined_names
from repair.languages.functions import Function, comment_spans, enclosing_function, functions, statement_lines
from repair.languages.registry import language, language_names
from repair.languages.scopes import attribute_names, visible_names
from repair.languages.table import Language, ParseError
from repair.languages.trees import Node, Tree, parse

__all__ = [
    "Function",
    "Language",
    "Node",
    "ParseError",
    "Tree",
    "attribute_names",
    "comment_spans",
    "enclosing_function",
    "functions",
    "language",
    "language_names",
    "parse",
    "parses",
    "statement_lines",
    "tree_key",
    "undefined_names",
    "visible_names",
]
