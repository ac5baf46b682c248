"""Tests that call a function of the traceback with arguments made up. Pure.

The search of EvoCrash (Soltani et al. 2018) in the small, over a fixed order of candidates instead of generations.
A method gets an instance, made by the same means from its class's constructor.
"""

from __future__ import annotations

import ast
import builtins
import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from repair.projects.reproduce.harvest import Seen, seen_calls
from repair.projects.reproduce.index import Index, Parameter, Routine
from repair.projects.reproduce.pool import Value, message_values, options
from repair.projects.reproduce.target import Target
from repair.projects.reproduce.writing import Draft, show

_OPERATORS = {
    "__getitem__": "{0}[{1}]", "__len__": "len({0})", "__iter__": "list({0})", "__repr__": "repr({0})",
    "__str__": "str({0})", "__contains__": "{1} in {0}", "__eq__": "{0} == {1}", "__ne__": "{0} != {1}",
    "__lt__": "{0} < {1}", "__le__": "{0} <= {1}", "__gt__": "{0} > {1}", "__ge__": "{0} >= {1}",
    "__add__": "{0} + {1}", "__sub__": "{0} - {1}", "__mul__": "{0} * {1}", "__or__": "{0} | {1}",
    "__and__": "{0} & {1}", "__hash__": "hash({0})", "__bool__": "bool({0})", "__next__": "next({0})",
    "__reversed__": "list(reversed({0}))", "__setitem__": "{0}[{1}] = {2}", "__delitem__": "del {0}[{1}]",
    "__call__": "{0}({all})", "__enter__": "with {0}:\n    pass", "__format__": "format({0}, {1})",
}  # fmt: skip
_DEPTH = 2  # constructors within constructors
_STRANGE = frozenset({"overload", "abstractmethod", "fixture", "setter", "deleter"})


@dataclass(frozen=True, slots=True)
class Arguments:
    """One choice of arguments, in order."""

    given: tuple[Value, ...]
    named: tuple[tuple[str, Value], ...] = ()

    @property
    def text(self) -> str:
        """As they stand between the parentheses."""
        return ", ".join([v.text for v in self.given] + [f"{name}={v.text}" for name, v in self.named])

    @property
    def imports(self) -> tuple[str, ...]:
        """All that they need."""
        return tuple(i for v in (*self.given, *(v for _, v in self.named)) for i in v.imports)


