"""What the loop decides: halves, patterns, the plan, quotas, the comparison, and what is told of it."""

import json
import re
from collections import Counter
from dataclasses import replace

import pytest

from eval.clusters import clusters
from eval.improvement import (
    FLOOR,
    Built,
    GateRow,
    Row,
    Tuned,
    class_of,
    fitting,
    halves,
    labelled,
    plan,
    quotas,
)
from eval.improvement_effect import compare
from eval.improvement_page import report_html
from eval.improvement_report import Report, Step, report_json, report_markdown
from eval.measurement import Measurement, Status, Stop
from eval.stats import Share
from eval.suites.rows import Case
from repair.mutate.mutation import MIX

NONE, REPAIRED = Status.NONE_FOUND, Status.REPAIRED


def failed(name="a", bug_type="condition", **values):
    known = {"correct": False, "fault_rank": 1, "in_pool": False, "stop": Stop.EXHAUSTED, "bug_type": bug_type}
    return Measurement(name, NONE, **{**known, **values})


def solved(name="a", bug_type="condition"):
    return Measurement(name, REPAIRED, correct=True, first_plausible=1, first_correct=1, bug_type=bug_type)


def row(number, fault="+"):
    fixed = f"def f{number}(a, b):\n    return a * b\n"
    return Row("s", Case(f"{number}{fault}", "python", fixed.replace("*", fault), "assert 1\n", fixed_code=fixed))


def test_halves_are_apart_whole_and_keep_faults_of_one_program_together():
    rows = [row(number, fault) for number in range(40) for fault in "+-"]
    steering, measuring = halves(rows)
    assert sorted(r.name for r in (*steering, *measuring)) == sorted(r.name for r in rows)
    assert min(len(steering), len(measuring)) >= 20
    assert not {r.case.fixed_code for r in steering} & {r.case.fixed_code for r in measuring}
    assert halves(list(reversed(rows))) == (steering, measuring)  # neither the order nor the suite's file decides


def test_rows_are_limited_to_what_fits_at_worst():
    assert fitting(8, 60, 2) == 180
    assert 3 * 8 * fitting(8, 60, 2) / 2 <= 0.6 * 3600
    assert fitting(100, 1, 1) == 1


def test_classes_of_cases_are_their_own_or_come_from_the_reference():
    assert class_of(row(1).case) == "arithmetic"
    assert class_of(replace(row(1).case, bug_type="condition")) == "condition"
    assert class_of(replace(row(1).case, bug_type="Misused thing")) == "arithmetic"
    assert class_of(replace(row(1).case, fixed_code=None)) == "unnamed"
    found = labelled(row(1), failed("1+", ""))
    assert (found.id, found.bug_type) == ("s/1+", "arithmetic")


def test_the_plan_follows_the_failures_and_keeps_every_class():
    made = plan([failed()] * 6 + [failed(bug_type="integer")] * 2 + [solved()] * 9)
    assert made.trains
    assert sum(made.shares.values()) == pytest.approx(1)
    assert set(made.shares) == set(MIX)
    for name, share in made.shares.items():
        assert share >= FLOOR * MIX[name] / sum(MIX.values())
    floor = FLOOR * MIX["condition"] / sum(MIX.values())
    assert made.shares["condition"] - floor == pytest.approx(0.75 * (1 - FLOOR))
    assert made.patterns == {"localized-but-no-fix-in-pool": 8}


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([solved()] * 3, "nothing failed"),
        (
            [failed(in_pool=True, stop=Stop.SECONDS)] * 9 + [failed()],
            "9 of 10 failures are 'timed-out'. Not a matter of training first: judge fa",
        ),
        ([failed(proposed=3, unreadable=3)] * 3, "3 of 3 failures are 'unreadable'. Teach the model the format"),
        ([failed(fault_rank=None, in_pool=None)] * 3, "'undiagnosed'. Give these tasks a reference"),
        ([failed(bug_type="unnamed")] * 3, "no failure is of a class that faults can be injected of"),
    ],
)
def test_the_plan_says_when_training_cannot_help(found, told):
    made = plan(found)
    assert not made.trains
    assert told in made.reason


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ({"a": 99, "b": 99, "c": 99}, {"a": 50, "b": 30, "c": 20}),
        ({"a": 10, "b": 99, "c": 99}, {"a": 10, "b": 54, "c": 36}),  # what a lacks goes to the others
        ({"a": 3, "c": 4}, {"a": 3, "b": 0, "c": 4}),
        ({}, {"a": 0, "b": 0, "c": 0}),
    ],
)
def test_quotas_keep_to_the_shares_and_to_what_is_there(there, expected):
    assert quotas({"a": 0.5, "b": 0.3, "c": 0.2}, 100, there) == expected


def test_quotas_of_less_than_one_pair_a_class_go_to_the_largest():
    assert quotas({"a": 0.4, "b": 0.3, "c": 0.3}, 2, Counter(a=9, b=9, c=9)) == {"a": 1, "b": 1, "c": 0}


