"""Which functions can be run alone: the program around one, from its own file, and inputs to try it on.

Owns the choice (module level, only harmless names, no files, no network) and the drawing of arguments.
Runs nothing itself; `executed.py` does, in a child process.
"""

from __future__ import annotations

import ast
import builtins
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from data.filters import parse
from data.runner import SAFE_MODULES

FOLLOWED = 0.93  # share of arguments drawn as their name or annotation suggests
MOST_SUPPORT = 4000  # characters of other functions and constants that a function may bring along
_UNSAFE = frozenset({
    "open", "exec", "eval", "input", "compile", "breakpoint", "help", "exit", "quit", "globals", "locals", "vars",
    "__import__", "memoryview", "print", "id", "hash", "object", "super", "__file__", "__name__",
})  # fmt: skip
_BUILTINS = frozenset(dir(builtins)) - _UNSAFE
_REFUSED = (
    ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal, ast.ClassDef, ast.AsyncFunctionDef, ast.Await, ast.With,
)  # fmt: skip
_DOCTEST = re.compile(r"^[ \t]*>>> (?P<call>[^\n]+)$", re.MULTILINE)

_KINDS: dict[str, tuple[str, ...]] = {
    "int": ("0", "1", "2", "3", "5", "7", "10", "12", "-1", "-4", "100", "6", "17"),
    "ints": ("[]", "[1]", "[3, 1, 2]", "[1, 2, 3, 4, 5]", "[5, 2, 9, 1, 5, 6]", "[2, 2, 1]", "[-1, 4, -3, 8]", "[0, 0]",
             "[10, 7, 5, 3]", "[1, 3, 5, 7, 9, 11]"),
    "str": ("''", "'a'", "'abc'", "'hello world'", "'racecar'", "'1234'", "'The Quick Brown'", "'a,b;c'", "'aabbb'",
            "'-12.5'", "'(()())'", "'foo_bar'", "'MCMIV'"),
    "strs": ("[]", "['a']", "['b', 'a', 'c']", "['apple', 'fig', 'kiwi']", "['x', 'x', 'y']", "['', 'ab']"),
    "float": ("0.0", "1.5", "-2.25", "3.0", "0.1", "100.0"),
    "bool": ("True", "False"),
    "dict": ("{}", "{'a': 1}", "{'a': 1, 'b': 2}", "{'x': [1, 2], 'y': []}", "{1: 'one', 2: 'two'}"),
    "graph": ("{0: [1, 2], 1: [2], 2: []}", "{'a': ['b', 'c'], 'b': ['d'], 'c': ['d'], 'd': []}",
              "{0: {1: 4, 2: 1}, 1: {}, 2: {1: 2}}"),
    "matrix": ("[[1, 2], [3, 4]]", "[[1, 0, 0], [0, 1, 0], [0, 0, 1]]",
               "[[1, 2, 3], [4, 5, 6]]", "[[5]]",
               "[[0, 1], [1, 0]]"),
    "pairs": ("[(1, 2), (3, 4)]", "[(1, 3), (2, 6), (8, 10)]", "[('a', 1), ('b', 2)]", "[]"),
    "tuple": ("(1, 2)", "(3, 4, 5)", "()", "('a', 'b')"),
    "none": ("None",),
    "function": ("lambda x: x", "lambda x: x + 1", "lambda x: x % 2 == 0", "len", "lambda a, b: a + b", "abs"),
}  # fmt: skip
# What a parameter's annotation or name suggests; the first match decides half of the draws.
_HINTS: tuple[tuple[str, str], ...] = (
    (r"\blist\[list|\bmatrix|\bgrid|\bboard", "matrix"), (r"\blist\[str|\bwords|\bstrings|\bnames", "strs"),
    (r"\blist\[tuple|\bpairs|\bintervals|\bedges", "pairs"), (r"\bgraph|\badj", "graph"),
    (r"\blist\b|\bsequence|\biterable|\barr|\bnums|\bvalues|\bitems|\bseq|\biter|\bdata|\bxs\b|\blst", "ints"),
    (r"\bstr\b|\btext|\bname|\bstring|\bs\b|\bword|\bpattern|\bline|\bprefix|\bkey\b|\bsep", "str"),
    (r"\bdict\b|\bmapping|\bd\b|\bkwargs|\bopts", "dict"), (r"\bfloat\b|\bratio|\beps", "float"),
    (r"\bbool\b|\bflag", "bool"),
    (r"\bcallable|\bfunc|\bpred|\bfn\b|\bf\b", "function"), (r"\btuple\b|\bshape|\bpoint", "tuple"),
    (r"\bint\b|\bn\b|\bnum|\bk\b|\bm\b|\bi\b|\bindex|\bsize|\bcount|\bstart|\bstop|\bstep|\bx\b|\ba\b|\bb\b", "int"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Standalone:
    """A function that can run alone: the program's text before it, its name and its parameters' hints."""

    name: str
    prefix: str
    hints: tuple[str, ...]  # one for each argument to give
    examples: tuple[str, ...] = ()  # calls in its docstring


class _Loads(ast.NodeVisitor):
    """Names that are read, without those in annotations; and whether something cannot be run alone."""

    def __init__(self) -> None:
        self.read: set[str] = set()
        self.bound: set[str] = set()
        self.outside = False

    def visit_Name(self, node: ast.Name) -> None:
        (self.read if isinstance(node.ctx, ast.Load) else self.bound).add(node.id)

    def visit_arg(self, node: ast.arg) -> None:
        self.bound.add(node.arg)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.target)
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.bound.add(node.name)
        for part in (node.args, *node.body, *node.decorator_list):
            self.visit(part)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self.bound.add(node.name or "")
        self.generic_visit(node)

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, _REFUSED):
            self.outside = True
        else:
            super().visit(node)


