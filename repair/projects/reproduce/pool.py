"""Values to call a function with: from the error's message, printed locals, the function's own text, its annotations.

Deterministic: nothing is drawn by chance. The order is what is tried first. Pure.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from repair.projects.reproduce.index import Parameter, Routine
from repair.projects.reproduce.target import Target
from repair.projects.reproduce.writing import double_quoted

_QUOTED = re.compile(r"'([^'\n]{0,200})'|\"([^\"\n]{0,200})\"|`([^`\n]{0,200})`")
_NUMBER = re.compile(r"(?<![\w.])-?\d{1,18}(?:\.\d{1,10})?(?![\w.])")
_ASSIGNED = re.compile(r"^[\s│|]*([a-z_]\w{0,60})\s*=\s*(\S.{0,400}?)[\s│|]*$")


@dataclass(frozen=True, slots=True)
class Value:
    """An expression as source text, and the imports that it needs."""

    text: str
    imports: tuple[str, ...] = ()


_SAMPLES: Mapping[str, tuple[str, ...]] = {
    "int": ("1", "0", "-1", "2", "7", "1000", "10**6", "10**30"),
    "float": ("1.5", "0.0", "-0.5", 'float("nan")', 'float("inf")', "1e300"),
    "str": ('"a"', '""', '"abc"', '"1"', '"a b"', '"a,b\\n1,2"', '"A-b_c.d"', '"é"', '"("', '"%"', '"2020-01-02"'),
    "bytes": ('b"a"', 'b""', 'b"\\xff"'),
    "bool": ("True", "False"),
    "NoneType": ("None",),
    "list": ("[]", "[1, 2]", '["a"]', "[None]", "[[1], [2]]", "[1]"),
    "tuple": ("()", "(1, 2)", '("a",)', "(1,)"),
    "set": ("set()", "{1, 2}"),
    "dict": ("{}", '{"a": 1}', "{1: 2}", '{"a": {"b": 1}}', '{"a": None}'),
    "object": ("object()",),
    "function": ("len", "str", "lambda *args, **kwargs: None"),
    "type": ("int", "str"),
    "generator": ("iter(())", "iter([1])"),
}
_ALIASES = {
    "Any": "", "string": "str", "text": "str", "AnyStr": "str", "Sequence": "list", "Iterable": "list", "List": "list",
    "Collection": "list", "Iterator": "generator", "Mapping": "dict", "MutableMapping": "dict", "Dict": "dict",
    "Tuple": "tuple", "Set": "set", "frozenset": "set", "FrozenSet": "set", "Callable": "function", "Type": "type",
    "None": "NoneType", "Number": "int", "Real": "float", "Decimal": "int", "Hashable": "str", "SupportsFloat": "float",
}  # fmt: skip
_IMPORTED: Mapping[str, tuple[Value, ...]] = {
    "Path": (Value('Path("a.txt")', ("from pathlib import Path",)),),
    "datetime": (Value("datetime.datetime(2020, 1, 2, 3, 4)", ("import datetime",)),),
    "date": (Value("datetime.date(2020, 1, 2)", ("import datetime",)),),
    "timedelta": (
        Value("datetime.timedelta(seconds=1)", ("import datetime",)),
        Value("datetime.timedelta(0)", ("import datetime",)),
        Value("datetime.timedelta(days=400)", ("import datetime",)),
        Value("datetime.timedelta(days=-1)", ("import datetime",)),
    ),
    "StringIO": (Value('io.StringIO("a")', ("import io",)),),
    "TextIO": (Value('io.StringIO("a")', ("import io",)),),
    "Pattern": (Value('re.compile("a")', ("import re",)),),
}
_HINTS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), kind)
    for pattern, kind in (
        (r"(?:^|_)(?:text|string|str|s|sql|name|title|word|line|msg|message|url|path|pattern|prefix|suffix|sep|fmt|format"
         r"|encoding|token|source|code|key|lang|locale)$", "str"),
        (r"(?:^|_)(?:n|num|number|count|size|length|width|index|i|j|k|maxsize|limit|depth|level|offset|seconds|value|ttl"
         r"|start|stop|end|step|indent)$", "int"),
        (r"(?:^|_)(?:fn|func|function|callback|predicate|getsizeof|timer|handler|hook|cond)$", "function"),
        (r"(?:^|_)(?:items|seq|sequence|iterable|values|list|lst|args|rows|xs|elements|keys|names|lines|tokens|data)$",
         "list"),
        (r"(?:^|_)(?:d|dict|mapping|map|kwargs|options|config|settings|obj)$", "dict"),
        (r"^(?:is|has|use|allow|ignore|strict|reverse)(?:_|$)", "bool"),
    )
)  # fmt: skip
_METHODS = {
    **dict.fromkeys(("split", "strip", "lower", "upper", "startswith", "endswith", "replace", "encode", "join"), "str"),
    **dict.fromkeys(("append", "extend", "sort", "pop", "insert"), "list"),
    **dict.fromkeys(("items", "keys", "setdefault", "update", "get"), "dict"),
    **dict.fromkeys(("days", "seconds", "total_seconds"), "timedelta"),
    **dict.fromkeys(("decode",), "bytes"),
    **dict.fromkeys(("year", "month", "day", "strftime"), "datetime"),
}
# What a message of CPython tells of the values that led to it.
_TELLING: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = tuple(
    (re.compile(pattern), values)
    for pattern, values in (
        (r"empty (?:sequence|iterable|separator|range)|iterable argument is empty|empty", ("[]", '""', "()", "{}")),
        (r"division by zero|modulo by zero|by zero", ("0", "0.0", "[]", '""', "{}")),
        (r"index out of range|pop from (?:an )?empty|popitem", ("[]", '""', "()", "[1]", '"a"', "100")),
        (r"NaN", ('float("nan")',)),
        (r"infinity|too large|overflow", ('float("inf")', "10**400", "1e308", "10**30")),
        (r"not enough values to unpack|too many values", ("[()]", '"a"', "(1, 2, 3)", "[(1, 2, 3)]", "()", "[1]")),
        (r"unhashable", ("[]", "{}", "[[1]]")),
        (r"codec|decode|encode", ('"é"', 'b"\\xff"', '"\\ud800"')),
        (r"recursion|maximum", ('"(" * 5000', "[[[[]]]]", "10**5")),
        (r"negative", ("-1", "-0.5")),
        (r"month|day|year", ('"2020-13-45"', "13", "0")),
        (r"missing \d+ required|positional argument", ("len", "lambda: None")),
    )
)
_BY_ERROR: Mapping[str, tuple[str, ...]] = {
    "ZeroDivisionError": ("0", "[]", '""', "{}"),
    "IndexError": ("[]", '""', "()", "[1]", "100"),
    "KeyError": ("{}", '"a"', "None"),
    "OverflowError": ('float("inf")', "10**400", "1e308"),
    "ValueError": ('""', "-1", '"abc"', 'float("nan")', "[]"),
    "TypeError": ("None", "1", '"a"', "[]", "1.5"),
    "AttributeError": ("None", "1", '"a"', "[]"),
    "StopIteration": ("[]", "iter(())"),
    "AssertionError": ("-1", "0", '""', "None", "[]"),
    "RecursionError": ('"(" * 5000', "[[[[]]]]"),
}
_GENERAL = (
    "1", '"a"', "0", '""', "None", "[]", "[1, 2]", "{}", '{"a": 1}', "-1", "1.5", '"abc"', "2", "1000", '["a"]',
    "True", "()", 'b"a"', "10**6", '"a b"', "[[1, 2], [3]]", "len",
)  # fmt: skip


def values(texts: Sequence[str]) -> tuple[Value, ...]:
    """Values of plain expressions."""
    return tuple(Value(text) for text in texts)


def printed_locals(report: str) -> dict[str, list[Value]]:
    """Values of variables that a report prints: `x = 3` of pytest's --showlocals, rich's boxes, pytest's arguments."""
    found: dict[str, list[Value]] = {}
    for line in report.split("\n"):
        if len(line) > 600 or "=" not in line:
            continue
        one = _ASSIGNED.match(line)
        pairs = [(one[1], _literal(one[2]))] if one else []
        if not pairs or not pairs[0][1]:
            pairs = list(_argument_line(line))
        for name, text in pairs:
            if text and Value(text) not in found.setdefault(name, []):
                found[name].append(Value(text))
    return {name: texts for name, texts in found.items() if texts}


