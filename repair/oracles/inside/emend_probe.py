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
from typing import Any, Callable, Dict, List, Optional, Tuple, Union  # noqa: UP035  (Python 3.8)

from emend_inside import Reporter, cut, describe, fresh_main, read_script
from emend_trace import Timeout, Tracer

MAX_UNITS = 1000  # units that run; a helper called in a loop makes one at every call
_FUNCTIONS = (ast.FunctionDef,)
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_COMPARISONS = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Is: "is", ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
_BEGIN, _ASSERT, _END, _FAIL, _NAME = (f"__emend_{n}__" for n in ("begin", "assert", "end", "fail", "error"))


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


def _thunk(value: Optional[ast.expr]) -> ast.expr:
    """`lambda: value`, or None."""
    if value is None:
        return ast.Constant(None)
    none: List[ast.arg] = []
    arguments = ast.arguments(posonlyargs=[], args=none, kwonlyargs=[], kw_defaults=[], defaults=[])
    return ast.Lambda(args=arguments, body=value)


def _walrus(node: ast.AST) -> bool:
    return any(isinstance(child, (ast.NamedExpr, ast.Await, ast.Yield)) for child in ast.walk(node))


def explained(statement: ast.Assert) -> ast.stmt:
    """The assertion of one comparison rewritten so that its failure tells both sides."""
    test = statement.test
    if not isinstance(test, ast.Compare) or len(test.ops) != 1 or _walrus(statement):
        return statement
    operator = _COMPARISONS[type(test.ops[0])]
    left_right = ast.Tuple([test.left, test.comparators[0]], ast.Load())
    names = [ast.arg(arg="a"), ast.arg(arg="b")]
    compared = ast.Compare(ast.Name("a", ast.Load()), [test.ops[0]], [ast.Name("b", ast.Load())])
    arguments = ast.arguments(posonlyargs=[], args=names, kwonlyargs=[], kw_defaults=[], defaults=[])
    call = _call(
        _ASSERT,
        left_right,
        ast.Lambda(args=arguments, body=compared),
        ast.Constant(operator),
        _thunk(statement.msg),
    )
    return ast.copy_location(ast.Expr(call), statement)


