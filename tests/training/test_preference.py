"""Pairs of repairs: their file, where they come from, how they are encoded and batched."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from data.records import example
from repair.errors import InputError, SuiteError
from repair.views import Hunk, View
from tests.training.pieces import compact_encoder, numbered_encoder, record, rejected
from training.batches import Batch, Position
from training.config import DataConfig, ObjectiveConfig
from training.contrast import EncodedPairs, PreferenceBatches, figures, margins, remembered_margins
from training.encoding import ExampleEncoder, weigh
from training.preference import PreferencePair, encode_pair, pairs_of_records, read_pairs, write_pairs

ENCODER = compact_encoder()
CONFIG = DataConfig(row_length=256, rows=4)
OBJECTIVE = ObjectiveConfig()


def pair(number: int, text: str = "left * right") -> PreferencePair:
    made = example(record(number))
    (hunk,) = made.hunks
    return PreferencePair(made.view, made.hunks, (replace(hunk, text=hunk.text.replace("left + right", text)),), "test")


PAIRS = [pair(n) for n in range(23)]


def encoded(config: DataConfig = CONFIG) -> EncodedPairs:
    return EncodedPairs(PAIRS, ENCODER, OBJECTIVE, config)


def test_pairs_are_written_and_read_back(tmp_path: Path):
    clean = PreferencePair(PAIRS[0].view, (), PAIRS[0].worse, "feedback")
    assert write_pairs(tmp_path / "pairs.jsonl", [*PAIRS, clean]) == 24
    assert read_pairs(tmp_path / "pairs.jsonl") == [*PAIRS, clean]


def bad(**changes: object) -> dict[str, object]:
    view = {"path": "m.py", "language": "python", "first_line": 3, "lines": ["x = 1", "y = 2"]}
    own = {"view": view, "better": [{"first": 3, "last": 3, "text": "x = 2"}], "worse": []}
    for name, value in changes.items():
        key, _, inner = name.partition("__")
        own[key] = {**view, inner: value} if inner else value
    return own


@pytest.mark.parametrize(
    ("row", "field", "told"),
    [
        (bad(view=None), "view", "view must be an object"),
        (bad(view__lines="x"), "view.lines", "must be a list of texts"),
        (bad(view__first_line="3"), "view.first_line", "must be a number"),
        (bad(view__error=4), "view.error", "must be a text"),
        (bad(view__frames=["3"]), "view.frames", "must be a list of numbers"),
        (bad(better=7), "better", "must be a list of hunks"),
        (bad(worse=[{"first": 3}]), "worse.last", "must be a number"),
        (bad(worse=[{"first": 9, "last": 9, "text": "x"}]), "worse", "not among those shown"),
        (bad(worse=[{"first": 4, "last": 2, "text": "x"}]), "worse", "is no range"),
        (bad(worse=[{"first": 3, "last": 3, "text": "x = 2"}]), "worse", "the same repair"),
        ([], "row", "row must be an object"),
    ],
)  # fmt: skip
def test_a_bad_row_is_named_by_line_and_field(tmp_path: Path, row: object, field: str, told: str):
    file = tmp_path / "pairs.jsonl"
    file.write_text(f"{json.dumps(bad())}\n\n{json.dumps(row)}\n")
    with pytest.raises(SuiteError, match=told) as caught:
        read_pairs(file)
    assert (caught.value.line, caught.value.field) == (3, field)
    assert str(caught.value).startswith(f"{file}:3: ")


def test_files_without_pairs_are_refused(tmp_path: Path):
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "torn").write_text('{"view": ')
    for name, told in {"empty": "has no pairs", "torn": "torn:1: ", "missing": "No such file"}.items():
        with pytest.raises(InputError, match=told):
            read_pairs(tmp_path / name)


def test_feedback_gives_each_rejected_repair_against_each_accepted_one():
    own = record(1)
    wrong, silly = own.fixed.replace("+", "*"), own.fixed.replace("+", "/")
    other = replace(own, fixed=own.fixed.replace("left + right", "right + left"))
    clean = record(5, clean=True)
    lonely = rejected(record(7), record(7).fixed.replace("+", "*"))
    elsewhere = replace(rejected(own, silly), first_line=40)  # the same text in another place
    harmful = rejected(clean, clean.fixed.replace("+", "-"))
    found = list(pairs_of_records([rejected(own, wrong), own, other, elsewhere, rejected(own, wrong), clean,
                                   lonely, harmful, record(9), rejected(own, own.fixed)]))  # fmt: skip
    said = {(p.better[0].text.split("= ")[1] if p.better else "ok", p.worse[0].text.split("= ")[1]) for p in found}
    assert said == {
        ("left + right", "left * right"), ("left + right", "left / right"), ("right + left", "left * right"),
        ("right + left", "left / right"), ("right + left", "left + right"), ("ok", "left - right"),
    }  # fmt: skip
    assert len(found) == 6
    assert {p.view for p in found} == {example(own).view, example(clean).view}


@pytest.mark.parametrize("encoder", [ENCODER, numbered_encoder()], ids=["compact", "numbered"])
def test_both_sides_have_one_prompt_and_only_answers_count(encoder: ExampleEncoder):
    long = pair(3, "left * right * " * 12 + "1")
    whole = encode_pair(long, encoder, OBJECTIVE, 10_000)
    assert whole is not None
    for limit in range(len(whole[1]) - 30, len(whole[1]) + 1):
        sides = encode_pair(long, encoder, OBJECTIVE, limit)
        if sides is None:
            continue
        better, worse = sides
        starts = [int(np.flatnonzero(side.answer)[0]) for side in sides]
        assert starts[0] == starts[1]
        assert better.example.ids[: starts[0]].tolist() == worse.example.ids[: starts[0]].tolist()
        assert max(map(len, sides)) <= limit
    better, worse = whole
    tokens = encoder.encode(example(record(3)), 10_000)
    anchor = weigh(tokens, OBJECTIVE, clean=False).weights
    assert better.example.weights[tokens.prompt :].tolist() == anchor[tokens.prompt :].tolist()
    assert not better.example.weights[: tokens.prompt].any()
    assert not worse.example.weights.any()
    assert encode_pair(long, encoder, OBJECTIVE, 40) is None


def test_a_batch_marks_the_answers_of_both_sides_under_their_labels():
    stream = iter(PreferenceBatches(encoded(), np.arange(23, dtype=np.float32), CONFIG, seed=0))
    batch = next(stream)
    assert batch.preference is not None
    own, side = batch.preference.pair, batch.preference.side
    count = len(batch.preference.reference)
    assert set(own.ravel().tolist()) == {-1, *range(count)}
    assert (own[batch.segments == 0] == -1).all()
    assert set(side.ravel().tolist()) == {-1.0, 0.0, 1.0}
    assert ((batch.weights > 0) == (side > 0)).all()  # every token of the better answer is learned, none of the worse
    for number, reference in enumerate(batch.preference.reference):
        source = PAIRS[int(reference)]
        for sign, hunks in ((1.0, source.better), (-1.0, source.worse)):
            tokens = ENCODER.encode(replace(example(record(0)), view=source.view, hunks=hunks), 10_000)
            labels = batch.labels[(own == number) & (side == sign)]
            assert labels.tolist() == tokens.ids[tokens.prompt :].tolist()


def test_each_pair_comes_once_in_a_pass_with_its_own_reference():
    own = encoded()
    stream = PreferenceBatches(own, np.arange(23, dtype=np.float32), CONFIG, seed=0)
    seen: list[float] = []
    order: list[list[float]] = []
    for batch in stream:
        if stream.position.pool:
            order.append(batch.preference.reference.tolist())
            break
        seen += batch.preference.reference.tolist()
    assert sorted(seen) == list(range(23))
    assert order[0] != seen[: len(order[0])]  # another order in the next pass
    assert stream.position == Position(1, 1)


def test_a_stream_goes_on_from_any_position_as_if_never_stopped():
    own, reference = encoded(), np.zeros(23, np.float32)
    whole = list(islice(PreferenceBatches(own, reference, CONFIG, 3), 24))
    stream, positions = PreferenceBatches(own, reference, CONFIG, 3), []
    for _ in islice(stream, 24):
        positions.append(stream.position)
    assert positions[-1].pool >= 1
    for stop in (1, 9, 20):
        rest = islice(PreferenceBatches(own, reference, CONFIG, 3, positions[stop - 1]), 24 - stop)
        assert all((a.ids == b.ids).all() for a, b in zip(rest, whole[stop:], strict=True))


def test_pairs_that_fit_no_batch_are_counted():
    long = pair(30, "left * right * " * 90 + "1")
    assert EncodedPairs([*PAIRS, long], ENCODER, OBJECTIVE, CONFIG).too_long == 1
    longest = max(len(side) for both in encoded().sides for side in both)
    narrow = replace(CONFIG, row_length=longest, rows=1)  # either side fits, both do not
    with pytest.raises(InputError, match="none of 23 preference pairs fits into 1 rows"):
        encoded(narrow)


def by_length(batch: Batch) -> np.ndarray:
    """A stand-in for a model: each token of an answer has log-probability -1."""
    assert batch.preference is not None
    return np.array([
        -batch.preference.side[batch.preference.pair == n].sum() for n in range(len(batch.preference.reference))
    ])  # fmt: skip


def test_margins_come_in_the_order_of_the_pairs_and_are_measured_once(tmp_path: Path):
    pairs = [pair(0), pair(1, "left * right * right"), pair(2, "left")]
    own = EncodedPairs(pairs, ENCODER, OBJECTIVE, CONFIG)
    lengths = [[int(side.answer.sum()) for side in both] for both in own.sides]
    found = remembered_margins(tmp_path / "reference", own, CONFIG, by_length)
    assert found.tolist() == [worse - better for better, worse in lengths]
    again = remembered_margins(tmp_path / "reference", own, CONFIG, lambda _: 1 / 0)  # type: ignore[arg-type,return-value]
    assert again.tolist() == found.tolist()
    others = EncodedPairs(pairs[:2], ENCODER, OBJECTIVE, CONFIG)
    assert remembered_margins(tmp_path / "reference", others, CONFIG, by_length).tolist() == found[:2].tolist()
    assert figures(np.array([-1.0, 2.0, 0.0, 3.0])) == {"pairs": 4, "preferred": 0.5, "margin": 1.0}
    with pytest.raises(InputError, match="no finite probability"):
        margins(own, CONFIG, lambda batch: by_length(batch) * np.inf)


def test_a_view_without_fault_may_be_better():
    view = View("m.py", "python", 1, ("x = 1", "y = 2"))
    both = encode_pair(PreferencePair(view, (), (Hunk(1, 1, "x = 2"),)), ENCODER, ObjectiveConfig(clean=0.5), 100)
    assert both is not None
    assert both[0].example.weights[both[0].answer > 0].tolist() == [1.5, 1.0]  # <|ok|>, <|eot|>