def _argument_line(line: str) -> Iterator[tuple[str, str]]:
    """`a = 1, b = 'x'` as pytest prints the arguments of a function."""
    try:
        call = ast.parse(f"f({line.strip()})", mode="eval").body
    except (SyntaxError, ValueError):
        return
    for keyword in call.keywords if isinstance(call, ast.Call) else ():
        if keyword.arg:
            yield keyword.arg, _literal(ast.unparse(keyword.value))


def _literal(text: str) -> str:
    """The literal as source, "" where it is none."""
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return ""
    return double_quoted(text)


def message_values(target: Target) -> tuple[Value, ...]:
    """Values that the message holds or hints at, surest first."""
    message = target.message
    whole = _literal(message.strip()) if message else ""
    found = [whole] if whole else []
    for quoted in _QUOTED.finditer(message):
        inner = next(g for g in quoted.groups() if g is not None)
        found += _SAMPLES[inner] if inner in _SAMPLES else [_quoted(inner)]
    found += _NUMBER.findall(message)
    for pattern, texts in _TELLING:
        found += texts if pattern.search(message) else ()
    found += _BY_ERROR.get(target.error, ())
    if target.error == "KeyError" and whole:
        found += [f"{{{whole}: 1}}", f"[{whole}]"]
    return values(tuple(dict.fromkeys(found)))


