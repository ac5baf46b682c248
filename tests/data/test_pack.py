"""Rows for training: every token where it belongs, weights by role, nothing across rows."""

import numpy as np
import pytest

from data.mutants import Example
from data.pack import Encoded, encode_example, pack, write_packed
from data.tokenizer import LineEncoder, train_tokenizer
from repair.prompts import SPECIALS
from repair.views import Hunk, View

CODE = ("def area(w, h):", "    size = w * w", "    return size")


@pytest.fixture(scope="module")
def encoder():
    return LineEncoder(train_tokenizer(["\n".join(CODE)] * 4, 700))


def example(hunks):
    view = View("m.py", "python", 255, CODE, error="AssertionError", frames=(256,))
    return Example(view, hunks, ("variable",), ("variable",), "p", "area")


def names(encoded):
    return [SPECIALS[i] if i < len(SPECIALS) else "text" for i in encoded.ids]


def test_pointers_weigh_most_and_the_fault_nothing(encoder):
    encoded = encode_example(example((Hunk(256, 256, "    size = w * h"),)), encoder)
    tokens = names(encoded)
    fix = tokens.index("<|fix|>")
    assert tokens[fix + 1 : fix + 4] == ["<|L0|>", "<|L0|>", "<|txt|>"]
    assert encoded.weights[fix + 1 : fix + 4].tolist() == [30, 30, 10]
    assert set(encoded.weights[fix + 4 :].tolist()) == {10}
    faulty = slice(tokens.index("<|L255|>", tokens.index("<|code|>")) + 1, fix)
    lines = [w for w, t in zip(encoded.weights[faulty].tolist(), tokens[faulty], strict=True) if t == "text"]
    assert lines[:3] == [0, 0, 0]  # the wrong line
    assert lines[-1] == 3  # the right one after it


def test_a_clean_example_points_at_ok(encoder):
    encoded = encode_example(example(()), encoder)
    assert names(encoded)[-2:] == ["<|ok|>", "<|eot|>"]
    assert encoded.weights[-2:].tolist() == [30, 10]
    assert encoded.weights[names(encoded).index("<|code|>") + 1] == 3


def test_packing_keeps_all_that_fits_once():
    examples = [Encoded(np.full(n, n, np.uint16), np.ones(n, np.uint8)) for n in (5, 9, 3, 11, 7, 2, 8)]
    rows = list(pack(examples, 10))
    assert sorted(len(e) for row in rows for e in row) == [2, 3, 5, 7, 8, 9]
    assert all(sum(map(len, row)) <= 10 for row in rows)
    assert len(rows) == 4


def test_shards_hold_examples_side_by_side(tmp_path):
    examples = [
        Encoded(np.array([7, 8], np.uint16), np.array([0, 3], np.uint8)),
        Encoded(np.array([9], np.uint16), np.array([30], np.uint8)),
    ]
    counts = write_packed(tmp_path, "repair-000", examples, 4)
    assert counts == {"rows": 1, "tokens": 3, "examples": 2}
    loaded = {
        k: np.load(tmp_path / f"repair-000.{k}.npy", mmap_mode="r").tolist() for k in ("ids", "weights", "segments")
    }
    assert loaded == {"ids": [[7, 8, 9, 0]], "weights": [[0, 3, 30, 0]], "segments": [[1, 1, 2, 0]]}