class _Cutter:
    """Cuts blocks of statements into guarded units."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")

    def block(self, body: List[ast.stmt], *, function: bool) -> List[ast.stmt]:
        """The block with every run of statements up to an asserting one made a unit."""
        done: List[ast.stmt] = []
        run: List[ast.stmt] = []
        for statement in body:
            run.append(statement)
            if isinstance(statement, _SCOPES) or not asserts(statement):
                continue
            kept, run = self._definitions(run)
            done += kept
            done.append(self._unit(run, function=function))
            run = []
        return done + run

    @staticmethod
    def _definitions(run: List[ast.stmt]) -> Tuple[List[ast.stmt], List[ast.stmt]]:
        """Leading imports, definitions and docstrings are no part of a unit."""
        plain = (
            ast.FunctionDef,
            ast.AsyncFunctionDef,
            ast.ClassDef,
            ast.Import,
            ast.ImportFrom,
            ast.Global,
            ast.Nonlocal,
        )
        at = 0
        while at < len(run) - 1 and isinstance(run[at], plain):
            at += 1
        return run[:at], run[at:]

    def _source(self, first: int, last: int) -> str:
        """Lines `first`..`last` (1-based, inclusive) without their common indentation."""
        return textwrap.dedent("\n".join(self._lines[first - 1 : last]))

    def _unit(self, run: List[ast.stmt], *, function: bool) -> ast.stmt:
        last = run[-1]
        start, stop = last.lineno, last.end_lineno or last.lineno
        text = self._source(run[0].lineno, stop)
        if isinstance(last, ast.Assert):
            run = run[:-1] + [explained(last)]  # noqa: RUF005
        begin = ast.Expr(_call(_BEGIN, ast.Constant(start), ast.Constant(stop), ast.Constant(text)))
        leave: ast.stmt = ast.Return(None) if function else ast.Raise(None, None)
        goes_on = _call(_FAIL, ast.Constant(start), ast.Constant(stop), ast.Name(_NAME, ast.Load()))
        caught = ast.ExceptHandler(
            type=ast.Tuple([ast.Name("Exception", ast.Load()), ast.Name("__emend_timeout__", ast.Load())], ast.Load()),
            name=_NAME,
            body=[ast.If(ast.UnaryOp(ast.Not(), goes_on), [leave], [])],
        )
        body: List[ast.stmt] = [begin, *run]
        unit = ast.Try(body=body, handlers=[caught], orelse=[ast.Expr(_call(_END))], finalbody=[])
        return ast.copy_location(unit, run[0])


def cut_script(text: str, path: str, tests_from: int) -> Optional[Any]:
    """Code object of the script with its tests cut into units; None when there is nothing to cut."""
    tree = ast.parse(text, path)
    at = next((i for i, node in enumerate(tree.body) if node.lineno >= tests_from), len(tree.body))
    tests = tree.body[at:]
    cutter = _Cutter(text)
    found = False
    for node in tests:
        if isinstance(node, _FUNCTIONS) and any(asserts(s) for s in node.body) and not _yields(node):
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
    """Names that the cut script calls: one unit begins, fails or ends at a time (nested ones belong to the outer)."""

    def __init__(self, task: Dict[str, Any], reporter: Reporter) -> None:
        self._reporter = reporter
        self._counts: Dict[int, int] = {}
        self._open: List[str] = []
        self._failed = False
        self.any_failed = False
        self._tracer = Tracer(
            [task["script"]], last_line=task["tests_from"] - 1, seconds=float(task.get("unit_seconds", 0))
        )

    def names(self) -> Dict[str, Any]:
        """What to put into the script's globals."""
        return {
            _BEGIN: self._begin, _END: self._end, _FAIL: self._fail, _ASSERT: check, "__emend_timeout__": Timeout,
        }  # fmt: skip

    def _begin(self, start: int, stop: int, text: str) -> None:
        self._counts[start] = self._counts.get(start, 0) + 1
        unit = "line %d" % start + (" (%d)" % self._counts[start] if self._counts[start] > 1 else "")
        self._open.append(unit)
        if len(self._open) == 1 and sum(self._counts.values()) <= MAX_UNITS:
            self._reporter.write("begin", id=unit, text=cut(text, 1500))
            self._tracer.start()

    def _close(self, outcome: str, **fields: Any) -> None:
        if not self._open:
            return
        unit = self._open.pop()
        if self._open or sum(self._counts.values()) > MAX_UNITS:
            return
        for path, lines in self._tracer.stop().items():
            self._reporter.write("lines", id=unit, path=path, lines=sorted(lines))
        self._reporter.write("test", id=unit, outcome=outcome, **fields)

    def _end(self) -> None:
        self._close("passed")

    def _fail(self, start: int, stop: int, error: BaseException) -> bool:
        """Record it; True when only the asserting statement failed, so that the next unit can run."""
        self.any_failed = True
        sys.settrace(None)
        at = error.__traceback__.tb_lineno if error.__traceback__ else 0
        if isinstance(error, Timeout):
            error = Timeout("it had not ended when its time was up")
            error.__traceback__ = sys.exc_info()[2]
        self._close("failed", **describe(error))
        return start <= at <= stop


def _shown(value: Any) -> str:
    try:
        return cut(repr(value), 300)
    except Exception:  # noqa: BLE001  (the program's own __repr__ may raise anything)
        return "<%s>" % type(value).__name__


def check(
    sides: Tuple[Any, Any],
    holds: Callable[[Any, Any], Any],
    operator: str,
    message: Union[Callable[[], Any], None],
) -> None:
    """`assert left OP right[, message]`, raising AssertionError with the values of both sides."""
    if holds(*sides):
        return
    left, right = (_shown(side) for side in sides)
    said = "" if message is None else "%s; " % (message(),)
    if left in said:  # the author's message tells the value already
        raise AssertionError(said[:-2])
    told = "got %s" % left + (
        ", expected %s" % right if operator == "==" else " %s %s, which is false" % (operator, right)
    )
    raise AssertionError(said + told)


def run(task: Dict[str, Any], reporter: Reporter) -> int:
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
        exec(code, names)  # noqa: S102
    except BaseException as error:  # noqa: BLE001  (whatever the program raises is its failure)
        sys.settrace(None)
        reporter.write("failed", **describe(error))
        return 1
    reporter.write("end", code=int(units.any_failed), units=True)
    return 0
