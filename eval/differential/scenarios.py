"""Scenarios: short programs of calls on the code under test, cut from the record of the tests' calls.

A plain function's scenario is one call; an object's is its construction and the calls on it, in order. What
the calls get are Python values (`values.decode`), in which `Ref(n)` is the result of the scenario's step n.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import cast

from eval.differential.values import Json, Pairs, Ref, Unrepeatable, decode, encode, listed, shown

MAX_STEPS = 40
_SHOWN = 400


@dataclass(frozen=True, slots=True)
class Step:
    """A call `of.name(*args, **kwargs)`; `of` is a class by name, an earlier result or nothing."""

    of: str | Ref | None
    name: str
    args: tuple[object, ...]
    kwargs: tuple[tuple[str, object], ...] = ()

    @property
    def values(self) -> tuple[object, ...]:
        """All values passed, the named ones after the others."""
        return (*self.args, *(value for _, value in self.kwargs))

    @property
    def callee(self) -> tuple[object, ...]:
        """What is called with how many and which arguments: calls of one kind."""
        of = "self" if isinstance(self.of, Ref) else self.of
        return (of, self.name, len(self.args), *(key for key, _ in self.kwargs))

    def with_values(self, values: tuple[object, ...]) -> Step:
        """The same call with other values, as many."""
        keys = (key for key, _ in self.kwargs)
        count = len(self.args)
        return replace(self, args=values[:count], kwargs=tuple(zip(keys, values[count:], strict=True)))

    def record(self) -> Json:
        """As the drivers read it."""
        return {
            "of": encode(self.of),
            "name": self.name,
            "args": [encode(value) for value in self.args],
            "kwargs": [[key, encode(value)] for key, value in self.kwargs],
        }


Scenario = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Recorded:
    """One call that the tests made of the reference."""

    step: Step
    raised: str


def key_of(scenario: Scenario) -> str:
    """Equal for equal scenarios."""
    return json.dumps([step.record() for step in scenario])


def read_calls(records: Iterable[Mapping[str, object]]) -> dict[int, Recorded | None]:
    """Recorded calls by number; None for one that cannot be made again."""
    found: dict[int, Recorded | None] = {}
    for record in records:
        number = record.get("step")
        if not isinstance(number, int):
            continue
        try:
            found[number] = _call(record)
        except Unrepeatable:
            found[number] = None
    return dict(sorted(found.items()))


def _call(record: Mapping[str, object]) -> Recorded:
    if record["args"] is None:
        raise Unrepeatable("large")
    of = record["of"]
    owner = decode(of) if isinstance(of, dict) else of
    args = tuple(decode(value) for value in listed(record["args"]))
    pairs = [listed(pair) for pair in listed(record["kwargs"])]
    kwargs = tuple((str(key), decode(value)) for key, value in pairs)
    return Recorded(Step(cast("str | Ref | None", owner), str(record["name"]), args, kwargs), str(record["raised"]))


def refs(value: object) -> set[int]:
    """Steps whose results a value is made of."""
    match value:
        case Ref(step):
            return {step}
        case list() | tuple() | frozenset():
            return {n for item in cast("Iterable[object]", value) for n in refs(item)}
        case Pairs(items):
            return {n for pair in items for n in refs(pair)}
        case _:
            return set()


def _renumbered(value: object, numbers: Mapping[int, int]) -> object:
    match value:
        case Ref(step):
            return Ref(numbers[step])
        case list():
            return [_renumbered(item, numbers) for item in listed(value)]
        case tuple():
            return tuple(_renumbered(item, numbers) for item in cast("tuple[object, ...]", value))
        case Pairs(items, plain):
            return Pairs(tuple((_renumbered(k, numbers), _renumbered(v, numbers)) for k, v in items), plain)
        case _:
            return value


def touched(step: Step) -> set[int]:
    """Earlier steps whose results a call works on."""
    return refs((step.of, *step.values))


def cut(calls: Mapping[int, Recorded | None]) -> list[Scenario]:
    """The scenarios of a record, each call in as few as can be: one that another's objects need stands there only."""
    done: set[int] = set()
    found: list[Scenario] = []
    for last in reversed(list(calls)):
        if last in done:
            continue
        needed = _needed(calls, last)
        done |= needed
        chosen = {number: calls[number] for number in sorted(needed)}
        if None not in chosen.values() and len(chosen) <= MAX_STEPS:
            found.append(_scenario({n: call.step for n, call in chosen.items() if call is not None}))
    return found[::-1]


def _needed(calls: Mapping[int, Recorded | None], last: int) -> set[int]:
    """`last`, what it works on, and all earlier calls that worked on the same."""
    needed = {last}
    objects: set[int] = set()
    while True:
        now = {n for number in needed if (call := calls[number]) for n in touched(call.step)}
        if now <= objects:
            return needed
        objects |= now
        for number, call in calls.items():
            if number < last and (number in objects or (call and touched(call.step) & objects)):
                needed.add(number)


def _scenario(steps: Mapping[int, Step]) -> Scenario:
    numbers = {number: at for at, number in enumerate(steps)}
    return tuple(
        replace(step, of=cast("str | Ref | None", _renumbered(step.of, numbers))).with_values(
            tuple(_renumbered(value, numbers) for value in step.values)
        )
        for step in steps.values()
    )


def without(scenario: Scenario, at: int) -> Scenario | None:
    """The scenario without one call, None where a later one needs its result."""
    rest = (*scenario[:at], *scenario[at + 1 :])
    if any(at in touched(step) for step in rest):
        return None
    numbers = {number: number - (number > at) for number in range(len(scenario))}
    return _scenario_renumbered(rest, numbers)


def doubled(scenario: Scenario, at: int) -> Scenario:
    """The scenario with one call made twice."""
    numbers = {number: number + (number > at) for number in range(len(scenario))}
    return _scenario_renumbered((*scenario[: at + 1], *scenario[at:]), numbers)


def _scenario_renumbered(steps: Scenario, numbers: Mapping[int, int]) -> Scenario:
    return tuple(
        replace(step, of=cast("str | Ref | None", _renumbered(step.of, numbers))).with_values(
            tuple(_renumbered(value, numbers) for value in step.values)
        )
        for step in steps
    )


def source(scenario: Scenario, language: str) -> str:
    """The calls as text for people, shortened in the middle."""
    lines: list[str] = []
    for number, step in enumerate(scenario):
        given = [shown(encode(value), language) for value in step.args]
        given += [f"{key}={shown(encode(value), language)}" for key, value in step.kwargs]
        owner = f"v{step.of.step}." if isinstance(step.of, Ref) else f"{step.of}." if step.of else ""
        bound = f"v{number} = " if any(number in touched(later) for later in scenario[number + 1 :]) else ""
        lines.append(f"{bound}{owner}{step.name}({', '.join(given)})")
    return shortened("; ".join(lines))


def shortened(text: str, limit: int = _SHOWN) -> str:
    """At most about `limit` characters, the middle left out."""
    return text if len(text) <= limit else f"{text[: limit // 2]} ... {text[-limit // 2 :]}"
