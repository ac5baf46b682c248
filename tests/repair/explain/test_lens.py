from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from repair.errors import ModelError
from repair.explain.glass import Glass, Watch
from repair.explain.lens import lens_table, token_text
from repair.explain.passages import passage, unchanged
from repair.explain.values import Subject
from tests.repair.explain.insides import SUBJECT, VIEW, embedded, tiny


def said(glass: Glass, subject: Subject = SUBJECT) -> tuple[torch.Tensor, tuple[int, ...]]:
    """The model's own log-probabilities (positions, vocabulary) where it says the answer, and the answer's ids."""
    found = passage(glass.answers, subject.view, subject.hunks)
    with torch.no_grad():
        logits = glass.model(torch.tensor([found.ids])).logits[0, found.prompt - 1 : -1]
    return torch.log_softmax(logits.float(), -1), found.ids[found.prompt :]


def test_the_last_row_is_what_the_model_says_itself() -> None:
    glass = embedded()
    found, (likely, ids) = lens_table(glass, SUBJECT), said(glass)
    assert found.words[-1] == tuple(token_text(glass.answers, int(t)) for t in likely.argmax(-1))
    np.testing.assert_allclose(found.chance[-1], likely.max(-1).values.exp(), atol=1e-5)
    assert found.fixed[-1] == pytest.approx(float(likely.gather(1, torch.tensor(ids)[:, None]).sum()), abs=1e-3)
    kept = unchanged(VIEW, SUBJECT.hunks)
    assert [found.fixed[-1], found.original[-1]] == pytest.approx(
        glass.local().score(VIEW, [SUBJECT.hunks, kept]), abs=1e-3
    )
    assert found.notes == ()
    assert found.chance.shape == (9, len(found.positions)) == (len(found.words), len(found.words[0]))


def test_every_other_row_is_a_raw_state_normed_and_read_by_the_head() -> None:
    glass = embedded()
    found = lens_table(glass, SUBJECT)
    given = passage(glass.answers, VIEW, SUBJECT.hunks)
    hidden = glass.run(given.ids, Watch(hidden=True)).hidden
    assert len(found.fixed) == len(hidden) == 9
    for layer, states in enumerate(hidden):
        with torch.no_grad():
            normed = states / (states.pow(2).mean(-1, keepdim=True) + glass.model.config.rms_norm_eps).sqrt()
            likely = torch.log_softmax(glass.head(normed * glass.decoder.norm.weight)[given.prompt - 1 : -1], -1)
        np.testing.assert_allclose(found.chance[layer], likely.max(-1).values.exp(), atol=1e-4)
        labels = torch.tensor(given.ids[given.prompt :])[:, None]
        assert found.fixed[layer] == pytest.approx(float(likely.gather(1, labels).sum()), abs=1e-2)


def test_tokens_are_told_by_text_and_special_ones_by_name(plain: Glass) -> None:
    glass = embedded()
    found = lens_table(glass, SUBJECT)
    assert found.positions[:3] == ("<|L16|>", "<|L16|>", "<|txt|>")
    assert "".join(found.positions[3:-1]) == "    return total / len(values)"
    assert found.positions[-1] == "<|eot|>"
    assert token_text(plain.answers, 0) == "<|end|>"
    assert token_text(plain.answers, 10_000) == token_text(glass.answers, 10_000) == "<|id 10000|>"


def test_no_fault_says_the_same_twice() -> None:
    found = lens_table(embedded(), replace(SUBJECT, hunks=()))
    assert found.positions == ("<|ok|>", "<|eot|>")
    np.testing.assert_array_equal(found.fixed, found.original)


def test_other_classes(tmp_path: Path) -> None:
    gemma = tiny("gemma2", tmp_path / "gemma2")
    found, (likely, _) = lens_table(gemma, SUBJECT), said(gemma)
    np.testing.assert_allclose(found.chance[-1], likely.max(-1).values.exp(), atol=1e-5)
    assert any("changes its logits after the head" in note for note in found.notes)
    with pytest.raises(ModelError, match="last norm"):
        lens_table(tiny("gpt2", tmp_path / "gpt2"), SUBJECT)