class Calls:
    """Makes drafts for one target. `locals_` are values that the report prints for names."""

    def __init__(self, index: Index, target: Target, locals_: Mapping[str, Sequence[Value]]) -> None:
        self._index, self._target, self._locals = index, target, locals_
        self._said = message_values(target)

    def drafts(self, limit: int) -> list[Draft]:
        """At most `limit` drafts: calls of each function in the traceback, innermost and outermost first, in turn."""
        levels = [level for level in self._target.levels if level.path]
        ordered = [levels.pop(-1 if n % 2 == 0 else 0) for n in range(len(levels))]
        streams: list[Iterator[Draft]] = []
        known: set[tuple[str, int]] = set()
        for level in ordered:
            routine = self._index.routine(level)
            if routine and not routine.decorators & _STRANGE and (routine.path, routine.node.lineno) not in known:
                known.add((routine.path, routine.node.lineno))
                streams.append(self._of(routine))
        return list(islice(_in_turn(streams[:6]), limit))

    def _of(self, routine: Routine) -> Iterator[Draft]:
        """Calls of one function: as others call it, then with values of our own."""
        name = routine.holder if routine.name == "__init__" and routine.holder else routine.name
        seen = seen_calls(self._index, name)
        for rank, one in enumerate(seen):
            if one.whole is not None:
                text = _finished(one.whole.text, routine)
                yield Draft(
                    (*one.whole.imports, *_running(text)), (text,), name, "a call in the project's tests", 40 + rank
                )
        for rank, (setup, arguments) in enumerate(self._choices(routine, seen)):
            yield self._draft(routine, setup, arguments, 60 + rank)

    def _choices(self, routine: Routine, seen: Sequence[Seen]) -> Iterator[tuple[tuple[Value, ...], Arguments]]:
        """Instances (none for a function) with arguments, both in the order of promise."""
        arguments = list(islice(self.arguments(routine, seen), 120))
        if routine.kind not in ("method", "property") or routine.name == "__init__":
            yield from (((), a) for a in arguments)
            return
        instances = list(islice(self.instances(routine.holder, routine.path), 12))
        for first, second in by_sum((len(instances), len(arguments)), 400):
            yield (instances[first],), arguments[second]

    def instances(self, name: str, path: str = "", depth: int = 0) -> Iterator[Value]:
        """Expressions that make an instance of a class, as the tests make one first."""
        found: dict[str, None] = {}
        kinds = (name, *self._index.subclasses(name)) if depth == 0 else (name,)
        for kind in kinds:
            for seen in seen_calls(self._index, kind):
                if seen.whole is not None and seen.whole.text not in found:
                    found[seen.whole.text] = None
                    yield seen.whole
        for kind in kinds:
            where = path if kind == name and path else self._index.defined.get(kind, ("", None))[0]
            if not where or not self._index.module(where):
                continue
            needed = f"from {self._index.module(where)} import {kind}"
            for arguments in islice(self._construction(kind, where, depth), 8):
                value = Value(f"{kind}({arguments.text})", (needed, *arguments.imports))
                if value.text not in found:
                    found[value.text] = None
                    yield value

    def _construction(self, name: str, path: str, depth: int) -> Iterator[Arguments]:
        routine = self._index.constructor(name, path)
        if routine is not None:
            return self.arguments(routine, (), depth + 1)
        node = self._index.class_node(name, path)
        fields = _fields(node) if node is not None and _is_record(node) else ()
        pools = [self._pool(parameter, None, depth + 1) for parameter in fields if parameter.default is None]
        return (Arguments(chosen) for chosen in _products(pools, 40))

    def arguments(self, routine: Routine, seen: Sequence[Seen], depth: int = 0) -> Iterator[Arguments]:
        """Choices of arguments: printed locals, those of other calls, these with one changed, made-up ones."""
        parameters = [p for p in routine.parameters if p.star == ""]
        forced = [p for p in routine.parameters if p.star and p.default is None]
        required = [p for p in parameters if p.default is None]
        if known := self._known(routine):
            yield known
        yield from (Arguments(s.arguments, s.keywords) for s in seen[:30])
        pools = {p.name: self._pool(p, routine, depth) for p in routine.parameters}
        yield from _changed(seen[:12], parameters, pools)
        made = _products([pools[p.name] for p in (*required, *forced)], 60)
        rest = [p for p in routine.parameters if p.default is not None]
        count = len(required)
        for number, chosen in enumerate(made):
            named = tuple((p.name, v) for p, v in zip(forced, chosen[count:], strict=True))
            yield Arguments(chosen[:count], named)
            for option in rest if number < 6 else ():
                for value in pools[option.name][: 8 if number == 0 else 3]:
                    yield Arguments(chosen[:count], (*named, (option.name, value)))

    def _known(self, routine: Routine) -> Arguments | None:
        """The arguments as the report prints them."""
        needed = [p for p in routine.parameters if p.default is None]
        if not routine.parameters or not all(p.name in self._locals for p in needed):
            return None
        plain = [p for p in needed if not p.star]
        others = [p for p in routine.parameters if p.name in self._locals and p not in plain]
        return Arguments(
            tuple(self._locals[p.name][0] for p in plain), tuple((p.name, self._locals[p.name][0]) for p in others)
        )

    def _pool(self, parameter: Parameter, routine: Routine | None, depth: int) -> tuple[Value, ...]:
        """Values for a parameter, instances of a class of the project where its annotation names one."""
        own = list(self._locals.get(parameter.name, ()))
        if parameter.annotation is not None and depth < _DEPTH:
            named = [n.id for n in ast.walk(parameter.annotation) if isinstance(n, ast.Name)]
            for name in named:
                if self._index.class_node(name) is not None:
                    own += islice(self.instances(name, depth=depth + 1), 3)
        return (*own, *options(parameter, routine, self._said))[:24]

    def _draft(self, routine: Routine, setup: tuple[Value, ...], arguments: Arguments, rank: int) -> Draft:
        origin = "a call with arguments made up"
        module, name = routine.module, routine.name
        if not setup:
            called = routine.holder or name
            needed, called = _import_of(module, called)
            shown = called if name in ("__init__", called) or not routine.holder else f"{called}.{name}"
            text = _finished(f"{shown}({arguments.text})", routine)
            return Draft(
                (needed, *arguments.imports, *_running(text)), (_wrapped(text),), routine.holder or name, origin, rank
            )
        instance = f"instance = {setup[0].text}"
        if routine.kind == "property":
            text = f"instance.{name}"
        elif name in _OPERATORS and len(arguments.given) >= _OPERATORS[name].count("{") - 1 - ("{all}" in name):
            text = _OPERATORS[name].format("instance", *(v.text for v in arguments.given), all=arguments.text)
        else:
            text = _finished(f"instance.{name}({arguments.text})", routine)
        imports = (*setup[0].imports, *arguments.imports, *_running(text))
        return Draft(imports, (_wrapped(instance), _wrapped(text)), name, origin, rank)


