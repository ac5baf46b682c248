from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from repair.errors import InputError, ModelError
from repair.explain.attention import attention_evidence, attention_map, attention_statistics
from repair.explain.glass import Glass, Seen, Watch
from repair.explain.passages import Passage, passage
from repair.explain.values import AttentionMap, Method, Subject, UnitKind
from repair.views import Hunk
from tests.repair.explain.insides import SUBJECT, VIEW, embedded, tiny


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Glass:
    return tiny("gemma2", tmp_path_factory.mktemp("gemma2"))


def whole(glass: Glass, found: Passage) -> list[Tensor]:
    """(heads, n, n) of each layer."""
    return list(glass.run(found.ids, Watch(rows=tuple(range(len(found.ids))), attention=True)).attention)


def of(glass: Glass, subject: Subject = SUBJECT) -> Passage:
    return passage(glass.local().answers, subject.view, subject.hunks)


def check(glass: Glass, found: AttentionMap) -> None:
    shape = (len(glass.layers), glass.heads)
    assert found.entropy.shape == found.sink.shape == found.same.shape == shape
    assert found.entropy.min() >= 0
    assert found.entropy.max() <= np.log(len(of(glass).ids))
    for masses in (found.sink, found.same, found.lines, found.lines.sum(1), found.flow, found.flow.sum()):
        assert np.min(masses) >= 0
        assert np.max(masses) <= 1 + 1e-5
    assert found.lines.shape == (len(found.rows), len(found.units))
    assert all(np.isfinite(a).all() for a in (found.entropy, found.sink, found.same, found.lines, found.flow))


def test_rows_sum_to_one_and_masses_are_shares() -> None:
    glass = embedded()
    for layer in whole(glass, of(glass)):
        torch.testing.assert_close(layer.sum(-1), torch.ones(layer.shape[:2]), atol=1e-5, rtol=0)
    check(glass, attention_map(glass, SUBJECT))
    check(glass, attention_map(glass, SUBJECT, layer=2, head=1))


def test_lines_are_the_attention_of_units_ends_summed_over_the_tokens_of_units() -> None:
    glass = embedded()
    found, given = attention_map(glass, SUBJECT, layer=3, head=4), of(glass)
    weights = whole(glass, given)[3][4].numpy()
    names = {f"answer: {text}" for text in given.tokens[given.prompt :]}
    assert set(found.rows) == {unit.label for unit in given.units} | names
    for at, label in enumerate(found.rows[: len(given.units)]):
        unit = next(n for n, u in enumerate(given.units) if u.label == label)
        for other in range(len(given.units)):
            mass = sum(weights[given.ends[unit], at] for at, owner in enumerate(given.owner) if owner == other)
            assert found.lines[at, other] == pytest.approx(mass, abs=1e-5)
    pooled = attention_map(glass, SUBJECT)
    heads = [[attention_map(glass, SUBJECT, layer=n, head=h).lines for h in range(glass.heads)] for n in (0, 7)]
    np.testing.assert_allclose(attention_map(glass, SUBJECT, layer=7).lines, np.mean(heads[1], 0), atol=1e-6)
    by_layer = [attention_map(glass, SUBJECT, layer=n).lines for n in range(len(glass.layers))]
    np.testing.assert_allclose(pooled.lines, np.mean(by_layer, 0), atol=1e-6)


def test_the_flow_is_attention_rollout_however_the_rows_are_cut() -> None:
    glass, given = embedded(), of(embedded())
    rolled = torch.eye(len(given.ids))
    for layer in whole(glass, given):
        rolled = 0.5 * (layer.mean(0) + torch.eye(len(given.ids))) @ rolled
    answer = rolled[given.prompt - 1 : -1].mean(0).numpy()
    expected = [answer[[o == unit for o in given.owner]].sum() for unit in range(len(given.units))]
    found = attention_map(glass, SUBJECT)
    np.testing.assert_allclose(found.flow, expected, atol=1e-5)
    cut = attention_map(glass, SUBJECT, memory=400_000)  # a few rows at a time
    for name in ("flow", "entropy", "sink", "same", "lines"):
        np.testing.assert_allclose(getattr(cut, name), getattr(found, name), atol=1e-5)


