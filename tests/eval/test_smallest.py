"""The smallest edit that flips an answer: found, minimised, tested again, told and never learned from a suite."""

import json
from dataclasses import replace
from textwrap import indent

import pytest

from data.plans import Adversarial
from data.records import Origin, Record, to_row
from data.sources.adversarial import adversarial_record
from data.sourcing import works
from data.stages import FORMAT
from data.toml import read_plan
from eval.report.flips import flips_page, flips_section
from eval.robustness.flipping import End, FlipPlan, attack_case
from eval.robustness.flips import Flipped, flip_row, parse_flip, read_flips, write_flips
from eval.robustness.runnable import is_suite, runnable_all
from eval.robustness.smallest import EDITS, Goal, Size, SmallestPlan, Step, edited, size_between, smallest
from eval.robustness.soundness import Soundness
from eval.stats import Share
from eval.suites.rows import Case
from repair.errors import InputError, SuiteError
from repair.model import LineBelief
from repair.models.scripted import ScriptedModel
from repair.oracles.scripts import warm_programs
from repair.sandbox import Tier
from repair.sandboxes.select import find_sandbox
from repair.views import Hunk
from tests.eval.robustness_cases import NODE, PYTHON
from training.records import open_dataset

CLAMP = Record(
    "python",
    "def clamp(n: int, k: int, m: int):\n    if n < k:\n        return k\n    if n < m:\n"
    "        return m\n    return n\n",
    "def clamp(n: int, k: int, m: int):\n    if n < k:\n        return k\n    if n > m:\n"
    "        return m\n    return n\n",
    Origin.MUTANT, path="pkg/clamp.py", function="clamp", repository="pkg", licence="BSD-3-Clause",
)  # fmt: skip


def comments(case):
    return case.buggy_code.count("#")


def renamed(case):
    return "result" not in case.buggy_code


def holding(_):
    return True


@pytest.fixture(scope="module")
def sandbox():
    return find_sandbox(Tier.C)


# The search


def test_what_is_not_needed_is_dropped_again():
    """Comments look harmful and flip nothing: greedy makes some of them, the minimised edit has none."""
    goal = Goal(lambda case: -10 * comments(case) - renamed(case), lambda case: renamed(case) and True, holding)
    late = replace(goal, flips=lambda case: renamed(case) and (comments(case) > 1 or case.buggy_code in alone))
    alone = set()
    for draw in range(9):
        for name in ("rename", "rename-foreign"):
            made = edited(PYTHON, (Step(name, draw),), 0)
            if made is not None and renamed(made):
                alone.add(made.buggy_code)
    seen = []

    def flips(case):
        seen.append(case)
        return late.flips(case) and len(seen) > 20  # the first round's are not looked at yet

    found = smallest(PYTHON, replace(goal, flips=flips), SmallestPlan(queries=200, draws=2)).found
    assert found is not None
    assert {step.attack for step in found.steps} <= {"rename", "rename-foreign"}
    assert len(found.steps) == 1
    assert any(comments(case) > comments(PYTHON) and renamed(case) for case in seen), "a longer one came first"
    assert edited(PYTHON, found.steps, 0) == found.case


def test_of_the_edits_that_flip_the_smallest_is_taken():
    goal = Goal(lambda case: -len(case.buggy_code), lambda case: case != PYTHON, holding)
    sought = smallest(PYTHON, goal, SmallestPlan(draws=2))
    assert sought.found is not None
    one_edit = [edited(PYTHON, (Step(name, draw),), 0) for name in EDITS for draw in range(2)]
    sizes = [size_between(PYTHON.buggy_code, made.buggy_code) for made in one_edit if made is not None]
    assert sought.found.size == min(sizes)
    assert sought == smallest(PYTHON, goal, SmallestPlan(draws=2)), "the same again"


