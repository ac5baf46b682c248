"""Variants of training examples: the same fault written differently, reproducible, and the hardest of them chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.records import example
from tests.training.pieces import compact_encoder, record, records, write_dataset
from training.attacks import attacked, hardest
from training.batches import Example
from training.config import DataConfig, ObjectiveConfig, Recipe
from training.corpus import Corpus, read_corpus

ENCODER = compact_encoder()


def read(folder: Path, row_length: int = 512, **objective: float) -> Corpus:
    config = DataConfig(dataset=(str(folder),), row_length=row_length)
    return read_corpus(Recipe(data=config, objective=ObjectiveConfig(**objective)), "train", ENCODER)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def run(lines: Sequence[str]) -> list[int]:
    names: dict[str, object] = {}
    exec("\n".join(lines), names)
    (function,) = (value for key, value in names.items() if key.startswith("join"))
    return [function(left, right) for left in range(-3, 9) for right in range(-3, 9)]  # type: ignore[operator]


def repaired(pair: object) -> list[str]:
    view, hunks = pair.view, pair.hunks  # type: ignore[attr-defined]
    lines = list(view.lines)
    for hunk in reversed(hunks):
        lines[hunk.first - view.first_line : hunk.last - view.first_line + 1] = hunk.text.split("\n")
    return lines


def test_variants_differ_in_text_and_in_nothing_else():
    own = example(record(4))
    variants = list(attacked(record(4), 6, seed=0))
    assert len({pair.view.lines for pair in variants}) == 6
    for pair in variants:
        assert pair.view.lines != own.view.lines
        assert run(pair.view.lines) == run(own.view.lines)
        assert run(repaired(pair)) == run(repaired(own)) != run(own.view.lines)
        assert pair.bug_classes == own.bug_classes


def test_variants_depend_on_seed_and_epoch_alone():
    def texts(seed: int, epoch: int) -> list[object]:
        return [pair.view.lines for pair in attacked(record(2), 3, seed=seed, epoch=epoch)]

    assert texts(0, 0) == texts(0, 0)
    assert texts(0, 0) != texts(0, 1)
    assert texts(0, 0) != texts(1, 0)


def test_a_corpus_encodes_variants_with_its_weights(tmp_path: Path):
    folder = write_dataset(tmp_path / "set", train=records(3, 1))
    corpus = read(folder, attacks=3, pointer=5.0)
    variants = corpus.variants(1)
    assert len(variants) == 3
    assert all(v.ids.tolist() != corpus.example(1).ids.tolist() for v in variants)
    assert {float(v.weights.max()) for v in variants} == {5.0}
    assert [v.ids.tolist() for v in variants] == [v.ids.tolist() for v in corpus.variants(1, epoch=0)]
    assert [v.ids.tolist() for v in variants] != [v.ids.tolist() for v in corpus.variants(1, epoch=1)]
    assert corpus.variants(3)  # a faultless one has variants too
    assert read(folder).variants(1) == []
    control = DataConfig(dataset=(str(folder),), control="shuffled")
    shuffled = read_corpus(Recipe(data=control, objective=ObjectiveConfig(attacks=3)), "train", ENCODER)
    assert shuffled.variants(1) == []  # they would tell the right answer


def test_variants_that_fit_no_row_are_left_out(tmp_path: Path):
    folder = write_dataset(tmp_path / "set", train=records(3))
    whole = read(folder, attacks=8)
    bare = replace(whole.pairs[0], view=replace(whole.pairs[0].view, test="", context=()))
    least = len(ENCODER.encode(bare, 512))
    narrow = read(folder, row_length=least + 4, attacks=8)
    found = narrow.variants(0)
    assert len(found) < len(whole.variants(0))
    assert all(len(v.ids) <= least + 4 for v in found)


def of(*ids: int) -> Example:
    return Example(np.array(ids, np.uint32), np.ones(len(ids), np.float32))


def test_the_hardest_of_each_group_is_chosen_in_one_call():
    groups = [[of(1), of(5), of(3)], [of(9)], [of(2), of(2, 0)], [of(7), of(8)]]
    asked: list[int] = []

    def losses(examples: Sequence[Example]) -> np.ndarray:
        asked.append(len(examples))
        return np.array([np.nan if e.ids[0] == 8 else float(e.ids[0]) for e in examples])

    chosen = hardest(groups, losses)
    assert [e.ids.tolist() for e in chosen] == [[5], [9], [2], [7]]
    assert asked == [7]


def test_losses_of_another_number_are_refused():
    with pytest.raises(ValueError, match="1 losses of 2 examples"):
        hardest([[of(1), of(2)]], lambda _: np.zeros(1))
    assert hardest([], lambda _: np.zeros(0)) == []
