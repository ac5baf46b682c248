"""One fault repaired in a real sandbox: what is a fix, what is refused, what ends the search."""

from __future__ import annotations

from dataclasses import replace

import pytest

from repair.candidates import Candidate
from repair.diffs import parse_diff, render_diff
from repair.edits import patch_between
from repair.errors import PatchError
from repair.model import LineBelief
from repair.models.scripted import ScriptedModel
from repair.pipeline import Options
from repair.projects.bench import ProjectOracle, Tally
from repair.projects.combine import combine, merged
from repair.projects.mend import changeable, mend, prior
from repair.projects.values import Bounds, Combination, Fix, Groundwork, Ranked, Reproduction, State
from repair.search import SearchOptions
from repair.sources import Source, read_source
from repair.verdicts import Verdict
from repair.views import Hunk
from tests.repair.projects import shops

QUICK = Options(extra=2)
IDS = tuple(f"test_shop.py::{t}" for t in ("test_total", "test_many", "test_one", "test_bill"))


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    project = shops.laid(tmp_path_factory.mktemp("shop"))
    ground, evidence = shops.groundwork(project)
    return project, ground, evidence


@pytest.fixture(scope="module")
def total_fix(shop):
    project, ground, evidence = shop
    fault = shops.fault("total", "test_total", "test_bill", files=("prices.py", "names.py"), evidence=evidence)
    tally = Tally()
    fix = mend(project, fault, ground, None, shops.sandbox(), Bounds(), options=QUICK, tally=tally)
    return fix, tally


@pytest.fixture(scope="module")
def label_fix(shop):
    project, ground, evidence = shop
    fault = shops.fault("label", "test_many", "test_one", files=("names.py",), evidence=evidence)
    return mend(project, fault, ground, None, shops.sandbox(), Bounds(), options=QUICK)


def patched(project, diff: str) -> dict[str, Source]:
    sources = {p: read_source(project.root, p) for p in ("prices.py", "names.py")}
    texts = parse_diff(diff, sources).apply({p: s.text for p, s in sources.items()})
    return {p: s.with_text(texts[p]) for p, s in sources.items()}


def test_the_groundwork_has_two_faults(shop):
    assert shop[1].failing == frozenset(IDS)


def test_a_fault_is_fixed_while_another_remains(shop, total_fix):
    fix, tally = total_fix
    assert (fix.state, fix.fixed, fix.checked) == (State.FIXED, (IDS[3], IDS[0]), 3)
    assert "result += price" in patched(shop[0], fix.diff)["prices.py"].text
    assert fix.diff.startswith("diff --git a/prices.py b/prices.py\n--- a/prices.py\n+++ b/prices.py\n")
    assert fix.spent.whole == tally.whole == 1
    assert 0 < tally.mean_share < 1


def test_equal_inputs_give_an_equal_fix(shop, label_fix):
    project, ground, evidence = shop
    fault = shops.fault("label", "test_many", "test_one", files=("names.py",), evidence=evidence)
    again = mend(project, fault, ground, None, shops.sandbox(), Bounds(), options=QUICK)
    assert label_fix.state is State.FIXED
    assert replace(again, spent=label_fix.spent) == label_fix


def test_two_fixes_are_combined(shop, total_fix, label_fix):
    project, ground, _ = shop
    both = combine(project, (total_fix[0], label_fix), ground, shops.sandbox())
    assert (both.fixes, both.left_out, both.passed) == (("total", "label"), (), True)
    assert set(patched(project, both.diff)) == {"prices.py", "names.py"}
    assert both.spent.whole == 1


def bench_of(
    shop, *failing: str, ground: Groundwork | None = None, sources: tuple[str, ...] = ("prices.py", "names.py")
):
    project, told, _ = shop
    read = tuple(read_source(project.root, p) for p in sources)
    ids = frozenset(f"test_shop.py::{t}" for t in failing)
    return ProjectOracle(project, read, ground or told, shops.sandbox(), ids)


def candidate(shop, path: str, old: str, new: str) -> Candidate:
    text = read_source(shop[0].root, path).text
    assert old in text
    return Candidate(patch_between({path: text}, {path: text.replace(old, new)}), "given")