@dataclass(frozen=True, slots=True)
class Module:
    """What the functions of one file may bring along, by name: safe imports, functions, plain constants."""

    text: str
    tree: ast.Module
    provided: Mapping[str, ast.stmt]

    @classmethod
    def of(cls, text: str) -> Module | None:
        """The module of a text, None when it does not parse."""
        tree = parse(text)
        return None if tree is None else cls(text, tree, dict(_provided(tree)))

    def segment(self, node: ast.stmt) -> str:
        """The lines of a statement."""
        return "\n".join(self.text.split("\n")[node.lineno - 1 : node.end_lineno])


def _provided(tree: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.decorator_list:
            yield node.name, node
        elif isinstance(node, ast.Import) and all(a.name in SAFE_MODULES for a in node.names):
            yield from ((a.asname or a.name.split(".")[0], node) for a in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module in SAFE_MODULES:
            yield from ((a.asname or a.name, node) for a in node.names)
        elif isinstance(node, ast.Assign) and all(isinstance(t, ast.Name) for t in node.targets) and _plain(node.value):
            yield from ((t.id, node) for t in node.targets if isinstance(t, ast.Name))


def _plain(node: ast.expr) -> bool:
    allowed = (ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.UnaryOp, ast.BinOp, ast.operator, ast.unaryop,
               ast.expr_context)  # fmt: skip
    return all(isinstance(n, allowed) for n in ast.walk(node))


def _needed(name: str, module: Module) -> list[ast.stmt] | None:
    """All statements that a function needs, itself included, in file order; None when it needs more than there is."""
    chosen: dict[int, ast.stmt] = {}
    waiting = [name]
    while waiting:
        node = module.provided.get(waiting.pop())
        if node is None:
            return None
        if id(node) in chosen:
            continue
        chosen[id(node)] = node
        loads = _Loads()
        if isinstance(node, ast.FunctionDef):
            loads.visit(node)
            if loads.outside or any(d.startswith("__") for d in loads.read):
                return None
            waiting += list(loads.read - loads.bound - _BUILTINS)
    return sorted(chosen.values(), key=lambda n: n.lineno)


def _hint(argument: ast.arg) -> str:
    annotation = ast.unparse(argument.annotation) if argument.annotation else ""
    words = f"{annotation} {argument.arg.replace('_', ' ')}".lower()
    return next((kind for pattern, kind in _HINTS if re.search(pattern, words)), "")


def standalone(module: Module, name: str) -> Standalone | None:
    """How to run one function of a module alone, None when that cannot be done."""
    node = module.provided.get(name)
    if not isinstance(node, ast.FunctionDef) or node.args.posonlyargs or node.args.vararg:
        return None
    if any(default is None for default in node.args.kw_defaults) or len(node.args.args) > 4:
        return None
    needed = _needed(name, module)
    if needed is None or not node.args.args:
        return None
    others = [module.segment(n) for n in needed if n is not node]
    prefix = "\n".join(["from __future__ import annotations", *others, ""])
    if len(prefix) > MOST_SUPPORT:
        return None
    required = len(node.args.args) - len(node.args.defaults)
    doc = ast.get_docstring(node, clean=False) or ""
    calls = tuple(m["call"].strip() for m in _DOCTEST.finditer(doc) if m["call"].strip().startswith(f"{name}("))
    hints = tuple(_hint(a) for a in node.args.args[: max(1, required)])
    return Standalone(name, prefix, hints, tuple(c for c in calls if _closed(c))[:6])


def _closed(call: str) -> bool:
    """Whether a call is one expression of literals only."""
    try:
        tree = ast.parse(call, mode="eval")
    except (SyntaxError, ValueError):
        return False
    names = [n.id for n in ast.walk(tree) if isinstance(n, ast.Name)]
    return isinstance(tree.body, ast.Call) and len(names) == 1


def draw_calls(function: Standalone, count: int, draw: random.Random) -> list[str]:
    """Different calls with drawn arguments, the docstring's own first; most follow the hints."""
    calls = dict.fromkeys(function.examples)
    kinds = list(_KINDS)
    for _ in range(count * 2):
        arguments = [_argument(hint, kinds, draw) for hint in function.hints]
        calls[f"{function.name}({', '.join(arguments)})"] = None
        if len(calls) >= count:
            break
    return list(calls)


def _argument(hint: str, kinds: Sequence[str], draw: random.Random) -> str:
    kind = hint if hint and draw.random() < FOLLOWED else draw.choice(kinds)
    return draw.choice(_KINDS[kind])
