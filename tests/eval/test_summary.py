import json

import pytest

from eval.measurement import Conditions, Measurement, NoFault, Status, Stop
from eval.stats import Share
from eval.summary import summarize
from eval.summary_text import summary_json, summary_lines

CONDITIONS = Conditions(candidates=50, tier="A")
PLACE = {"fault_lines": (2,)}
ROWS = (
    Measurement("right", Status.REPAIRED, correct=True, first_plausible=1, first_correct=1, fault_rank=1, **PLACE),
    Measurement("late", Status.REPAIRED, correct=True, first_plausible=3, first_correct=12, fault_rank=4, **PLACE),
    Measurement("wrong", Status.REPAIRED, correct=False, first_plausible=5, wall_seconds=2),
    Measurement("who knows", Status.REPAIRED, correct=None, first_plausible=2),
    Measurement("none", Status.NONE_FOUND, correct=False),
    Measurement("bad row", Status.LEFT_OUT, reason="the buggy code passes the tests"),
    Measurement("broken", Status.UNSCORED, reason="the sandbox broke"),
)


@pytest.fixture
def summary():
    return summarize("suite", "0" * 64, CONDITIONS, ROWS)


def test_only_scored_cases_count(summary):
    assert summary.total == 7
    assert summary.plausible == Share(4, 5)
    assert summary.correct == Share(2, 5)
    assert summary.unknown == 1
    assert summary.left_out == (("bad row", "the buggy code passes the tests"),)
    assert summary.unscored == (("broken", "the sandbox broke"),)


def test_overfitting_leaves_the_unknown_out(summary):
    assert summary.overfitting == Share(1, 3)


def test_ranks(summary):
    assert dict(summary.correct_within) == {1: Share(1, 5), 5: Share(1, 5), 10: Share(1, 5), 50: Share(2, 5)}
    assert dict(summary.plausible_within)[5] == Share(4, 5)
    assert dict(summary.lines.top) == {1: Share(1, 2), 3: Share(1, 2), 5: Share(2, 2)}
    assert summary.lines.mrr.value == (1 + 1 / 4) / 2
    assert summary.mrr_correct.value == (1 + 1 / 12) / 5
    assert summary.first_plausible == 2.5


def test_settings_and_intervals_are_always_told(summary):
    lines = dict(summary_lines(summary))
    assert "50 candidates" in lines["settings"]
    assert "order model" in lines["settings"]
    assert lines["plausible"] == "4 of 5 = 80.0 % [37.6, 96.4]"


def test_json_has_intervals(summary):
    told = json.loads(json.dumps(summary_json(summary)))
    assert told["plausible"]["count"] == 4
    assert len(told["correct_within"]["10"]["interval95"]) == 2
    assert told["lines"]["top"]["5"]["count"] == 2
    assert told["conditions"]["tier"] == "A"


def test_unbiased_estimators_need_all_candidates_judged():
    rows = [
        Measurement("a", Status.REPAIRED, correct=True, judged=4, plausible_count=2, correct_count=1),
        Measurement("b", Status.NONE_FOUND, correct=False, judged=4),
    ]
    assert summarize("suite", "", CONDITIONS, rows).plausible_at == ()
    found = summarize("suite", "", Conditions(candidates=4, extra=4), rows)
    assert [(k, e.value) for k, e in found.plausible_at] == [(1, 0.25)]
    assert [(k, e.value) for k, e in found.correct_at] == [(1, 0.125)]


def test_no_fault_is_counted_over_faulty_and_clean_code():
    rows = [
        Measurement("a", Status.NONE_FOUND, no_fault=NoFault(0.1, 0.9, False, True)),
        Measurement("b", Status.NONE_FOUND, no_fault=NoFault(0.8, 0.2, True, False)),
        Measurement("c", Status.NONE_FOUND, no_fault=NoFault(0.2, 0.3, False, False)),
    ]
    found = summarize("suite", "", CONDITIONS, rows)
    assert (found.no_fault.tp, found.no_fault.fp, found.no_fault.fn, found.no_fault.tn) == (1, 1, 2, 2)
    assert "2 of 3 faultless programs are called faulty" in dict(summary_lines(found))["no fault"]
    assert found.no_fault_probability.brier == pytest.approx((0.01 + 0.64 + 0.04 + 0.01 + 0.64 + 0.49) / 6)


def test_what_the_clock_ended_is_told():
    rows = [
        Measurement("a", Status.NONE_FOUND, stop=Stop.SECONDS),
        Measurement("b", Status.NONE_FOUND, stop=Stop.EXHAUSTED),
    ]
    lines = dict(summary_lines(summarize("suite", "", CONDITIONS, rows)))
    assert lines["ended by the clock"].startswith("1 cases")
    assert "ended by the clock" not in dict(summary_lines(summarize("suite", "", CONDITIONS, rows[1:])))
