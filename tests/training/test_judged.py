"""Preference pairs of programs with tests: real sandbox, scripted model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from repair.errors import InputError, SuiteError
from repair.models.scripted import ScriptedModel
from repair.sandbox import Sandbox, Tier
from repair.sandboxes.select import find_sandbox
from repair.views import Hunk
from training.judged import Judging, Program, judge_programs, judged, read_programs

CODE = "def area(w, h):\n    size = w + h\n    return size\n"
PROGRAM = Program("area", "python", CODE, "assert area(3, 4) == 12\nassert area(1, 5) == 5\n")
RIGHT = (Hunk(2, 2, "    size = w * h"),)
SAME = (Hunk(3, 3, "    return w * h"),)
MILD, WILD = (Hunk(2, 2, "    size = w * h + 1"),), (Hunk(2, 2, "    size = 0"),)
OVERFIT = (Hunk(2, 2, "    size = 12 if w == 3 else 5"),)


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    return find_sandbox(Tier.C)


def model(**scores: float) -> ScriptedModel:
    known = {"RIGHT": RIGHT, "SAME": SAME, "MILD": MILD, "WILD": WILD, "OVERFIT": OVERFIT}
    return ScriptedModel(completions=tuple(known.values()), scores={known[k]: v for k, v in scores.items()})


SCORED = {"RIGHT": -1.0, "SAME": -2.0, "MILD": -1.5, "WILD": -3.0, "OVERFIT": -0.5}
OPTIONS = Judging(candidates=40, seconds=200.0, pairs=2)


def test_passing_candidates_beat_failing_ones_hardest_first(sandbox: Sandbox):
    found = judged(PROGRAM, model(**SCORED), sandbox, OPTIONS)
    assert found.reason == ""
    assert found.passing >= 3  # it went on after the first plausible one
    assert [p.worse for p in found.pairs] == [MILD, WILD]
    assert [p.better for p in found.pairs] == [OVERFIT, RIGHT]  # the model's favourites, in turn
    assert [p.source for p in found.pairs] == ["tests:area:unfixed"] * 2
    (view,) = {p.view for p in found.pairs}
    assert view.lines == tuple(CODE.removesuffix("\n").split("\n"))
    assert "area(3, 4)" in view.test  # what serving would have shown: the failing assertion
    assert view.error


def test_held_out_tests_turn_an_overfitting_candidate_into_the_worse_one(sandbox: Sandbox):
    strict = replace(PROGRAM, held_out_tests="assert area(7, 2) == 14\n")
    found = judged(strict, model(**SCORED), sandbox, OPTIONS)
    assert found.pairs[0].worse == OVERFIT
    assert found.pairs[0].better == RIGHT
    assert OVERFIT not in {p.better for p in found.pairs}


def test_each_program_has_its_say_whatever_it_gives(sandbox: Sandbox):
    fine = replace(PROGRAM, id="fine", code=CODE.replace("+", "*"))
    hopeless = replace(PROGRAM, id="hopeless", tests="assert area(1, 1) == 'x'\n")
    few = Judging(candidates=8, seconds=200.0, pairs=1)
    found = {j.id: j for j in judge_programs([fine, hopeless, PROGRAM], model(**SCORED), sandbox, few)}
    assert "tests pass as they are" in found["fine"].reason
    assert found["hopeless"].reason == "no candidate passed"
    assert len(found["area"].pairs) == 1


def test_programs_of_benchmarks_are_left_out(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from data.decontaminate import marks
    from training import judged as module

    longer = replace(PROGRAM, code=(
        "def areas(boxes, least):\n    found = []\n    for w, h in boxes:\n        size = w + h\n"
        "        if size > least and w > 0 and h > 0:\n            found.append((size, w, h))\n    return found\n"
    ))  # fmt: skip
    (tmp_path / "marks.txt").write_text("\n".join(mark for _, mark in marks(longer.code)))
    monkeypatch.setattr(module, "MARKS", tmp_path / "marks.txt")
    (found,) = judge_programs([longer], model(), sandbox, OPTIONS)
    assert found.reason == "it is a program of a benchmark"


def row(**changes: object) -> dict[str, object]:
    return {"id": "a", "language": "python", "buggy_code": "x = 1", "tests": "assert x == 2", **changes}


def test_programs_are_read_strictly(tmp_path: Path):
    file = tmp_path / "programs.jsonl"
    file.write_text(json.dumps(row(fixed_code="x = 2", held_out_tests=None, error="boom")) + "\n")
    assert read_programs(file) == [Program("a", "python", "x = 1\n", "assert x == 2", "", "boom")]
    for wrong, field in ((row(tests=None), "tests"), (row(id=3), "id"), (row(language="cobol"), "language"),
                         (row(held_out_tests=[1]), "held_out_tests"), (row(buggy_code=""), "buggy_code")):  # fmt: skip
        file.write_text(f"{json.dumps(row())}\n{json.dumps(wrong)}\n")
        with pytest.raises(SuiteError) as caught:
            read_programs(file)
        assert (caught.value.field, caught.value.line) == (field, 2)
    file.write_text("")
    with pytest.raises(InputError, match="has no programs"):
        read_programs(file)
    with pytest.raises(InputError, match="No such file"):
        read_programs(tmp_path / "none")