def test_what_the_tests_refuse_is_no_adversarial_input():
    flips = Goal(lambda case: -len(case.buggy_code), lambda case: case != PYTHON, lambda _: False)
    assert smallest(PYTHON, flips).found is None
    picky = replace(flips, holds=lambda case: case.buggy_code.count("\n") != PYTHON.buggy_code.count("\n"))
    found = smallest(PYTHON, picky).found
    assert found is not None
    assert found.case.buggy_code.count("\n") != PYTHON.buggy_code.count("\n")


@pytest.mark.parametrize("queries", [1, 5, 60])
def test_no_more_is_asked_than_allowed(queries):
    asked = []
    goal = Goal(lambda case: asked.append(case) or -float(len(asked)), lambda _: False, holding)
    sought = smallest(PYTHON, goal, SmallestPlan(queries=queries))
    assert sought.found is None
    assert sought.queries <= queries
    assert len(asked) == sought.queries + 1  # and the case as it was
    assert len(set(asked)) == len(asked)


def test_size_and_bounds():
    assert size_between("a = 1\nb = 2\n", "a = 1\n\nb = 2\n") == Size(1, 0)
    assert size_between("a = b\n", "a = c\n") == Size(2, 2)
    assert Size(1, 9) < Size(2, 0)
    with pytest.raises(InputError, match="depth is 0"):
        SmallestPlan(depth=0)


# With a model and tests


def distracted(view):
    """Sees the fault until a comment that was not there stands in the program."""
    faulty = next(n for n, line in enumerate(view.lines, view.first_line) if line.strip().startswith("if "))
    other = next(n for n, line in enumerate(view.lines, view.first_line) if "return" in line)
    comments_ = sum("#" in line for line in view.lines)
    sure = 0.9 if comments_ <= 1 else 0.05
    return LineBelief({faulty: sure, other: 0.95 - sure}, 0.05)


@pytest.mark.parametrize("case", [PYTHON, NODE])
def test_a_flip_of_the_location_was_run_again(case, sandbox):
    def belief(view):
        return distracted(view) if case is PYTHON else LineBelief(
            {5: 0.9} if sum("//" in line for line in view.lines) == 0 else {2: 0.9}, 0.1
        )  # fmt: skip

    done = attack_case(replace(case, error=None), ScriptedModel(belief=belief), sandbox, FlipPlan())
    assert (done.end, done.right_before, done.right_after) == (End.FLIPPED, True, False)
    flip = done.flip
    assert flip is not None
    assert flip.attacks == ("add-comment",)
    assert flip.size.lines == 1
    assert flip.before.probability > flip.before.right - 1e-6 > flip.after.right
    assert flip.after.line != flip.before.line
    added = [line for line in flip.diff.split("\n")[2:] if line.startswith(("+", "-"))]
    assert len(added) == 1
    assert added[0].startswith("+")
    assert flip.checks[0] == "reference passes the tests"
    assert ("reference passes the held-out tests" in flip.checks) == (case.held_out_tests is not None)
    assert flip.checks[-1].startswith("faulty code fails as before: ")
    assert parse_flip(json.loads(json.dumps(flip_row(flip)))) == flip


DESCRIBED = '''def price_of(amount, rate):
    """Both multiplied."""
    total = amount * rate
    return {tail}
'''


def test_an_edit_after_which_another_thing_fails_does_not_count(sandbox):
    """Under another name the faulty code raises ValueError, where it gave a wrong result before."""
    buggy, fixed = (DESCRIBED.format(tail=tail) for tail in ("price_of.__code__.co_varnames.index('total')", "total"))
    case = Case("price", "python", buggy, "assert price_of(2, 3) == 6\n", fixed, entry_point="price_of")

    def belief(view):
        known = any("total =" in line for line in view.lines)
        return LineBelief({view.last_line if known else view.first_line: 0.9}, 0.1)

    renaming = next(
        made for draw in range(9)
        if (made := edited(case, (Step("rename", draw),), 0)) is not None and "total =" not in made.buggy_code
    )  # fmt: skip
    with warm_programs(sandbox, "python") as programs:
        sound = Soundness(programs)
        assert sound.failure(case) == "AssertionError"
        assert (sound.failure(renaming) or "").startswith("ValueError: ")
    done = attack_case(case, ScriptedModel(belief=belief), sandbox, FlipPlan(search=SmallestPlan(depth=1, draws=9)))
    assert done.end is End.HELD


