# ruff: noqa: ANN401, ARG002  (records, frames and hooks of tools whose types are not ours)
"""Takes a test script apart: result, message and executed lines of every single assertion.

Inside the sandbox, standard library only. The program is `code + tests` in one file; everything from
line `task["tests_from"]` on is tests. Their top level, and the bodies of their top-level functions, are cut
into units: the statements up to and including one that asserts. A compound statement (loop, with, if)
that holds an assertion stays whole. Each unit gets its own verdict and the rest still runs, so that one
failing assertion does not hide the others. What a script as a whole does is judged elsewhere, untouched.
"""

from __future__ import annotations

import ast
import sys
import textwrap
from collections.abc import Callable
from typing import Any

from emend_inside import Reporter, cut, describe, fresh_main, read_script
from emend_trace import Timeout, Tracer

MAX_TIMEOUTS = 2  # units that hang; the script is left then
MAX_UNITS = 1000  # units that run; a helper called in a loop makes one at every call
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Is: "is", ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
_PLAIN = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal,
)  # fmt: skip
_ASSERT = "__emend_assert__"
# What one unit becomes. The unit's statements take the place of UNIT, its numbers those of START and STOP.
_GUARDED = """
__emend_unit__ = __emend_begin__(START, STOP, TEXT)
try:
    UNIT
except (__emend_exception__, __emend_timeout__) as __emend_error__:
    if not __emend_fail__(__emend_unit__, START, STOP, __emend_error__):
        LEAVE
except __emend_base_exception__:
    __emend_left__(__emend_unit__)
    raise
finally:
    __emend_end__(__emend_unit__)
"""


def asserts(node: ast.AST) -> bool:
    """Whether an assert statement lies in `node`, not inside a nested function or class."""
    if isinstance(node, ast.Assert):
        return True
    return any(asserts(child) for child in ast.iter_child_nodes(node) if not isinstance(child, _SCOPES))


def _yields(node: ast.AST) -> bool:
    children = [c for c in ast.iter_child_nodes(node) if not isinstance(c, _SCOPES)]
    return any(isinstance(c, (ast.Yield, ast.YieldFrom, ast.Await)) or _yields(c) for c in children)


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(func=ast.Name(name, ast.Load()), args=list(arguments), keywords=[])


def _thunk(value: ast.expr | None) -> ast.expr:
    """`lambda: value`, or None."""
    if value is None:
        return ast.Constant(None)
    none: list[ast.arg] = []
    arguments = ast.arguments(posonlyargs=[], args=none, kwonlyargs=[], kw_defaults=[], defaults=[])
    return ast.Lambda(args=arguments, body=value)


def _walrus(node: ast.AST) -> bool:
    return any(isinstance(child, (ast.NamedExpr, ast.Await, ast.Yield)) for child in ast.walk(node))


class _Explainer(ast.NodeTransformer):
    """Rewrites assertions of one comparison so that their failure tells both sides."""

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        test = node.test
        if not isinstance(test, ast.Compare) or len(test.ops) != 1 or _walrus(node):
            return node
        names = [ast.arg(arg="a"), ast.arg(arg="b")]
        arguments = ast.arguments(posonlyargs=[], args=names, kwonlyargs=[], kw_defaults=[], defaults=[])
        compared = ast.Compare(ast.Name("a", ast.Load()), [test.ops[0]], [ast.Name("b", ast.Load())])
        call = _call(
            _ASSERT,
            ast.Tuple([test.left, test.comparators[0]], ast.Load()),
            ast.Lambda(args=arguments, body=compared),
            ast.Constant(_COMPARISONS[type(test.ops[0])]),
            _thunk(node.msg),
        )
        return ast.copy_location(ast.Expr(call), node)

    def _inner(self, node: ast.AST) -> ast.AST:
        """Functions and classes inside are their own business."""
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_Lambda = _inner  # noqa: N815


class _Filler(ast.NodeTransformer):
    """Puts a unit's statements and facts into the template."""

    def __init__(self, unit: list[ast.stmt], leave: ast.stmt, **facts: Any) -> None:
        self._unit, self._leave, self._facts = unit, leave, facts

    def visit_Expr(self, node: ast.Expr) -> Any:
        name = node.value.id if isinstance(node.value, ast.Name) else ""
        if name == "UNIT":
            return self._unit
        return self._leave if name == "LEAVE" else self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(self._facts[node.id]) if node.id in self._facts else node


