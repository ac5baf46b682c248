from __future__ import annotations

import json
import math
import re
from dataclasses import asdict

import pytest

from training.config import WatchConfig
from training.spikes import ENOUGH, WINDOW, History, Verdict, judge

WATCH = WatchConfig(spike=3.0, skip=3)


def after(losses, watch=WATCH, history=None):
    history = history or History()
    verdicts = []
    for loss in losses:
        judged = judge(history, loss, 1.0, watch)
        history = judged.history
        verdicts.append(judged.verdict)
    return history, verdicts


def test_a_spike_is_skipped_and_forgotten_by_the_median():
    history, verdicts = after([2.0] * ENOUGH + [6.1, 6.0, 2.0])
    assert verdicts[ENOUGH:] == [Verdict.SKIP, Verdict.KEEP, Verdict.KEEP]
    assert 6.1 not in history.losses
    assert history.bad == 0


def test_the_first_steps_are_no_spikes():
    _, verdicts = after([1.0, 9.0, 1.0])
    assert set(verdicts) == {Verdict.KEEP}


def test_bad_ones_in_a_row_stop_the_run_and_a_good_one_between_does_not():
    _, verdicts = after([2.0] * ENOUGH + [90.0, 90.0, 2.0, 90.0, 90.0, 90.0])
    assert verdicts[ENOUGH:] == ["skip", "skip", "keep", "skip", "skip", "stop"]


@pytest.mark.parametrize(("loss", "norm", "told"), [(math.nan, 1.0, "loss is nan"), (1.0, math.inf, "norm.*inf")])
def test_what_is_not_finite_is_never_kept(loss, norm, told):
    judged = judge(History(), loss, norm, WatchConfig(spike=0.0, skip=2))
    assert judged.verdict is Verdict.SKIP
    assert judged.history.losses == ()
    again = judge(judged.history, loss, norm, WatchConfig(spike=0.0, skip=2))
    assert again.verdict is Verdict.STOP
    assert re.search(told, again.reason)


def test_without_a_factor_any_finite_loss_is_kept():
    _, verdicts = after([1.0] * 20 + [1e9], WatchConfig(spike=0.0))
    assert verdicts[-1] is Verdict.KEEP


def test_a_negative_median_has_no_multiple():
    _, verdicts = after([-1.0] * 20 + [0.5])
    assert verdicts[-1] is Verdict.KEEP


def test_a_history_that_went_through_json_decides_alike():
    losses = [2.0 + 0.01 * n for n in range(2 * WINDOW)]
    history, _ = after([*losses, 90.0, 90.0])
    read = History.read(json.loads(json.dumps(asdict(history))))
    assert read == history
    assert len(read.losses) == WINDOW
    assert judge(read, 90.0, 1.0, WATCH).verdict is Verdict.STOP
    assert History.read({}) == History()