def test_a_model_that_is_wrong_already_and_one_that_cannot_be_misled(sandbox):
    wrong = attack_case(PYTHON, ScriptedModel(belief=LineBelief({3: 0.99}, 0.01)), sandbox, FlipPlan())
    assert (wrong.end, wrong.right_before, wrong.right_after) == (End.WRONG, False, False)

    def firm(view):
        return LineBelief({n: 0.99 for n, line in enumerate(view.lines, view.first_line) if "if " in line}, 0.01)

    plan = FlipPlan(search=SmallestPlan(queries=20))
    held = attack_case(replace(PYTHON, error=None), ScriptedModel(belief=firm), sandbox, plan)
    assert (held.end, held.flip, held.right_after) == (End.HELD, None, True)
    assert held.queries > 0
    with pytest.raises(InputError, match="--goal patch needs one"):
        attack_case(PYTHON, None, sandbox, FlipPlan(Flipped.PATCH))
    mute = [attack_case(PYTHON, ScriptedModel(), sandbox, FlipPlan(goal)).reason for goal in Flipped]
    assert mute == ["the model gives lines no probabilities", "the model gives the reference repair no probability"]
    alone = replace(PYTHON, fixed_code=None)
    assert attack_case(alone, None, sandbox, FlipPlan()).end is End.LEFT_OUT


def test_a_flip_of_the_patch_fails_the_tests(sandbox):
    """Prefers the right repair until a comment is added, and another mutation of the line from then on."""

    def scores(view, changes):
        misled = sum("#" in line for line in view.lines) > 1
        wanted = "price > limit" if misled else "price <= limit"
        return [-0.1 if any(wanted in hunk.text for hunk in change) else -30.0 for change in changes]

    def proposed(view, _):
        line = next(n for n, text in enumerate(view.lines, view.first_line) if "price <" in text)
        misled = sum("#" in text for text in view.lines) > 1
        return [(Hunk(line, line, f"        if price {'>' if misled else '<='} limit:"),)]

    model = ScriptedModel(belief=distracted, completions=proposed, scores=scores)
    plan = FlipPlan(Flipped.PATCH, SmallestPlan(queries=40, depth=1))
    done = attack_case(replace(PYTHON, error=None), model, sandbox, plan)
    assert done.end is End.FLIPPED
    assert done.flip is not None
    assert done.flip.attacks == ("add-comment",)
    assert done.flip.before.right == pytest.approx(0.904837, abs=1e-5)  # exp(-0.1)
    assert done.flip.after.right < 1e-6
    assert done.flip.after.probability > done.flip.after.right


# Files and pictures


@pytest.fixture(scope="module")
def flip(sandbox):
    done = attack_case(replace(PYTHON, error=None), ScriptedModel(belief=distracted), sandbox, FlipPlan())
    assert done.flip is not None
    return done.flip


def test_flips_on_disk(flip, tmp_path):
    path = tmp_path / "new" / "flips.jsonl"
    write_flips(path, [flip, replace(flip, id="two")])
    assert [one.id for one in read_flips(path)] == ["total", "two"]
    assert json.loads(path.read_text().split("\n")[0])["attacks"] == ["add-comment"]
    path.write_text(path.read_text() + '{"id": "three"}\n')
    with pytest.raises(InputError, match=r"line 3 is no flip of `emend model attack`"):
        list(read_flips(path))
    with pytest.raises(InputError, match="cannot be read"):
        list(read_flips(tmp_path / "none.jsonl"))