class _Cutter:
    """Cuts blocks of statements into guarded units."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")

    def block(self, body: list[ast.stmt], *, function: bool) -> list[ast.stmt]:
        """The block with every run of statements up to an asserting one made a unit."""
        done: list[ast.stmt] = []
        run: list[ast.stmt] = []
        for statement in body:
            run.append(statement)
            if isinstance(statement, _SCOPES) or not asserts(statement):
                continue
            kept, run = self._definitions(run)
            done += kept
            done += self._unit(run, function=function)
            run = []
        return done + run

    @staticmethod
    def _definitions(run: list[ast.stmt]) -> tuple[list[ast.stmt], list[ast.stmt]]:
        """Leading imports and definitions are no part of a unit."""
        at = 0
        while at < len(run) - 1 and isinstance(run[at], _PLAIN):
            at += 1
        return run[:at], run[at:]

    def _source(self, first: int, last: int) -> str:
        """Lines `first`..`last` (1-based, inclusive) without their common indentation."""
        return textwrap.dedent("\n".join(self._lines[first - 1 : last]))

    def _unit(self, run: list[ast.stmt], *, function: bool) -> list[ast.stmt]:
        last = run[-1]
        facts = {
            "START": last.lineno,
            "STOP": last.end_lineno,
            "TEXT": self._source(run[0].lineno, last.end_lineno or last.lineno),
        }
        leave: ast.stmt = ast.Return(None) if function else ast.Raise(None, None)
        told = [_Explainer().visit(statement) for statement in run]
        template = ast.parse(_GUARDED)
        for node in ast.walk(template):
            ast.copy_location(node, run[0])
        return _Filler(told, leave, **facts).visit(template).body


def cut_script(text: str, path: str, tests_from: int) -> Any | None:
    """Code object of the script with its tests cut into units; None when there is nothing to cut."""
    tree = ast.parse(text, path)
    at = next((i for i, node in enumerate(tree.body) if node.lineno >= tests_from), len(tree.body))
    tests = tree.body[at:]
    cutter = _Cutter(text)
    found = False
    for node in tests:
        if isinstance(node, ast.FunctionDef) and any(asserts(s) for s in node.body) and not _yields(node):
            node.body = cutter.block(node.body, function=True)
            found = True
    if any(asserts(node) for node in tests if not isinstance(node, _SCOPES)):
        tests = cutter.block(tests, function=False)
        found = True
    if not found:
        return None
    tree.body[at:] = tests
    return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)


class _Units:
    """What the cut script calls. One unit runs at a time; those begun inside of another are part of it."""

    def __init__(self, task: dict[str, Any], reporter: Reporter) -> None:
        self._reporter = reporter
        self._counts: dict[int, int] = {}
        self._begun = 0
        self._open = 0  # number of the unit that runs
        self._name = ""
        self.any_failed = False
        self._timeouts = 0
        seconds = float(task.get("unit_seconds", 0))
        self._tracer = Tracer([task["script"]], last_line=task["tests_from"] - 1, seconds=seconds)

    def names(self) -> dict[str, Any]:
        """What to put into the script's globals."""
        return {
            "__emend_begin__": self._begin, "__emend_end__": self._end, "__emend_fail__": self._fail,
            "__emend_left__": self._left, _ASSERT: check, "__emend_exception__": Exception,
            "__emend_base_exception__": BaseException, "__emend_timeout__": Timeout,
        }  # fmt: skip

    def _begin(self, start: int, stop: int, text: str) -> int:
        """A unit begins; its number, by which the other calls know it."""
        self._begun += 1
        if self._open or self._begun > MAX_UNITS:
            return self._begun
        self._open = self._begun
        self._counts[start] = count = self._counts.get(start, 0) + 1
        self._name = f"line {start}" + (f" ({count})" if count > 1 else "")
        self._reporter.write("begin", id=self._name, text=cut(text, 1500))
        self._tracer.start()
        return self._begun

    def _close(self, unit: int, outcome: str, **fields: Any) -> None:
        if unit != self._open:
            return
        self._open = 0
        for path, lines in self._tracer.stop().items():
            self._reporter.write("lines", id=self._name, path=path, lines=sorted(lines))
        self._reporter.write("test", id=self._name, outcome=outcome, **fields)

    def _end(self, unit: int) -> None:
        self._close(unit, "passed")

    def _left(self, unit: int) -> None:
        """SystemExit and the like went through it."""
        self.any_failed = True
        self._close(unit, "failed", message="the program left here")

    def _fail(self, unit: int, start: int, stop: int, error: BaseException) -> bool:
        """Record it; True when only the asserting statement failed, so that the next unit can run."""
        if unit != self._open:
            raise error  # the unit around this one fails
        sys.settrace(None)
        self.any_failed = True
        at = error.__traceback__.tb_lineno if error.__traceback__ else 0
        self._close(unit, "failed", **describe(error))
        self._timeouts += isinstance(error, Timeout)
        if self._timeouts >= MAX_TIMEOUTS:
            raise SystemExit(1)
        return start <= at <= stop


def _shown(value: Any) -> str:
    try:
        return cut(repr(value), 300)
    except Exception:  # noqa: BLE001  (the program's own __repr__ may raise anything)
        return f"<{type(value).__name__}>"


def check(
    sides: tuple[Any, Any],
    holds: Callable[[Any, Any], Any],
    operator: str,
    message: Callable[[], Any] | None,
) -> None:
    """`assert left OP right[, message]`, raising AssertionError with the values of both sides."""
    if holds(*sides):
        return
    left, right = (_shown(side) for side in sides)
    said = "" if message is None else f"{message()}; "
    if left in said:  # the author's message tells the value already
        raise AssertionError(said[:-2])
    told = f"got {left}" + (f", expected {right}" if operator == "==" else f" {operator} {right}, which is false")
    raise AssertionError(said + told)


def run(task: dict[str, Any], reporter: Reporter) -> int:
    """Run the cut script. Records: begin {id, text}, lines, test; then failed or end as for a script."""
    if read_script(task["script"], reporter) is None:
        return 1
    with open(task["script"], encoding="utf-8") as file:  # noqa: PTH123
        text = file.read()
    code = cut_script(text, task["script"], task["tests_from"])
    if code is None:
        reporter.write("end", code=0, units=False)
        return 0
    units = _Units(task, reporter)
    names = fresh_main(task["script"], [])
    names.update(units.names())
    try:
        exec(code, names)
    except BaseException as error:  # noqa: BLE001  (whatever the program raises is its failure)
        sys.settrace(None)
        reporter.write("failed", **describe(error))
        return 1
    reporter.write("end", code=int(units.any_failed), units=True)
    return 0