@pytest.fixture(scope="module")
def total_bench(shop):
    with bench_of(shop, "test_total", sources=("prices.py", "names.py", "test_shop.py")).open() as bench:
        yield bench


@pytest.mark.parametrize(
    ("path", "old", "new", "verdict", "says"),
    [
        ("prices.py", "result -= price", "result += price", Verdict.PLAUSIBLE, "pass"),
        ("prices.py", "result -= price", "result = price", Verdict.UNFIXED, "test_total still fails"),
        ("prices.py", "    return result", "    return -result or None", Verdict.REGRESSED, "test_total_of_nothing"),
        ("prices.py", "result -= price", "while True: pass", Verdict.UNFIXED, ""),
        ("prices.py", "result = 0", "import os; os._exit(0)", Verdict.UNFIXED, ""),
        ("prices.py", "result -= price", "result -=", Verdict.BROKEN, ""),
        ("test_shop.py", "== 3", "== -3", Verdict.INAPPLICABLE, "may not touch"),
    ],
)
def test_verdicts(shop, total_bench, path, old, new, verdict, says):  # noqa: PLR0917
    judgement = total_bench.judge(candidate(shop, path, old, new))
    assert (judgement.verdict, says in judgement.reason) == (verdict, True)
    assert total_bench.tally.whole == 0


def test_a_regression_beyond_the_selection_is_found_by_the_whole_run(shop):
    ground = replace(shop[1], lines={t: {} for t in shop[1].lines} | {IDS[0]: {"prices.py": frozenset({7})}})
    bad = candidate(shop, "prices.py", "    return result", "    return -result or None")
    with bench_of(shop, "test_total", ground=ground).open() as bench:
        assert bench.judge(bad).verdict is Verdict.PLAUSIBLE
        assert bench.judge(bad, thorough=True).verdict is Verdict.REGRESSED
        assert bench.tally.whole == 1


def test_tests_that_pass_alone_are_judged_with_the_others(tmp_path):
    tests = "import prices\nfrom prices import total\n\n\ndef test_a():\n    prices.RATE = 3\n\n\n"
    tests += "def test_total():\n    assert total([prices.RATE]) in (2, -2)\n"
    project = shops.laid(tmp_path / "p", test_shop=tests)
    shop = (project, *shops.groundwork(project))
    assert shop[1].failing == {"test_shop.py::test_total"}
    with bench_of(shop, "test_total").open() as bench:
        assert bench.judge(candidate(shop, "prices.py", "best = price\n", "best =  price\n")).verdict is Verdict.UNFIXED
        assert bench.tally.whole == 1


def test_a_flaky_test_condemns_nobody(shop, tmp_path):
    flaky = shops.TESTS + "\n\ndef test_luck():\n    import os\n    assert os.getpid() % 2\n"
    project = shops.laid(tmp_path / "f", test_shop=flaky)
    luck = "test_shop.py::test_luck"
    told = shop[1]
    ground = replace(told, flaky=frozenset({luck}), passing=told.passing - {luck})
    with bench_of((project, ground, ()), "test_total").open() as bench:
        good = candidate(shop, "prices.py", "result -= price", "result += price")
        assert [bench.judge(good, thorough=t).verdict for t in (False, True, True)] == [Verdict.PLAUSIBLE] * 3


def test_a_fault_in_two_files(shop):
    project, ground, evidence = shop
    fault = shops.fault(
        "both", "test_total", "test_bill", "test_many", "test_one", files=("prices.py", "names.py"), evidence=evidence
    )
    fault = replace(fault, lines=(Ranked("prices.py", 0.5, 7, 7), Ranked("names.py", 0.5, 5, 5)))
    right = (Hunk(7, 7, "        result += price"),), (Hunk(5, 5, "    if count <= 1:"),)
    model = ScriptedModel(LineBelief({7: 0.5, 5: 0.5}), scores=dict.fromkeys(right, -0.1))
    options = Options(search=SearchOptions(lines=2), extra=0)
    fix = mend(project, fault, ground, model, shops.sandbox(), Bounds(), options=options)
    assert (fix.state, fix.paths, fix.fixed) == (State.FIXED, ("names.py", "prices.py"), tuple(sorted(IDS)))


