"""Inputs: the tests' own scenarios, neighbours of them, and new ones of the same shapes; deterministic for a seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from random import Random
from typing import cast

from eval.differential.contracts import Relation, Values, cut_to_fit, relations_hold, relations_of
from eval.differential.scenarios import Scenario, Step, doubled, key_of, refs, without
from eval.differential.shapes import Shape, shape_of
from eval.differential.values import Pairs, Ref, listed

_TRIES = 12  # draws for each input wanted
_BORROW = 0.2  # share of mutations that copy a value from elsewhere in the call


@dataclass(frozen=True, slots=True)
class Contract:
    """What the calls of one kind have in common: a shape for each value (None: never varied), and relations."""

    shapes: tuple[Shape | None, ...]
    relations: tuple[Relation, ...]
    calls: tuple[Values, ...]

    def admits(self, values: Values) -> bool:
        """Whether a call could be one of these."""
        shaped = zip(self.shapes, values, strict=True)
        return all(shape is None or shape.admits(value) for shape, value in shaped) and relations_hold(
            self.relations, [values]
        )


Contracts = dict[tuple[object, ...], Contract]


def contracts_of(steps: Sequence[Step]) -> Contracts:
    """Contracts by callee, from all calls seen."""
    by_callee: dict[tuple[object, ...], list[Values]] = {}
    for step in steps:
        by_callee.setdefault(step.callee, []).append(step.values)
    return {callee: _contract(tuple(calls)) for callee, calls in by_callee.items()}


def _contract(calls: tuple[Values, ...]) -> Contract:
    shapes = [None if any(map(refs, column)) else shape_of(column) for column in zip(*calls, strict=True)]
    return Contract(tuple(shapes), relations_of(calls), calls)


def inputs(scenarios: Sequence[Scenario], contracts: Contracts, *, limit: int, seed: int) -> list[Scenario]:
    """At most `limit` different scenarios: those of the tests first."""
    varied = [scenario for scenario in scenarios if any(_variable(step, contracts) for step in scenario)]
    found = {key_of(scenario): scenario for scenario in scenarios}
    if varied:
        streams = _neighbours(varied, contracts, Random(seed)), _drawn(varied, contracts, Random(seed + 1))
        for number, several in enumerate(zip_longest(*streams)):
            if len(found) >= limit or number >= _TRIES * limit:
                break
            found.update((key_of(scenario), scenario) for scenario in several if scenario is not None)
    return list(found.values())[:limit]


def _variable(step: Step, contracts: Contracts) -> bool:
    return any(shape is not None for shape in contracts[step.callee].shapes) or isinstance(step.of, Ref)


def _neighbours(scenarios: Sequence[Scenario], contracts: Contracts, random: Random) -> Iterator[Scenario | None]:
    """Scenarios with one value, or one call, changed a little (one in three: several times). None: a failed try."""
    while True:
        scenario: Scenario | None = random.choice(scenarios)
        for _ in range(random.choice((1, 1, 2, 3))):
            scenario = scenario and _neighbour(scenario, contracts, random)
        yield scenario


def _neighbour(scenario: Scenario, contracts: Contracts, random: Random) -> Scenario | None:
    at = random.randrange(len(scenario))
    step = scenario[at]
    if isinstance(step.of, Ref) and random.random() < 0.3:
        return doubled(scenario, at) if random.random() < 0.5 else without(scenario, at)
    contract = contracts[step.callee]
    places = [place for place, shape in enumerate(contract.shapes) if shape is not None]
    if not places:
        return None
    place = random.choice(places)
    value = step.values[place]
    others = [v for other in scenario for held in other.values for v in _parts(held)]
    new = random.choice(others) if random.random() < _BORROW else mutated(value, random)
    values = cut_to_fit((*step.values[:place], new, *step.values[place + 1 :]), contract.calls)
    if not contract.admits(values):
        return None
    return (*scenario[:at], step.with_values(values), *scenario[at + 1 :])


def _parts(value: object) -> Iterator[object]:
    """A value and the elements of a list."""
    yield value
    if isinstance(value, list):
        yield from listed(value)


def _drawn(scenarios: Sequence[Scenario], contracts: Contracts, random: Random) -> Iterator[Scenario | None]:
    """Scenarios of the tests with all values drawn anew. None: a failed try."""
    while True:
        scenario = random.choice(scenarios)
        steps = [_redrawn(step, contracts[step.callee], random) for step in scenario]
        yield None if None in steps else tuple(step for step in steps if step is not None)


def _redrawn(step: Step, contract: Contract, random: Random) -> Step | None:
    for _ in range(_TRIES):
        drawn = tuple(
            value if shape is None else shape.draw(random)
            for shape, value in zip(contract.shapes, step.values, strict=True)
        )
        values = cut_to_fit(drawn, contract.calls)
        if contract.admits(values):
            return step.with_values(values)
    return None


def mutated(value: object, random: Random) -> object:  # noqa: PLR0911  (one a kind of change)
    """A value near `value`, of its type; what cannot be changed comes back as it is."""
    match value:
        case bool():
            return not value
        case int():
            return random.choice((value + 1, value - 1, value + 2, -value, 0, 1, value * 2, value // 2))
        case float():
            return random.choice((value + 1, value - 1, -value, value / 2, value * 2, 0.0, float(round(value))))
        case str():
            return "".join(cast("list[str]", _mutated_items(list(value), random)))
        case list():
            return _mutated_items(listed(value), random)
        case tuple():
            items = list(cast("tuple[object, ...]", value))
            return tuple(_changed_inside(items, random) if random.random() < 0.7 else _mutated_items(items, random))
        case frozenset():
            return frozenset(_mutated_items(sorted(cast("frozenset[object]", value), key=repr), random))
        case Pairs(items):
            return replace(value, items=tuple(_mutated_pairs(list(items), random)))
        case _:
            return value


def _mutated_items(items: list[object], random: Random) -> list[object]:  # noqa: PLR0911  (one a kind of change)
    """Shorter, longer, in another order, with another element."""
    if not items:
        return items
    at, other = random.randrange(len(items)), random.randrange(len(items))
    match random.randrange(8):
        case 0:
            return items[:at] + items[at + 1 :]
        case 1:
            return [*items[:other], items[at], *items[other:]]
        case 2:
            swapped = list(items)
            swapped[at], swapped[other] = items[other], items[at]
            return swapped
        case 3:
            return items[: random.choice((0, 1, at))]
        case 4:
            return items[::-1]
        case 5:
            return [*items[:at], items[other], *items[at + 1 :]]
        case _:
            return _changed_inside(items, random)


def _changed_inside(items: list[object], random: Random) -> list[object]:
    if not items:
        return items
    at = random.randrange(len(items))
    item = items[at]
    if isinstance(item, str) and len(item) == 1:  # a character, or a text of one
        new: object = random.choice((chr(ord(item) + 1), chr(max(ord(item) - 1, 32)), item.swapcase()))
    else:
        new = mutated(item, random)
    return [*items[:at], new, *items[at + 1 :]]


def _mutated_pairs(items: list[tuple[object, object]], random: Random) -> list[tuple[object, object]]:
    if not items:
        return items
    at = random.randrange(len(items))
    key, held = items[at]
    choice = random.random()
    if choice < 0.2:
        return items[:at] + items[at + 1 :]
    if choice < 0.5:
        new = mutated(key, random)
        return items if any(new == k for k, _ in items) else [*items[:at], (new, held), *items[at + 1 :]]
    return [*items[:at], (key, mutated(held, random)), *items[at + 1 :]]