def test_the_comparison_counts_the_rows_known_in_both():
    before = [solved("1"), failed("2"), failed("3"), failed("4", "integer"), replace(solved("5"), correct=None)]
    after = [failed("1"), solved("2"), solved("3"), solved("4", "integer"), solved("5"), solved("6")]
    found = compare([*before, Measurement("6", Status.UNSCORED)], after)
    assert (found.before, found.after, found.unknown) == (Share(1, 4), Share(3, 4), 1)
    assert (found.gained, found.lost) == (("2", "3", "4"), ("1",))
    assert found.difference == 0.5
    assert found.p_value == pytest.approx(10 / 16)  # 1 against 3: two-sided binomial
    low, high = found.interval
    assert -1 <= low < 0.5 < high <= 1
    assert [(c.bug_type, c.before.count, c.after.count, c.after.total) for c in found.changes] == [
        ("condition", 1, 2, 3), ("integer", 0, 1, 1),
    ]  # fmt: skip
    assert [(m.pattern.value, m.before, m.after) for m in found.patterns] == [
        ("solved", 1, 4), ("localized-but-no-fix-in-pool", 3, 1), ("unknown", 1, 0),
    ]  # fmt: skip


def test_rows_that_the_clock_ended_are_told():
    slow = failed("1", stop=Stop.SECONDS)
    found = compare([slow, failed("2")], [solved("1"), failed("2")])
    assert found.cut == (1, 0)


def test_the_comparison_of_nothing_and_of_equals():
    nothing = compare([], [])
    assert (nothing.difference, nothing.interval, nothing.p_value) == (None, None, 1.0)
    same = compare([solved("1"), failed("2")], [solved("1"), failed("2")])
    assert (same.difference, same.gained, same.lost) == (0.0, (), ())
    assert same.interval[0] < -0.3 < 0.3 < same.interval[1]  # two rows that did not change are no certainty


@pytest.fixture
def report():
    steering = [failed("<b>s</b>/1", reference_diff="@@ -1 +1 @@\n-<u>\n+y\n")] * 3 + [solved()]
    made = plan(steering)
    gate = GateRow("exact@1", 0.2, 0.1, -0.1, -0.2, None, 40, "worse")
    tuned = Tuned(
        "out/candidate", "", "refused", "exact@1", reasons=("exact@1 fell",), rows=(gate,),
        losses=((1, 2.0), (2, 1.5)), heldout=((0, 2.2), (2, 1.9)),
    )  # fmt: skip
    found = compare([failed("<i>x</i>"), solved("y")], [solved("<i>x</i>"), solved("y")])
    return Report(
        {"model": "embedded"}, (Step("evaluate", 300.0, "4 rows"),), Share(1, 4), (("z", "flaky"),), made,
        Built({"condition": 90, "clean": 10}, {"condition": 30}, 500, {"MIT": 100}), tuned, found,
        clusters(steering),
    )  # fmt: skip


def test_a_refusal_is_told_as_one_and_the_effect_all_the_same(report):
    assert report.verdict == (
        "The gate's answer was refused: nothing is taken. On the measured half 1 of 2 became 2 correct (1 gained, "
        "0 lost), which is within chance."
    )
    taken = replace(report, tuned=replace(report.tuned, adapter="out/adapter", forced=True))
    assert taken.verdict.startswith("An adapter is taken although the gate's answer was refused (--force): out/adapter")
    stopped = replace(report, tuned=None, comparison=None, built=None, plan=plan([solved()]))
    assert stopped.verdict.startswith("Nothing was trained: nothing failed")
    assert "Gate" not in report_markdown(stopped)
    assert "The gate:" not in report_html(stopped)


def test_markdown_and_json_hold_every_figure(report):
    text = report_markdown(report)
    assert re.search(r"\| condition +\| 3 +\| 4 +\| localized-but-no-fix-in-pool +\| \d+ % +\| 90 ", text)
    assert re.search(r"\| exact@1 \* +\| 0.2000 +\| 0.1000 +\| - ", text)
    assert "- exact@1 fell" in text
    assert "- 3 rows: condition: right line, but no candidate is the fix; " in text
    assert "inject more bugs of the class 'condition'" in text
    assert re.search(r"\| localized-but-no-fix-in-pool +\| 1 +\| 0 +\| -1 ", text)
    assert "Newcombe's for paired shares" in text
    assert "gained: <i>x</i>\nlost: none" in text
    assert "the clock" not in text
    cut = replace(report, comparison=replace(report.comparison, cut=(5, 1)))
    assert "the clock ended 5 unsolved rows before and 1 after" in report_markdown(cut)
    assert "the clock ended 5 unsolved rows before and 1 after" in report_html(cut)
    value = json.loads(report_json(report))
    assert value["comparison"]["after"] == {"count": 2, "total": 2}
    assert value["clusters"][0]["needs"] == ["condition"]
    assert value["tuned"]["losses"] == [[1, 2.0], [2, 1.5]]
    assert value["verdict"] == report.verdict


def test_the_page_needs_nothing_and_escapes_names(report):
    page = report_html(report)
    assert "<i>x</i>" not in page
    assert "&lt;i&gt;x&lt;/i&gt;" in page
    assert "<u>" not in page
    assert "- &lt;u&gt;" in page
    assert not re.search(r"<script|https?://|\$[a-z]", page)
    for told in (
        "1 → 2",
        "5.0 min",
        "exact@1 fell",
        "flaky",
        "MIT 100",
        "polyline",
        "localized-but-no-fix-in-pool",
        "inject more bugs",
    ):
        assert told in page
