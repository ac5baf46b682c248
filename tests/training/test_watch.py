from __future__ import annotations

import io
import json
import math
from dataclasses import replace

import pytest
from rich.console import Console

from training.config import Recipe, RunConfig, WatchConfig
from training.flops import Cost
from training.live import Live, Seen, memory_in_use, rows, sample_text, seen
from training.watch import METRICS, JsonLines, Lines, Several, line, observers

SAMPLE = {
    "id": "a[b]",
    "buggy": ["x = [1", "y"],
    "proposed": ["x = [1]", "y"],
    "reference": "x = [2]\ny",
    "right": False,
}


def step(number, loss=2.0, **extras):
    return {
        "step": number, "loss": loss, "norm": 0.5, "rate": 1e-3, "tokens": 100 * number, "seconds": 1.0 * number,
        "tokens_per_second": 100.0, **extras,
    }  # fmt: skip


@pytest.fixture
def recipe(tmp_path):
    return Recipe(run=RunConfig(out=tmp_path / "run", steps=10))


def test_lines_on_disk_survive_a_torn_one_and_know_no_infinity(tmp_path):
    path = tmp_path / "deep" / "m.jsonl"
    first = JsonLines(path)
    first.record(step(1))
    first.close()
    with path.open("a") as file:
        file.write('{"step": 2, "lo')
    again = JsonLines(path)
    again.record({"step": 2, "loss": math.nan, "sample": {"score": math.inf}})
    again.close()
    told = path.read_text().split("\n")
    assert json.loads(told[0]) == step(1)
    assert json.loads(told[2]) == {"step": 2, "loss": None, "sample": {"score": None}}
    assert told[3:] == [""]


def test_plain_lines_come_every_few_seconds_but_news_at_once():
    told, now = [], [0.0]
    plain = Lines(told.append, 10, lambda: now[0])
    for number in range(1, 26):
        now[0] = float(number)
        plain.record(step(number))
    plain.record({"step": 25, "heldout": 1.5})
    plain.record({"step": 25, "skipped": "the loss is nan", "batch": "x.npz"})
    plain.record({"step": 25, "sample": SAMPLE})
    plain.close()
    assert [each.split()[1] for each in told] == ["1", "11", "21", "25", "25", "25", "25"]
    assert "held-out loss 1.5" in told[3]
    assert "the loss is nan" in told[4] and "x.npz" in told[4]
    assert "not the reference" in told[5]
    assert told[6] == line(step(25))


def test_the_loss_is_smoothed_and_records_add_up():
    now = Seen()
    for number in range(1, 6):
        now = seen(now, step(number, 4.0))
    assert now.smooth == pytest.approx(4.0)
    now = seen(now, step(6, 5.0, pointer_accuracy=0.25))
    assert 4.0 < now.smooth < 4.5
    for record in (
        {"step": 6, "heldout": 1.5},
        {"step": 6, "heldout": 1.75},
        {"step": 7, "skipped": "spike", "batch": "b"},
    ):
        now = seen(now, record)
    shown = dict(rows(now, Cost(5.0, 1000.0), (("memory", 2.0**31),)))
    assert shown["held-out loss"] == "1.7500  (best 1.5000)"
    assert shown["of peak FLOP/s"] == "50.0 %"
    assert shown["memory"] == "2.00 GiB"
    assert shown["pointer accuracy"] == "0.25"
    assert shown["skipped steps"] == "1  (spike)"
    assert now.step == 7
    assert dict(memory_in_use())["memory"] > 2**20


def test_a_sample_is_a_diff_whose_text_is_no_markup():
    text = sample_text(SAMPLE).plain
    assert text.startswith("a[b]: not the reference")
    assert "- x = [1\n" in text and "+ x = [1]" in text and "= x = [2]" in text
    assert "=" not in sample_text({**SAMPLE, "buggy": "y", "proposed": "z", "right": True}).plain


def test_a_terminal_gets_the_table_and_a_log_gets_lines(recipe):
    screen = Console(file=io.StringIO(), force_terminal=True, width=100, height=40)
    shown = observers(recipe, 10, console=screen, cost=Cost(5.0, 1000.0))
    for number in range(1, 11):
        shown.record(step(number))
    shown.record({"step": 10, "sample": SAMPLE})
    shown.close()
    drawn = screen.file.getvalue()
    assert "10/10" in drawn and "50.0 %" in drawn and "gradient norm" in drawn and "x = [1]" in drawn
    log = Console(file=io.StringIO(), force_terminal=False)
    plain = observers(recipe, 10, console=log)
    plain.record(step(1))
    plain.close()
    assert log.file.getvalue() == line(step(1)) + "\n"
    assert len((recipe.run.out / METRICS).read_text().splitlines()) == 12


def test_a_display_that_was_told_nothing_closes():
    Live(Console(file=io.StringIO(), force_terminal=True), 3).close()


def test_all_are_closed_when_one_fails():
    class Full:
        def record(self, record):
            raise OSError("no space")

        def close(self):
            raise OSError("no space")

    told = []
    plain = Lines(told.append, 10, lambda: 0.0)
    both = Several([Full(), plain])
    plain.record(step(1))
    plain.record(step(2))
    with pytest.raises(OSError, match="no space"):
        both.close()
    assert len(told) == 2


def test_event_files_hold_scalars_samples_and_settings(recipe):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    recipe = replace(recipe, watch=WatchConfig(tensorboard=True))
    told = observers(recipe, 10)
    for number in (1, 2):
        told.record(step(number, 3.0 / number, entropy=0.5))
    told.record({"step": 2, "heldout": 1.25})
    told.record({"step": 2, "sample": SAMPLE})
    told.close()
    events = EventAccumulator(str(recipe.run.out / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    assert {"loss/train", "loss/heldout", "optimizer/rate", "speed/tokens_per_second", "extra/entropy"} <= set(
        tags["scalars"]
    )
    assert [(e.step, e.value) for e in events.Scalars("loss/train")] == [(1, 3.0), (2, 1.5)]
    assert b"    x = [1]" in events.Tensors("sample/text_summary")[0].tensor_proto.string_val[0]
    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"optim.lr" in content


def test_a_resumed_run_hides_what_was_undone(recipe):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    recipe = replace(recipe, watch=WatchConfig(tensorboard=True))
    for start, numbers in ((0, (1, 2, 3, 4)), (2, (3,))):
        told = observers(recipe, 10, start=start)
        for number in numbers:
            told.record(step(number, 10.0 * (start + 1)))
        told.close()
    events = EventAccumulator(str(recipe.run.out / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss/train")] == [(1, 10.0), (2, 10.0), (3, 30.0)]
