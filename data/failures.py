"""Error text for injected faults, by template: what a user would plausibly see, with drop-out.

Owns the templates and how often each part of the evidence is shown. Nothing is executed here; a text from
here is marked as such by whoever stores it. Syntax errors are real: the parser's own message and line.
"""

from __future__ import annotations

import ast
import random
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

NO_ERROR = 0.4  # share of faults shown without any error text
NO_FRAMES = 0.35  # share of raised errors whose traceback does not name lines of the function
ASSERTED = 0.5  # share of failures that are a test's assertion
_WORD = re.compile(r"[A-Za-z_]\w*")
_TYPES = ("int", "str", "list", "dict", "tuple", "NoneType", "float", "set", "bool")
_VALUES = (
    "0",
    "1",
    "2",
    "3",
    "-1",
    "[]",
    "None",
    "True",
    "False",
    "''",
    "[1, 2, 3]",
    "'abc'",
    "{}",
    "5",
    "10",
    "(1, 2)",
)

_RAISED: dict[str, tuple[str, ...]] = {
    "variable": (
        "NameError: name '{name}' is not defined",
        "TypeError: '{type}' object is not iterable",
        "TypeError: unsupported operand type(s) for +: '{type}' and '{type2}'",
        "KeyError: {value}",
        "AttributeError: '{type}' object has no attribute '{name}'",
    ),
    "name": (
        "AttributeError: '{type}' object has no attribute '{name}'",
        "NameError: name '{name}' is not defined",
        "TypeError: '{type}' object is not callable",
    ),
    "unwrap": (
        "TypeError: '{type}' object is not iterable",
        "TypeError: object of type '{type}' has no len()",
        "AttributeError: '{type}' object has no attribute '{name}'",
        "TypeError: '{type}' object cannot be interpreted as an integer",
        "TypeError: '<' not supported between instances of '{type}' and '{type2}'",
    ),
    "argument": (
        "TypeError: {name}() missing 1 required positional argument: '{name2}'",
        "TypeError: {name}() takes {small} positional arguments but {more} were given",
        "TypeError: {name}() got an unexpected keyword argument '{name2}'",
        "ValueError: not enough values to unpack (expected {more}, got {small})",
    ),
    "operand": (
        "TypeError: unsupported operand type(s) for -: '{type}' and '{type2}'",
        "IndexError: list index out of range",
    ),
    "literal": (
        'TypeError: can only concatenate str (not "{type}") to str',
        "KeyError: '{name}'",
        "ValueError: {value}",
    ),
    "layout": ("UnboundLocalError: cannot access local variable '{name}' where it is not associated with a value",),
    "condition": (
        "AttributeError: 'NoneType' object has no attribute '{name}'",
        "IndexError: list index out of range",
        "RecursionError: maximum recursion depth exceeded",
        "KeyError: {value}",
        "ValueError: {value}",
    ),
    "statement": (
        "UnboundLocalError: cannot access local variable '{name}' where it is not associated with a value",
        "NameError: name '{name}' is not defined",
        "AttributeError: 'NoneType' object has no attribute '{name}'",
        "KeyError: '{name}'",
        "RecursionError: maximum recursion depth exceeded in comparison",
    ),
    "integer": (
        "IndexError: list index out of range",
        "IndexError: string index out of range",
        "ZeroDivisionError: division by zero",
        "ValueError: not enough values to unpack (expected {more}, got {small})",
    ),
    "comparison": (
        "IndexError: list index out of range",
        "RecursionError: maximum recursion depth exceeded in comparison",
        "KeyError: {value}",
        "TypeError: '<' not supported between instances of '{type}' and '{type2}'",
        "Timeout: it had not ended when its time was up",
    ),
    "arithmetic": (
        "TypeError: unsupported operand type(s) for -: '{type}' and '{type2}'",
        "ZeroDivisionError: division by zero",
        "IndexError: list index out of range",
        "TypeError: list indices must be integers or slices, not float",
    ),
    "element": (
        "ValueError: not enough values to unpack (expected {more}, got {small})",
        "TypeError: cannot unpack non-iterable {type} object",
        "KeyError: '{name}'",
        "AttributeError: 'NoneType' object has no attribute '{name}'",
    ),
}
_ASSERTED = (
    "AssertionError: got {value}, expected {value2}",  # as our own oracle reports it
    "AssertionError: got {value}, expected {value2}",
    "AssertionError: got {value}, expected {value2}",
    "AssertionError",
    "AssertionError: assert {value} == {value2}",
    "assert {value} == {value2}",
    "AssertionError: {value} != {value2}",
)


@dataclass(frozen=True, slots=True)
class Failure:
    """An error line and the lines (1-based, within the function's text) of its frames, innermost first."""

    error: str = ""
    frames: tuple[int, ...] = ()


def _fill(template: str, words: Sequence[str], draw: random.Random) -> str:
    small = draw.choice((1, 2, 3))
    return template.format(
        name=draw.choice(words),
        name2=draw.choice(words),
        type=draw.choice(_TYPES),
        type2=draw.choice(_TYPES),
        value=draw.choice(_VALUES),
        value2=draw.choice(_VALUES),
        small=small,
        more=small + 1,
    )


def _frames(lines: Sequence[str], fault: int, draw: random.Random) -> tuple[int, ...]:
    """The fault's line, or a later one that reads what it left behind."""
    if draw.random() < NO_FRAMES:
        return ()
    later = [
        n for n in range(fault, len(lines) + 1) if lines[n - 1].strip() and not lines[n - 1].lstrip().startswith("#")
    ]
    return (fault if draw.random() < 0.6 or not later else draw.choice(later),)


def failure(lines: Sequence[str], fault: int, bug_class: str, draw: random.Random) -> Failure:
    """Evidence for a fault at line `fault` (1-based) of a function's `lines`; empty in a share of cases."""
    if draw.random() < NO_ERROR:
        return Failure()
    near = _WORD.findall(lines[min(fault, len(lines)) - 1]) or ["value"]
    templates = _RAISED.get(bug_class, ())
    if not templates or draw.random() < ASSERTED:
        return Failure(_fill(draw.choice(_ASSERTED), near, draw))
    return Failure(_fill(draw.choice(templates), near, draw), _frames(lines, fault, draw))


def syntax_failure(text: str, draw: random.Random) -> Failure | None:
    """The parser's own error for a function's text, None when it parses after all."""
    indented = text[:1] in " \t"
    body = f"if 1:\n{text}" if indented else text
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(body)
    except SyntaxError as error:
        line = (error.lineno or 1) - (1 if indented else 0)
        if draw.random() < NO_ERROR / 2:
            return Failure()
        count = text.count("\n") + 1
        shown = (line,) if 1 <= line <= count and draw.random() >= NO_FRAMES else ()
        return Failure(f"{type(error).__name__}: {error.msg}", shown)
    except (ValueError, RecursionError, MemoryError):
        return None
    return None


def unrelated(lines: Sequence[str], draw: random.Random) -> Failure:
    """Evidence shown with a function that has no fault: mostly none, else a failure that comes from elsewhere."""
    if draw.random() < 0.6:
        return Failure()
    words = [w for line in lines for w in _WORD.findall(line)] or ["value"]
    templates = _ASSERTED if draw.random() < 0.6 else _RAISED[draw.choice(sorted(_RAISED))]
    return Failure(_fill(draw.choice(templates), words, draw))


def parses_alone(text: str) -> bool:
    """Whether a function's text, indented or not, parses."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(f"if 1:\n{text}" if text[:1] in " \t" else text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