def test_the_table_shows_the_edit_and_lets_nothing_out(flip):
    hostile = replace(flip, id="<script>x</script>", diff=f"{flip.diff}\n+<img src=x>", error="<b>")
    section = flips_section([hostile])
    assert "<script" not in section
    assert "<img" not in section
    assert '<span class="plus">' in section
    assert "add-comment" in section
    assert "1 line, " in section
    assert "reference passes the tests" in section
    assert "No edit was found" in flips_section([])
    page = flips_page([flip], Share(3, 4), Share(1, 4), [("model", "<m>")])
    assert "75 %" in page
    assert "&lt;m&gt;" in page
    assert "http" not in page.replace("http-equiv", "")


# To train on


def test_records_that_run_alone_become_cases(sandbox):
    suite = replace(CLAMP, origin=Origin.SUITE)
    fine = replace(CLAMP, buggy=CLAMP.fixed)
    method = replace(CLAMP, buggy=indent(CLAMP.buggy, "    "), fixed=indent(CLAMP.fixed, "    "))
    foreign = replace(CLAMP, fixed=CLAMP.fixed.replace("return n", "return shape(n)"))
    (_, case), *others = runnable_all([CLAMP, suite, fine, replace(CLAMP, language="java"), foreign, method])
    assert not isinstance(case, str)
    assert (case.id, case.license) == (CLAMP.id, "BSD-3-Clause")
    assert [reason for _, reason in others] == [
        "a row of a suite",
        "no fault",
        "not Python: functions of it cannot be run alone",
        "the function does not run alone, or its answers cannot be tested",
        "no function at the top of a module that parses",
    ]
    ((_, again),) = runnable_all([CLAMP])
    assert again == case
    assert attack_case(case, None, sandbox, FlipPlan()).right_before is not None, "its tests hold"


def test_what_was_found_goes_into_datasets_and_training(tmp_path):
    head = "from __future__ import annotations\n"
    written = [
        head + text.replace("n: int", "count: int").replace("if n", "if count") for text in (CLAMP.buggy, CLAMP.fixed)
    ]
    made = adversarial_record(CLAMP, *written, error="AssertionError: got 1, expected 2", how="rename")
    assert not isinstance(made, str)
    assert (made.origin, made.licence, made.repository) == (Origin.ADVERSARIAL, "BSD-3-Clause", "pkg")
    assert (made.function, made.first_line, made.error_type) == ("clamp", 2, "AssertionError")
    assert made.reasons == ("adversarial: rename", f"written anew from record {CLAMP.id}")
    assert made.buggy.startswith("def clamp(count: int")
    path = tmp_path / "adversarial.jsonl"
    path.write_text(json.dumps(to_row(made) | {"split": "train"}) + "\n")
    assert [record for _, record in open_dataset((str(path),), "train").records()] == [made]
    recipe = tmp_path / "r.toml"
    recipe.write_text('[[sources]]\nkind = "adversarial"\npath = "adversarial.jsonl"\n')
    (source,) = read_plan(recipe, ()).sources
    assert source == Adversarial("adversarial.jsonl")
    (work,) = works(source, tmp_path)
    assert work.produce() == (made,)
    path.write_text(json.dumps(to_row(CLAMP)) + "\n")
    (work,) = works(source, tmp_path)
    with pytest.raises(SuiteError, match=r"row 1: its origin is 'mutant'"):
        work.produce()


def test_a_suite_is_never_trained_on(tmp_path):
    with pytest.raises(InputError, match="a suite measures and may not be trained on"):
        adversarial_record(replace(CLAMP, origin=Origin.SUITE), "x\n", "y\n", error="", how="")
    rows, suite, folder = tmp_path / "rows.jsonl", tmp_path / "suite.jsonl", tmp_path / "set"
    rows.write_text(json.dumps(to_row(CLAMP)) + "\n")
    suite.write_text('{"id": "a", "language": "python", "buggy_code": "x", "tests": "y"}\n')
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"format": FORMAT}))
    assert [is_suite(path) for path in (rows, suite, folder, tmp_path)] == [False, True, False, True]
    with pytest.raises(InputError, match="No such file"):
        is_suite(tmp_path / "none.jsonl")
