from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from repair.explain.glass import Glass, Watch
from repair.explain.passages import passage
from repair.explain.patching import Patched, Swap, aligned, moved, patching_grid, repaired
from repair.explain.values import Subject
from repair.views import Hunk, View
from tests.repair.explain.insides import SUBJECT, VIEW, embedded, tiny

ROUND = View(
    "sides.py", "python", 1, ("def sides(w, h):", "    if w < 0:", "        return 0", "    return w / h", "", "x = 1"),
    error="AssertionError: 0.4 != 7", test="assert sides(2, 5) == 7",
)  # fmt: skip
EVEN = Subject(ROUND, (Hunk(4, 4, "    return w + h"),))  # as many tokens, in all vocabularies here


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Glass:
    return tiny("qwen2", tmp_path_factory.mktemp("qwen2"))


def answered(subject: Subject) -> Subject:
    """The repaired program with the same answer: for lines of as many tokens."""
    return Subject(repaired(subject.view, subject.hunks), subject.hunks)


def both(glass: Glass, subject: Subject = EVEN) -> tuple[Patched, list[Swap], float]:
    """The corrupt run, the swaps of all lines in the embeddings and after all layers, and the clean run's value."""
    clean = passage(glass.answers, subject.view, subject.hunks)
    other = answered(subject)
    corrupt = passage(glass.answers, other.view, other.hunks)
    hidden = glass.run(clean.ids, Watch(hidden=True)).hidden
    pairs = aligned(subject, clean, corrupt).values()
    swaps = [
        Swap(layer, theirs, hidden[layer + 1][list(ours)])
        for ours, theirs in pairs
        for layer in range(-1, len(glass.layers))
    ]
    (value,) = glass.local().score(subject.view, [subject.hunks])
    return Patched(glass, corrupt), swaps, value


@pytest.mark.parametrize("name", ["embedded", "qwen"])
def test_swapping_all_lines_everywhere_gives_the_other_run(name: str, qwen: Glass) -> None:
    run, swaps, clean = both(embedded() if name == "embedded" else qwen)
    assert run.patched([]) == run.value != pytest.approx(clean, abs=0.05)
    assert run.patched(swaps) == pytest.approx(clean, abs=1e-3)
    assert run.patched(swaps[:1]) != pytest.approx(clean, abs=0.05)


def brute(glass: Glass, swap: Swap, subject: Subject = EVEN) -> float:
    """Log P(change) of one whole run with a hook."""
    other = answered(subject)
    found = passage(glass.answers, other.view, other.hunks)

    def put(_module: torch.nn.Module, _given: object, output: torch.Tensor) -> torch.Tensor:
        states = output.clone()
        states[0, list(swap.at)] = swap.states
        return states

    hook = glass.layers[swap.layer].register_forward_hook(put)
    try:
        logits = glass.run(found.ids, Watch(rows=tuple(range(found.prompt - 1, len(found.ids) - 1)))).logits
    finally:
        hook.remove()
    labels = torch.tensor(found.ids[found.prompt :])[:, None]
    return float(torch.log_softmax(logits, -1).gather(1, labels).sum())


@pytest.mark.parametrize("name", ["embedded", "qwen"])
def test_a_cell_is_the_restored_share_of_one_whole_run(name: str, qwen: Glass) -> None:
    glass = embedded() if name == "embedded" else qwen
    found = patching_grid(glass, EVEN)
    run, swaps, clean = both(glass)
    assert (found.clean, found.corrupt) == pytest.approx((clean, run.value), abs=1e-3)
    assert found.lines == (1, 2, 3, 4, 5, 6)
    assert found.restored.shape == (len(glass.layers), 6)
    gap = found.clean - found.corrupt
    for at, swap in enumerate(swaps):
        if swap.layer >= 0:
            expected = (brute(glass, swap) - found.corrupt) / gap
            assert found.restored[swap.layer, at // (len(glass.layers) + 1)] == pytest.approx(expected, abs=2e-3)
    assert not found.restored[:, :3].any()  # nothing differs before the change
    assert not found.restored[-1].any()  # nothing reads the last layer's states
    if name == "embedded":
        assert (found.restored[:4, 3] > 0.5).all()  # early on, the changed line alone carries it
        assert np.abs(found.restored[:4, 4:]).max() < 0.5
    else:
        assert np.abs(found.restored[:, 3]).max() > 0.005  # random weights


def test_a_repair_that_is_none_restores_nothing() -> None:
    found = patching_grid(embedded(), replace(EVEN, hunks=(Hunk(4, 4, "    return w / h"),)))
    assert found.clean == pytest.approx(found.corrupt, abs=1e-6)
    assert not found.restored.any()
    assert any("nothing to restore" in note for note in found.notes)


def test_lines_are_found_again_after_insertions_and_deletions() -> None:
    view = View("a.py", "python", 10, ("a", "b", "c", "d", "e"))
    assert moved(view, (Hunk(12, 11, "x\ny"),)) == {10: 10, 11: 11, 12: 14, 13: 15, 14: 16}
    assert moved(view, (Hunk(11, 12, ""),)) == {10: 10, 13: 11, 14: 12}
    assert moved(view, (Hunk(10, 10, "x\ny"), Hunk(13, 14, "z"))) == {10: 10, 11: 12, 12: 13, 13: 14}
    assert moved(view, (Hunk(15, 14, "x"),)) == {n: n for n in range(10, 15)}
    changed = repaired(view, (Hunk(10, 10, "x\ny"), Hunk(12, 11, "i"), Hunk(13, 14, "")))
    assert changed.lines == ("x", "y", "b", "i", "c")
    for hunks in ((Hunk(12, 11, "x\ny"),), (Hunk(11, 12, ""),), (Hunk(10, 10, "x\ny"), Hunk(13, 14, "z"))):
        after = repaired(view, hunks)
        kept = {n for n in range(10, 15) if not any(h.first <= n <= h.last for h in hunks)}
        assert all(after.lines[moved(view, hunks)[n] - 10] == view.lines[n - 10] for n in kept)


@pytest.mark.parametrize(
    ("hunk", "lines", "note"),
    [
        (Hunk(13, 12, "    if not values:\n        return 0"), range(11, 17), ""),
        (Hunk(14, 15, ""), (11, 12, 13, 16), "not swapped: 14, 15"),
        (Hunk(16, 16, "    return total / len(values)"), range(11, 17), "at their end alone: 16"),
    ],
)
def test_prompts_of_different_lengths(hunk: Hunk, lines: object, note: str, qwen: Glass) -> None:
    for glass in (embedded(), qwen):
        found = patching_grid(glass, Subject(VIEW, (hunk,)))
        assert list(found.lines) == list(lines)  # type: ignore[call-overload]
        assert np.isfinite(found.restored).all()
        assert not found.restored[:, : found.lines.index(min(n for n in lines if n >= hunk.first))].any()
        assert note in "; ".join(found.notes)
        assert len(glass.decoder.layers) == len(glass.layers)


def test_no_time_leaves_lines_out_and_says_so() -> None:
    found = patching_grid(embedded(), EVEN, seconds=-1.0)
    assert found.lines == (1, 2, 3)  # those that cost nothing
    assert any("3 of 6 lines were left out" in note for note in found.notes)


def test_a_network_whose_attention_is_eager(tmp_path: Path) -> None:
    gemma = tiny("gemma2", tmp_path)
    found = patching_grid(gemma, SUBJECT)
    assert found.restored.shape == (3, 6)
    assert any("eager" in note for note in found.notes)
    before = gemma.run((1, 2, 3)).logits
    assert torch.equal(before, gemma.run((1, 2, 3)).logits)