def _quoted(text: str) -> str:
    return double_quoted(repr(text))


def options(parameter: Parameter, routine: Routine | None, said: Sequence[Value]) -> tuple[Value, ...]:
    """Values for one parameter, best first: what fits its annotation, name, use; `said` comes from the message."""
    used = _used_as(parameter.name, routine) if routine else []
    kinds = list(dict.fromkeys([*_annotated(parameter.annotation), *used]))
    hinted = [kind for pattern, kind in _HINTS if pattern.search(parameter.name)]
    if parameter.default is not None:
        default = [Value(double_quoted(ast.unparse(parameter.default)))] if _is_plain(parameter.default) else []
    else:
        default = []
    typed = [value for kind in (kinds or hinted) for value in samples(kind)]
    own = _compared(parameter.name, routine) if routine else []
    fitting = [value for value in said if not kinds or _kind_of(value.text) in kinds]
    woven = [v for pair in _zipped(fitting, [*own, *typed]) for v in pair]
    return tuple(dict.fromkeys([*woven, *default, *said, *values(_GENERAL)]))


def _zipped(one: Sequence[Value], other: Sequence[Value]) -> Iterator[list[Value]]:
    for at in range(max(len(one), len(other))):
        yield [*one[at : at + 1], *other[at : at + 1]]


def samples(kind: str) -> tuple[Value, ...]:
    """A few values of a type."""
    return _IMPORTED.get(kind) or values(_SAMPLES.get(_ALIASES.get(kind, kind), ()))


def _kind_of(text: str) -> str:
    try:
        return type(ast.literal_eval(text)).__name__
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return "float" if text.startswith("float") else "int" if text.startswith("10**") else ""


def _is_plain(node: ast.expr) -> bool:
    return bool(_literal(ast.unparse(node)))


def _annotated(node: ast.expr | None) -> list[str]:
    """Names of types in an annotation that we have samples of."""
    if node is None:
        return []
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            node = ast.parse(node.value, mode="eval").body
        except SyntaxError:
            return []
    head = node.value if isinstance(node, ast.Subscript) else node
    inner = [node] if not isinstance(node, ast.Subscript) or _name(head) in ("Optional", "Union") else [head]
    names = [_name(n) for part in inner for n in ast.walk(part)]
    known = [_ALIASES.get(name, name) for name in names]
    return [name for name in dict.fromkeys(known) if name in _SAMPLES or name in _IMPORTED]


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and node.value is None:
        return "None"
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _used_as(name: str, routine: Routine) -> list[str]:
    """Types whose methods the function calls on the parameter, or that it asks for with isinstance."""
    found: list[str] = []
    for node in ast.walk(routine.node):
        if isinstance(node, ast.Attribute) and _name(node.value) == name and node.attr in _METHODS:
            found.append(_METHODS[node.attr])
        if isinstance(node, ast.Call) and _name(node.func) == "isinstance" and len(node.args) == 2:
            asked = [_ALIASES.get(_name(n), _name(n)) for n in ast.walk(node.args[1])]
            found += [k for k in asked if (k in _SAMPLES or k in _IMPORTED) and _name(node.args[0]) == name]
    return found


def _compared(name: str, routine: Routine) -> list[Value]:
    """Literals that the function compares the parameter with, and keys that it takes from it."""
    found: list[str] = []
    for node in ast.walk(routine.node):
        if isinstance(node, ast.Compare) and any(_name(n) == name for n in ast.walk(node)):
            found += [_literal(ast.unparse(n)) for c in (node.left, *node.comparators) for n in ast.walk(c)
                      if isinstance(n, ast.Constant)]  # fmt: skip
        if isinstance(node, ast.Subscript) and _name(node.value) == name and isinstance(node.slice, ast.Constant):
            key = ast.unparse(node.slice)
            found.append(f"{{{double_quoted(key)}: 1}}")
    return list(values([text for text in dict.fromkeys(found) if text]))
