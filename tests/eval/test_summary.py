import json

import pytest

from eval.measurement import Conditions, Measurement, Status
from eval.stats import Share
from eval.summary import summarize, summary_json, summary_lines

CONDITIONS = Conditions(candidates=50, tier="A")
ROWS = (
    Measurement("right", Status.REPAIRED, correct=True, first_plausible=1, first_correct=1, fault_rank=1),
    Measurement("late", Status.REPAIRED, correct=True, first_plausible=3, first_correct=12, fault_rank=4),
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
    assert dict(summary.correct_within) == {1: Share(1, 5), 10: Share(1, 5), 50: Share(2, 5), 100: Share(2, 5)}
    assert dict(summary.located) == {1: Share(1, 5), 5: Share(2, 5)}
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
    assert told["conditions"]["tier"] == "A"