def _import_of(module: str, name: str) -> tuple[str, str]:
    """The import of a name of a module and how it is then called; a builtin's name is not covered."""
    if name in vars(builtins):
        return f"import {module}", f"{module}.{name}"
    return f"from {module} import {name}", name


def _running(text: str) -> tuple[str, ...]:
    return ("import asyncio",) if text.startswith("asyncio.") else ()


def _wrapped(text: str) -> str:
    """Laid out over lines where it is long."""
    try:
        return "\n".join(show(node) for node in ast.parse(text).body)
    except SyntaxError:
        return text


def _finished(text: str, routine: Routine) -> str:
    """What makes a call do its work: a generator is exhausted, a coroutine run."""
    if routine.decorators & {"contextmanager"}:
        return f"with {text}:\n    pass"
    if isinstance(routine.node, ast.AsyncFunctionDef):
        return text if routine.lazy else f"asyncio.run({text})"
    return f"list({text})" if routine.lazy else text


def _changed(
    seen: Sequence[Seen], parameters: Sequence[Parameter], pools: Mapping[str, tuple[Value, ...]]
) -> Iterator[Arguments]:
    """Calls seen with one argument replaced, or one more given; one replacement of each in turn."""
    for at in range(8):
        for one in seen:
            for place, parameter in enumerate(parameters):
                pool = pools[parameter.name]
                if at >= len(pool):
                    continue
                if place < len(one.arguments):
                    yield Arguments((*one.arguments[:place], pool[at], *one.arguments[place + 1 :]), one.keywords)
                elif at < 4:
                    kept = tuple((k, v) for k, v in one.keywords if k != parameter.name)
                    yield Arguments(one.arguments, (*kept, (parameter.name, pool[at])))


def _products(pools: Sequence[tuple[Value, ...]], limit: int) -> Iterator[tuple[Value, ...]]:
    for places in by_sum(tuple(len(p) for p in pools), limit):
        yield tuple(pool[place] for pool, place in zip(pools, places, strict=True))


def by_sum(sizes: tuple[int, ...], limit: int) -> Iterator[tuple[int, ...]]:
    """Places of a product in the order of their sum: both early ones before one late one."""
    if any(size == 0 for size in sizes):
        return
    start = tuple(0 for _ in sizes)
    heap, known = [(0, start)], {start}
    while heap and limit > 0:
        _, places = heapq.heappop(heap)
        limit -= 1
        yield places
        for at, size in enumerate(sizes):
            following = (*places[:at], places[at] + 1, *places[at + 1 :])
            if following[at] < size and following not in known:
                known.add(following)
                heapq.heappush(heap, (sum(following), following))


def _in_turn(streams: Sequence[Iterator[Draft]]) -> Iterator[Draft]:
    """Drafts of all, one of each in turn, each text once."""
    left = list(streams)
    known: set[tuple[str, ...]] = set()
    while left:
        for stream in list(left):
            draft = next((d for d in stream if d.body not in known), None)
            if draft is None:
                left.remove(stream)
            else:
                known.add(draft.body)
                yield draft


def _is_record(node: ast.ClassDef) -> bool:
    """A dataclass, attrs class or NamedTuple."""
    words = ast.unparse(ast.Module([ast.Expr(d) for d in (*node.decorator_list, *node.bases)], []))
    return any(word in words for word in ("dataclass", "attr", "define", "frozen", "NamedTuple"))


def _fields(node: ast.ClassDef) -> tuple[Parameter, ...]:
    return tuple(
        Parameter(n.target.id, n.annotation, n.value)
        for n in node.body
        if isinstance(n, ast.AnnAssign)
        and isinstance(n.target, ast.Name)
        and "ClassVar" not in ast.unparse(n.annotation)
    )