def test_statistics_of_a_bare_prompt_are_those_of_its_lines() -> None:
    glass = embedded()
    bare = passage(glass.local().answers, VIEW, None)
    found = attention_statistics(glass, bare)
    weights = [layer[:, sorted({*bare.ends, bare.prompt - 1})] for layer in whole(glass, bare)]
    own = [
        [np.mean([w[h, end, [o == n for o in bare.owner]].sum() for n, end in enumerate(bare.ends)]) for h in range(6)]
        for w in (layer.numpy() for layer in whole(glass, bare))
    ]
    np.testing.assert_allclose(found.same, own, atol=1e-5)
    rows = torch.stack(weights)[:, :, : len(bare.ends)]
    np.testing.assert_allclose(found.sink, rows[..., 0].mean(-1), atol=1e-5)
    np.testing.assert_allclose(found.entropy, torch.special.entr(rows).sum(-1).mean(-1), atol=1e-4)


@pytest.mark.parametrize("method", [Method.ATTENTION, Method.ROLLOUT])
def test_attention_as_evidence(method: Method) -> None:
    glass = embedded()
    found, given = (
        attention_evidence(glass, SUBJECT, method),
        attention_map(glass, SUBJECT, layer=len(glass.layers) - 1),
    )
    assert [s.unit for s in found.scores] == list(given.units)
    answer = [at for at, row in enumerate(given.rows) if row.startswith("answer: ")]
    expected = given.flow if method is Method.ROLLOUT else given.lines[answer].mean(0)
    np.testing.assert_allclose([s.score for s in found.scores], expected, atol=1e-5)
    new, old = glass.local().score(VIEW, [SUBJECT.hunks, (Hunk(16, 16, VIEW.lines[-1]),)])
    assert found.value == pytest.approx(new - old, abs=1e-5)
    assert found.notes
    with pytest.raises(InputError, match="attention-rollout"):
        attention_evidence(glass, SUBJECT, Method.RIDGE)


def test_layers_and_heads_that_are_not_there_and_changes_elsewhere() -> None:
    with pytest.raises(InputError, match="layer 8: the model has layers 0 to 7"):
        attention_map(embedded(), SUBJECT, layer=8)
    with pytest.raises(InputError, match="head 6"):
        attention_map(embedded(), SUBJECT, head=6)
    with pytest.raises(InputError, match="does not lie"):
        attention_map(embedded(), replace(SUBJECT, hunks=(Hunk(3, 3, "x"),)))


def test_an_eager_model_works_the_same_and_says_so(gemma: Glass) -> None:
    found = attention_map(gemma, SUBJECT)
    check(gemma, found)
    assert any("eager" in note for note in found.notes)
    given = of(gemma)
    weights = torch.stack(whole(gemma, given)).mean((0, 1)).numpy()
    code = [n for n, unit in enumerate(given.units) if unit.kind is UnitKind.CODE]
    row = found.rows.index("line 16")
    expected = [weights[given.ends[code[-1]], [o == n for o in given.owner]].sum() for n in code]
    np.testing.assert_allclose(found.lines[row, code], expected, atol=1e-5)


class Cramped(Glass):
    """A network on a machine that holds the attention of so many layers and rows."""

    room = 0

    def run(self, ids: Sequence[int], watch: Watch | None = None, *, embeds: Tensor | None = None) -> Seen:
        rows = len(ids) if self._eager else len(watch.rows if watch else ())
        if rows * len(self.layers) > self.room:
            raise ModelError("the model failed while computing (CUDA out of memory. Tried to allocate 2.00 GiB)")
        return super().run(ids, watch, embeds=embeds)


def cramped(glass: Glass, room: int) -> Cramped:
    model = glass.model
    other = Cramped(model, Path(glass.name.split("+")[0]), glass.name, adapted=glass.scalable)
    other.room = room
    return other


def test_out_of_memory_takes_fewer_rows_at_a_time() -> None:
    full, less = attention_map(embedded(), SUBJECT), attention_map(cramped(embedded(), 8 * 20), SUBJECT)
    np.testing.assert_allclose(less.lines, full.lines, atol=1e-5)
    np.testing.assert_allclose(less.flow, full.flow, atol=1e-5)
    assert less.notes == ()


def test_out_of_memory_takes_fewer_layers_and_says_so(gemma: Glass) -> None:
    small = cramped(gemma, len(of(gemma).ids))
    full, less = attention_map(gemma, SUBJECT), attention_map(small, SUBJECT)
    np.testing.assert_allclose(less.entropy, full.entropy[:1], atol=1e-5)
    assert any("layers 0 to 0 alone (of 3)" in note for note in less.notes)
    assert len(small.layers) == len(small.decoder.layers) == 3
    with pytest.raises(ModelError, match="layer 2 does not fit in memory"):
        attention_map(small, SUBJECT, layer=2)
    small.room = 0
    with pytest.raises(ModelError, match="out of memory"):
        attention_map(small, SUBJECT)