def test_a_hanging_test_is_repaired_and_costs_little(tmp_path):
    names = shops.NAMES + "\n\ndef down(n):\n    while n > 0:\n        n += 1\n    return n\n"
    tests = "from names import down\nfrom prices import cheapest\n\n\ndef test_down():\n    assert down(2) == 0\n\n\n"
    tests += "def test_cheapest():\n    assert cheapest([3, 1]) == 1\n"
    project = shops.laid(tmp_path / "h", names=names, test_shop=tests)
    ground, evidence = shops.groundwork(project)
    fault = shops.fault("hang", "test_down", files=("names.py",), evidence=evidence)
    fault = replace(fault, lines=(Ranked("names.py", 1.0, 16, 16),))
    fix = mend(
        project, fault, ground, None, shops.sandbox(), Bounds(), options=Options(SearchOptions(lines=1), extra=0)
    )
    assert (fix.state, "n -= 1" in patched(project, fix.diff)["names.py"].text) == (State.FIXED, True)


def test_bounds_and_cancelling_end_the_search(shop):
    project, ground, evidence = shop
    fault = shops.fault("total", "test_total", files=("names.py",), evidence=evidence)

    def ended(bounds: Bounds, *, cancelled: bool = False) -> Fix:
        return mend(project, fault, ground, None, shops.sandbox(), bounds, cancelled=lambda: cancelled)

    few, runs = ended(Bounds(candidates=3)), ended(Bounds(test_runs=2))
    assert (few.state, few.spent.candidates, "3 candidates" in few.reason) == (State.OVER_BUDGET, 3, True)
    assert (runs.state, runs.spent.test_runs, "2 test runs" in runs.reason) == (State.OVER_BUDGET, 2, True)
    assert ended(Bounds(), cancelled=True).state is State.CANCELLED
    assert "still" in few.reason and not few.diff


def test_nothing_may_change_in_tests_alone(shop):
    project, ground, _ = shop
    fix = mend(
        project, shops.fault("t", "test_total", files=("test_shop.py",)), ground, None, shops.sandbox(), Bounds()
    )
    assert (fix.state, fix.spent.test_runs) == (State.UNFIXED, 0)


def test_a_report_alone_gives_a_proposal_that_breaks_nothing(shop):
    project, ground, _ = shop
    fault = shops.fault("report", files=("names.py",))
    fix = mend(project, fault, ground, None, shops.sandbox(), Bounds(), options=Options(undecided=2))
    assert (fix.state, fix.verdict) == (State.PROPOSED, "undecided")
    assert fix.diff and fix.checked == 3


def test_a_reproduction_is_the_failing_test(shop):
    project, ground, _ = shop
    text = "from prices import total\n\n\ndef test_report():\n    assert total([4]) == 4\n"
    given = Reproduction("test_report.py", text, "test_report.py::test_report", "AssertionError")
    fault = shops.fault("report", files=("prices.py",))
    fix = mend(project, fault, ground, None, shops.sandbox(), Bounds(), reproduction=given, options=QUICK)
    assert (fix.state, fix.reproduction) == (State.FIXED, replace(given, passes=True))
    assert fix.checked == 3 and given.test in fix.fixed
    assert not (project.root / given.path).exists()


def test_files_that_may_change_come_in_the_diagnosis_order(shop):
    project, ground, _ = shop
    fault = shops.fault("x", files=("names.py", "test_shop.py", "gone.py", "prices.py", "conftest.py"))
    assert [s.path for s in changeable(project, fault, ground)] == ["names.py", "prices.py"]


