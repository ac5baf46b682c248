from collections import Counter
from itertools import islice
from math import log

import pytest

from repair.candidates import Candidate
from repair.defects import Location, RepairRequest
from repair.localize import localize
from repair.model import LineBelief
from repair.models.scripted import ScriptedModel
from repair.search import Field, Search, SearchOptions
from repair.sources import Source
from repair.views import Hunk
from repair.windows import Clues, views

CODE = """\
def total(prices, limit):
    result = 0
    for price in prices:
        if price < limit:
            result -= price
    return result


def mean(prices):
    return total(prices, 9) / len(prices)
"""
SOURCE = Source("shop.py", CODE)
FIX = Hunk(5, 5, "            result += price")


def place(location: Location | None = None) -> Field:
    request = RepairRequest((SOURCE,), location=location)
    return Field({"shop.py": SOURCE}, views(SOURCE, Clues()), localize(request, beliefs=None, spectrum=None))


def texts(candidates: list[Candidate]) -> list[str]:
    return [c.patch.apply({"shop.py": CODE})["shop.py"] for c in candidates]


def search(model: ScriptedModel | None = None, where: Location | None = None, **options: object) -> list[Candidate]:
    settings = SearchOptions(lines=6, **options)  # type: ignore[arg-type]
    return list(islice(Search(place(where), model, settings), 600))


def test_the_fix_is_in_the_neighbourhood_without_any_model():
    assert CODE.replace("-=", "+=") in texts(search())


def test_every_candidate_changes_the_text_and_comes_once():
    found = texts(search())
    assert len(found) > 50
    assert max(Counter(found).values()) == 1
    assert CODE not in found


def test_candidates_come_best_first_within_what_is_opened():
    scores = [c.score for c in search()[:60]]
    assert scores == sorted(scores, reverse=True)


def test_lines_of_the_given_location_are_tried_first():
    found = search(where=Location("shop.py", 10, 10))
    changed = {SOURCE.lines_of(c.patch.files[0].edits[0].span)[0] for c in found[:10]}
    assert changed <= {9, 10}


def test_the_model_moves_its_favourite_to_the_front():
    model = ScriptedModel(belief=LineBelief({5: 0.9, 4: 0.1}), scores={(FIX,): log(0.5)}, unscored=-30.0)
    assert texts(search(model))[0] == CODE.replace("-=", "+=")


def test_what_the_model_writes_is_among_the_candidates():
    own = Hunk(6, 6, "    return result * 2 if result > limit else limit")
    model = ScriptedModel(completions=[(own,)], scores={(own,): -0.1}, unscored=-30.0)
    found = search(model)
    assert "model" in {c.origin for c in found}
    assert CODE.replace("    return result\n", own.text + "\n") in texts(found)


def test_unreadable_replies_are_left_out():
    model = ScriptedModel(completions=["I would change line 5.", "@@ 99-99\n    pass"])
    assert all(c.origin != "model" for c in search(model))


def test_a_random_order_has_the_same_candidates():
    model = ScriptedModel(belief=LineBelief({5: 1.0}), scores={(FIX,): 0.0}, completions=[(FIX,)])
    field = place(Location("shop.py", 5, 5))
    by_model = texts(list(Search(field, model, SearchOptions(lines=1))))
    shuffled = texts(list(Search(field, model, SearchOptions(lines=1, order="random"))))
    assert Counter(by_model) == Counter(shuffled)
    assert by_model != shuffled


@pytest.mark.parametrize("seed", [0, 1])
def test_a_seed_repeats_its_order(seed: int):
    assert texts(search(order="random", seed=seed)) == texts(search(order="random", seed=seed))


def test_a_heuristic_order_asks_the_model_for_no_scores():
    model = ScriptedModel(completions=[(FIX,)], scores={(FIX,): 0.0})
    search(model, order="heuristic")
    assert "score" not in {call.method for call in model.calls}
