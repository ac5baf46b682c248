"""Searching attacks with scripted objectives and models: what is found, what it costs, that it repeats."""

from math import log

import pytest

from eval.robustness.attacks import NAMES, attacked
from eval.robustness.locating import Locating
from eval.robustness.search import Method, SearchPlan, search
from repair.errors import InputError
from repair.model import LineBelief
from repair.models.scripted import ScriptedModel
from tests.eval.robustness_cases import PYTHON, RAISING


def by_name(view):
    """Sees the fault (a comparison) only while the variable is called `result` and the error is spelled right."""
    trusts = any("result" in line for line in view.lines) + ("AssertionError" in view.error)
    right = {0: 0.05, 1: 0.4, 2: 0.9}[trusts]
    lines = {n: (right if "<" in line else 0.01) for n, line in enumerate(view.lines, view.first_line)}
    return LineBelief(lines, 0.01)


def counting(objective):
    asked = []

    def ask(case):
        asked.append(case)
        return objective(case)

    return ask, asked


def test_greedy_finds_the_composition_that_hurts():
    model = ScriptedModel(belief=by_name)
    locating = Locating(model)
    found = search(PYTHON, locating, SearchPlan(Method.GREEDY, queries=60))
    assert found.worst is not None
    assert {"rename", "rename-foreign"} & set(found.worst.attacks)
    assert any(name.startswith("error-") for name in found.worst.attacks)
    assert found.worst.value == min(attempt.value for attempt in found.attempts) < found.clean
    assert found.worst.case == attacked(PYTHON, found.worst.attacks, 0)
    calls = len(model.calls)
    assert locating.read(found.worst.case).belief == found.worst.value
    assert len(model.calls) == calls, "what was asked is remembered"


def test_random_finds_something_that_hurts():
    found = search(PYTHON, Locating(ScriptedModel(belief=by_name)), SearchPlan(Method.RANDOM, queries=25))
    assert found.worst is not None
    assert found.worst.value < found.clean
    assert any(len(attempt.attacks) == 3 for attempt in found.attempts)


@pytest.mark.parametrize("method", [Method.GREEDY, Method.RANDOM])
@pytest.mark.parametrize("queries", [1, 2, 7, 30])
def test_the_budget_is_kept(method, queries):
    ask, asked = counting(lambda case: -len(case.buggy_code))
    found = search(PYTHON, ask, SearchPlan(method, queries))
    assert len(asked) == found.queries <= queries
    assert queries > 7 or found.queries == queries, "and used where there is enough to try"
    assert len(set(asked)) == len(asked), "nothing is asked twice"


def test_each_asks_for_every_applicable_attack_alone():
    found = search(RAISING, lambda case: 0.0, SearchPlan(Method.EACH, queries=1))
    assert [a.attacks for a in found.attempts] == [(n,) for n in NAMES if n not in found.not_applicable]
    assert found.worst is None, "nothing hurts"
    assert {"error-lines", "error-stale", "rename", "longer"} & set(found.not_applicable) == set()
    assert "drop-comment" in found.not_applicable, "it has no comment"


def test_what_is_not_admitted_costs_nothing():
    ask, asked = counting(lambda case: 0.0)
    found = search(PYTHON, ask, SearchPlan(Method.GREEDY), admits=lambda case: case.buggy_code == PYTHON.buggy_code)
    assert all(case.buggy_code == PYTHON.buggy_code for case in asked)
    assert "rename" in found.not_applicable
    assert len(set(found.attempts)) == len(found.attempts) > 1


@pytest.mark.parametrize("method", list(Method))
def test_two_searches_are_equal_and_another_seed_is_another(method):
    def objective(case):
        return -float(len(set(case.buggy_code + (case.error or ""))))

    plans = [SearchPlan(method, 20, seed=seed) for seed in (4, 4, 5)]
    one, same, other = (search(PYTHON, objective, plan) for plan in plans)
    assert one == same
    assert one != other


def test_the_number_of_attacks_is_bounded():
    def objective(case):
        return -float(sum(a != b for a, b in zip(case.buggy_code, PYTHON.buggy_code, strict=False)))

    found = search(PYTHON, objective, SearchPlan(Method.GREEDY, 100, depth=2))
    assert max(len(attempt.attacks) for attempt in found.attempts) == 2
    with pytest.raises(InputError, match="queries is 0"):
        SearchPlan(queries=0)


def test_localization_without_a_model():
    locating = Locating(None)
    reading = locating.read(RAISING)
    assert reading.rank == 1, "the innermost frame is at fault"
    assert log(1e-9) < reading.belief < 0
    wrong = locating.read(attacked(RAISING, ("error-lines",), 0))
    assert wrong.rank > 1
    assert wrong.belief < reading.belief
    missing = locating.read(attacked(RAISING, ("error-missing",), 0))
    assert wrong.belief < missing.belief < reading.belief