def test_the_prior_follows_the_diagnosis(shop):
    source = read_source(shop[0].root, "prices.py")
    fault = replace(
        shops.fault("x", files=("prices.py",)),
        functions=(Ranked("prices.py", 0.6, 4, 8, "total"),),
        lines=(Ranked("prices.py", 0.5, 7, 7), Ranked("elsewhere.py", 0.5, 1, 1)),
    )
    weights = prior(fault, (source,))
    assert set(weights) == {("prices.py", n) for n in range(1, source.line_count + 1)}
    assert weights["prices.py", 7] > weights["prices.py", 6] > weights["prices.py", 12] > 0


def test_a_guessed_model_is_counted_and_bounded(shop):
    project, ground, evidence = shop
    fault = shops.fault("total", "test_total", files=("names.py",), evidence=evidence)
    model = ScriptedModel(belief=LineBelief({5: 1.0}))
    fix = mend(project, fault, ground, model, shops.sandbox(), Bounds(tokens=1))
    assert (fix.state, fix.spent.candidates) == (State.OVER_BUDGET, 1)
    assert "tokens" in fix.reason and fix.spent.tokens == model.usage.prompt_tokens + model.usage.completion_tokens


# --- combining


def given_fix(shop, key: str, path: str, old: str, new: str, *fixed: str) -> Fix:
    made = candidate(shop, path, old, new)
    diff = render_diff(made.patch, {path: read_source(shop[0].root, path)})
    return Fix(key, State.FIXED, diff=diff, paths=(path,), fixed=tuple(f"test_shop.py::{t}" for t in fixed))


def test_fixes_of_one_place_conflict(shop, total_fix):
    other = given_fix(shop, "other", "prices.py", "result -= price", "result = result + price", "test_total")
    both = combine(shop[0], (total_fix[0], other), shop[1], shops.sandbox())
    assert (both.fixes, both.passed, both.spent.test_runs) == (("total",), True, 0)
    assert both.left_out == (("other", "conflicts with total"),) and both.diff == total_fix[0].diff


def test_the_guilty_fix_is_left_out(shop, total_fix, label_fix):
    guilty = given_fix(shop, "guilty", "prices.py", "if price < best", "if price > best")
    all_three = combine(shop[0], (total_fix[0], guilty, label_fix), shop[1], shops.sandbox())
    assert (all_three.fixes, all_three.passed) == (("total", "label"), True)
    [(name, why)] = all_three.left_out
    assert name == "guilty" and "test_cheapest" in why


def test_nothing_and_one_need_no_run(shop, total_fix):
    nothing = combine(shop[0], (Fix("x", State.UNFIXED),), shop[1], shops.sandbox())
    one = combine(shop[0], (total_fix[0], Fix("x", State.PROPOSED)), shop[1], shops.sandbox())
    assert nothing == Combination((), reason="there is no fix to combine", spent=nothing.spent)
    assert (one.fixes, one.diff, one.passed, one.spent.test_runs) == (("total",), total_fix[0].diff, True, 0)


def test_what_a_report_asked_for_is_tried_by_its_own_test(shop, label_fix):
    text = "from prices import total\n\n\ndef test_report():\n    assert total([4]) == {}\n"
    fix = given_fix(shop, "total", "prices.py", "result -= price", "result += price")
    for wanted, stands in ((4, ("total", "label")), (5, ("total",))):
        test = Reproduction("test_report.py", text.format(wanted), "test_report.py::test_report", "", passes=True)
        told = replace(fix, fixed=(test.test,), reproduction=test)
        both = combine(shop[0], (told, label_fix), shop[1], shops.sandbox())
        assert both.fixes == stands, both
    assert "test_report does not pass" in both.left_out[0][1]


def test_merging_keeps_disjoint_edits_and_refuses_others(shop):
    old = {"prices.py": shops.PRICES}

    def made(before: str, after: str):
        return patch_between(old, {"prices.py": shops.PRICES.replace(before, after)})

    one, other = made("RATE = 2", "RATE = 3"), made("best = price\n", "best = 1\n")
    assert merged([one, other]).apply(old) == other.apply(old) | merged([one, other, one]).apply(old)
    assert "RATE = 3" in merged([one, other]).apply(old)["prices.py"]
    with pytest.raises(PatchError, match="same lines"):
        merged([one, made("RATE = 2", "RATE = 4")])
