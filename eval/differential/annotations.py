"""Shapes from a Python signature, where the tests pass nothing that could be varied: annotations and defaults.

A signature tells types and no bounds, so the values stay small, and those that are out of the contract can only
be told by the reference raising.
"""

from __future__ import annotations

import ast
from random import Random

from eval.differential.inputs import Contract, Contracts
from eval.differential.scenarios import Scenario, Step
from eval.differential.shapes import Either, Exactly, Many, Number, Row, Shape, Table, Text, shape_of

_COUNT = 40  # calls drawn to stand for those of the tests
_LETTERS = "abcxyzABC019 _-"
_PLAIN: dict[str, Shape] = {
    "int": Number(-20, 50, (0, 1, 7)),
    "float": Number(-20, 50, (0.0, 1.0, 2.5), 2),
    "bool": Exactly((False, True)),
    "str": Text(_LETTERS, 0, 12, ("", "a", "abc", "Hello world")),
    "None": Exactly((None,)),
}
_MANY: dict[str, type] = {"list": list, "sequence": list, "iterable": list, "set": frozenset, "frozenset": frozenset}


def scenarios_of_signature(code: str, entry_point: str | None, seed: int) -> tuple[list[Scenario], Contracts]:
    """Calls of the entry point (the last function without one) as its signature allows; nothing where it is silent."""
    function = _function(code, entry_point)
    shapes = _parameters(function) if function else None
    if function is None or not shapes:
        return [], {}
    random = Random(seed)
    steps = [Step(None, function.name, tuple(shape.draw(random) for shape in shapes)) for _ in range(_COUNT)]
    contract = Contract(tuple(shapes), (), tuple(step.values for step in steps))
    return [(step,) for step in steps], {steps[0].callee: contract}


def _function(code: str, entry_point: str | None) -> ast.FunctionDef | None:
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return None
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    named = [node for node in found if node.name == entry_point]
    return named[-1] if named else found[-1] if found and entry_point is None else None


def _parameters(function: ast.FunctionDef) -> list[Shape] | None:
    """Shapes of all positional parameters; None where one has neither annotation nor default."""
    arguments = function.args
    if arguments.vararg or arguments.kwonlyargs or arguments.kwarg:
        return None
    positional = arguments.posonlyargs + arguments.args
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    found: list[Shape] = []
    for argument, default in zip(positional, defaults, strict=True):
        shape = _annotated(argument.annotation) if argument.annotation else _of_default(default)
        if shape is None:
            return None
        found.append(shape)
    return found


def _of_default(default: ast.expr | None) -> Shape | None:
    """The default and its neighbours."""
    try:
        value = None if default is None else ast.literal_eval(default)
    except ValueError:
        return None
    if isinstance(value, bool | int | float | str):
        return shape_of([value])
    return None


def _annotated(node: ast.expr) -> Shape | None:  # noqa: PLR0911  (one a form)
    match node:
        case ast.Constant(value=None):
            return _PLAIN["None"]
        case ast.Constant(value=str(text)):
            try:
                return _annotated(ast.parse(text, mode="eval").body)
            except SyntaxError:
                return None
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return _PLAIN.get(name) or _generic(name.lower(), [ast.Name("int")])
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _either([left, right])
        case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=inner):
            return _generic(name.lower(), inner.elts if isinstance(inner, ast.Tuple) else [inner])
        case _:
            return None


def _either(nodes: list[ast.expr]) -> Shape | None:
    shapes = [shape for node in nodes if (shape := _annotated(node)) is not None]
    return Either(tuple(shapes), (1,) * len(shapes)) if len(shapes) == len(nodes) else None


def _generic(name: str, inner: list[ast.expr]) -> Shape | None:
    if name == "optional":
        return _either([*inner, ast.Constant(None)])
    if name == "union":
        return _either(inner)
    shapes = [shape for node in inner if (shape := _annotated(node)) is not None]
    if len(shapes) < len(inner):
        return Many(shapes[0], tuple, 0, 6) if name == "tuple" and shapes else None
    if name == "tuple":
        return Row(tuple(shapes), tuple)
    if name in ("dict", "mapping") and len(shapes) == 2:
        return Table(None, shapes[0], {None: shapes[1]}, 0, 5, plain=False)
    return Many(shapes[0], _MANY[name], 0, 8) if name in _MANY else None


__all__ = ["scenarios_of_signature"]
