"""A reproduction as text: readable, deterministic, as formatters lay it out. Pure."""

from __future__ import annotations

import ast
import io
import re
import textwrap
import tokenize
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WIDTH = 88
_QUOTED = re.compile(r"([rbuRBU]{0,2})'((?:[^'\\]|\\.)*)'$", re.DOTALL)
_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z]+")


@dataclass(frozen=True, slots=True)
class Draft:
    """A test to be: whole import statements, then statements. `origin` says where it comes from, `about` what it calls.

    `rank` orders drafts: how far one is from what the report says, 0 for the report's own code. With `late` the
    imports stand inside of the test, so that a failing import is a failing test.
    """

    imports: tuple[str, ...]
    body: tuple[str, ...]
    about: str
    origin: str
    rank: int = 0
    late: bool = False


def show(node: ast.AST) -> str:
    """Source text of a node as formatters write it: double quotes, long calls over several lines."""
    text = double_quoted(ast.unparse(node))
    return text if len(text) <= WIDTH - 4 or "\n" in text else _exploded(node, text)


def double_quoted(text: str) -> str:
    """`text` (Python) with its strings in double quotes where that needs no more escapes."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError, IndentationError):
        return text
    lines = text.split("\n")
    for token in reversed([t for t in tokens if t.type == tokenize.STRING]):
        found = _QUOTED.match(token.string)
        (first, start), (last, end) = token.start, token.end
        if found and '"' not in found[2] and first == last and not token.string.startswith(("'''", '"""')):
            inner = found[2] if "r" in found[1].lower() else found[2].replace("\\'", "'")
            line = lines[first - 1]
            lines[first - 1] = f'{line[:start]}{found[1]}"{inner}"{line[end:]}'
    return "\n".join(lines)


def _exploded(node: ast.AST, text: str) -> str:
    """A long call with each argument on a line of its own."""
    inner = node.value if isinstance(node, ast.Expr | ast.Assign) else node
    if not isinstance(inner, ast.Call) or not (inner.args or inner.keywords):
        return text
    head = double_quoted(ast.unparse(inner.func))
    before = text[: text.index(head)] if isinstance(node, ast.Assign) else ""
    items = [show(a) for a in inner.args] + [double_quoted(ast.unparse(k)) for k in inner.keywords]
    shown = "".join(textwrap.indent(f"{item},\n", "    ") for item in items)
    return f"{before}{head}(\n{shown})"


def snake(name: str) -> str:
    """`KeyError` as `key_error`; only what a name may hold."""
    return "_".join(w.lower() for part in re.split(r"\W|_", name) for w in _WORDS.findall(part))


def entry_name(draft: Draft, error: str) -> str:
    """The name of the test function."""
    about = snake(draft.about.removeprefix("__").removesuffix("__")) or "report"
    return f"test_{about}_{snake(error) or 'error'}"


def render(draft: Draft, error: str, last_line: str, *, unittest: bool = False) -> str:
    """The text of the whole test file."""
    name = entry_name(draft, error)
    imports = list(draft.imports)
    inside = [_docstring(last_line), *(imports if draft.late else ()), *draft.body]
    above = [] if draft.late else imports
    if unittest:
        above = [*above, "import unittest"]
        title = "".join(w.capitalize() for w in name.removeprefix("test_").split("_"))
        case = f"def {name}(self):\n{textwrap.indent(_lines(inside), '    ')}"
        body = f"class Test{title}(unittest.TestCase):\n{textwrap.indent(case, '    ')}"
    else:
        body = f"def {name}():\n{textwrap.indent(_lines(inside), '    ')}"
    head = _import_block(above)
    return f"{head}\n\n\n{body}\n" if head else f"{body}\n"


def _lines(statements: Iterable[str]) -> str:
    """Statements of a body; text that must not be indented (a string over lines) is kept by writing it with escapes."""
    return "\n".join(_indentable(s) for s in statements)


def _indentable(statement: str) -> str:
    if "\n" not in statement or not ("'''" in statement or '"""' in statement):
        return statement
    try:
        tree = ast.parse(statement)
    except (SyntaxError, ValueError):
        return statement
    return "\n".join(show(node) for node in tree.body)


def _docstring(last_line: str) -> str:
    first = last_line.strip().split("\n")[0]
    quoted = first if first.isprintable() else ascii(first)[1:-1]
    quoted = quoted.replace("\\", "\\\\").replace('"""', "'''")[:200]
    if quoted.endswith(("\\", '"')):
        quoted += " "
    return f'"""{quoted}"""'


def _import_block(imports: Sequence[str]) -> str:
    """Imports sorted, the standard library's first; __future__ above all."""
    unique = sorted(set(imports), key=lambda i: (not i.startswith("from __future__"), i.startswith("from"), i))
    groups: list[list[str]] = [[], [], []]
    for one in unique:
        groups[0 if one.startswith("from __future__") else 1 if is_standard(_module_of(one)) else 2].append(one)
    return "\n\n".join("\n".join(group) for group in groups if group)


def _module_of(statement: str) -> str:
    return statement.split()[1].partition(".")[0].rstrip(",")


def is_standard(module: str) -> bool:
    """Whether a module is of the standard library (of our version)."""
    import sys

    return module in sys.stdlib_module_names
