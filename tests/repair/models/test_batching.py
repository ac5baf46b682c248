import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from repair.errors import ModelError
from repair.model import Decoding, Model
from repair.models.batching import BatchedModel, BatchedNetwork, Batcher
from repair.models.decoding import Engine, Segment
from repair.models.lean import LeanLlama, read_lean
from repair.models.local import LocalModel, load_local
from repair.views import Hunk, View
from tests.repair.models.conftest import TEXT

PROMPTS = [[5, 9, 300, 2, 77, 8], [11], [600, 3, 3, 41, 7, 90, 12, 13, 14], [5, 9, 300]]
TARGETS = [[4, 7, 1], [4, 7, 2, 9], [4], [600, 3, 3]]


@pytest.fixture(scope="module")
def network(compact_directory: Path) -> LeanLlama:
    found = read_lean(compact_directory, None)
    assert found is not None
    return LeanLlama(*found, torch.float32)


@pytest.fixture(scope="module")
def compact(compact_directory: Path) -> LocalModel:
    return load_local(compact_directory, dtype="float32", device="cpu", threads=1)


def views(count: int) -> list[View]:
    """Distinct windows of a real module."""
    return [
        View("textwrap.py", "python", n, tuple(TEXT[n - 1 : n + 9]), error=f"case {n}") for n in range(60, 60 + count)
    ]


def answers(model: Model, view: View) -> tuple[object, ...]:
    changes = [(Hunk(n, n, f"{text} + 1"),) for n, text in enumerate(view.lines, view.first_line)]
    belief = model.locate(view)
    assert belief is not None
    scores = model.score(view, changes)
    decoding = Decoding(dict(belief.lines), candidates=12, max_tokens=24, seed=view.first_line)
    return belief, scores, list(model.propose(view, decoding))


def tree_mask(known: int, new: int) -> torch.Tensor:
    """Each new token sees all that is known and itself, not the other new ones."""
    mask = torch.zeros(new, known + new)
    mask[:, known:] = torch.where(torch.eye(new, dtype=torch.bool), 0.0, -torch.inf)
    return mask


def test_packed_passes_are_those_computed_apart(network: LeanLlama) -> None:
    alone, packed = [network.state() for _ in PROMPTS], [network.state() for _ in PROMPTS]
    with torch.inference_mode():
        expected = [network.read(torch.tensor(p), s) for p, s in zip(PROMPTS, alone, strict=True)]
        found = network.packed([Segment(torch.tensor(p), s) for p, s in zip(PROMPTS, packed, strict=True)])
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
        # prefill of one beside trees of the others, as they meet in the service
        mixed = [Segment(torch.tensor(PROMPTS[0]), network.state())]
        wanted = [expected[0]]
        for prompt, mine, yours in zip(PROMPTS, packed, alone, strict=True):
            ids, mask = torch.tensor(TARGETS[1]), tree_mask(len(prompt), 4)
            mixed.append(Segment(ids, mine, torch.full((4,), len(prompt)), mask))
            wanted.append(network.extend(ids, torch.full((4,), len(prompt)), mask, yours))
        for one, other in zip(network.packed(mixed), wanted, strict=True):
            assert one.shape == other.shape
            torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    assert [s.buffers[0].length for s in packed] == [s.buffers[0].length for s in alone]


@pytest.mark.parametrize(("lanes", "tokens"), [(1, 4096), (2, 64)])
def test_many_threads_get_the_answers_of_one(compact: LocalModel, lanes: int, tokens: int) -> None:
    asked = views(12)
    expected = [answers(compact, view) for view in asked]
    batched = BatchedModel(compact, lanes=lanes, tokens=tokens, seats=8)
    with ThreadPoolExecutor(12) as threads:
        found = list(threads.map(lambda view: answers(batched, view), asked))
    batched.close()
    assert [f[2] for f in found] == [e[2] for e in expected]
    for (belief, scores, _), (other, wanted, _) in zip(found, expected, strict=True):
        assert list(belief.lines.values()) == pytest.approx(list(other.lines.values()), abs=1e-5)
        assert scores == pytest.approx(wanted, abs=1e-4)
    assert batched.batcher.passes > batched.batcher.batches  # some were computed together
    assert batched.usage.completion_tokens > 0


def test_the_tokens_of_a_request_are_its_own(compact: LocalModel) -> None:
    batched = BatchedModel(compact)
    one, other = views(2)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(batched.ask, one, lambda a: a.locate(one))
        second = threads.submit(batched.ask, other, lambda a: a.locate(other))
        total = first.result()[1].prompt_tokens + second.result()[1].prompt_tokens
    again = batched.ask(one, lambda a: a.locate(one))[1]
    batched.close()
    assert batched.usage.prompt_tokens == total > 0
    assert again.prompt_tokens == 0  # the seat that remembers the prompt was taken


def test_an_error_reaches_only_who_caused_it(network: LeanLlama) -> None:
    batcher = Batcher(network, wait_ms=60_000.0)
    bad, good = Engine(BatchedNetwork(network, batcher)), Engine(BatchedNetwork(network, batcher))
    expected = Engine(network).read(PROMPTS[0]).after
    together = threading.Barrier(2)

    def read(engine: Engine, prompt: list[int]) -> torch.Tensor:
        with batcher.joined():
            together.wait()
            return engine.read(prompt).after

    with ThreadPoolExecutor(2) as threads:
        failing, working = threads.submit(read, bad, [5, 10_000]), threads.submit(read, good, PROMPTS[0])
        with pytest.raises(ModelError, match="failed while computing"):
            failing.result()
        torch.testing.assert_close(working.result(), expected, atol=1e-5, rtol=0)
    assert (batcher.batches, batcher.passes) == (1, 2)
    assert good.score(good.read(PROMPTS[0]), TARGETS) == pytest.approx(
        Engine(network).score(Engine(network).read(PROMPTS[0]), TARGETS), abs=1e-4
    )
    batcher.close()


def test_nobody_waits_who_is_alone(network: LeanLlama) -> None:
    patient, batcher = Batcher(network, wait_ms=300_000.0), Batcher(network, wait_ms=200.0)
    start = time.monotonic()
    with patient.joined():
        Engine(BatchedNetwork(network, patient)).read(PROMPTS[0])
    assert time.monotonic() - start < 100
    patient.close()
    engine = Engine(BatchedNetwork(network, batcher))
    with batcher.joined(), batcher.joined():  # another is at work and might come: waits, but not for ever
        start = time.monotonic()
        engine.read(PROMPTS[1])
        assert 0.19 < time.monotonic() - start < 100
    batcher.close()


def test_a_closed_one_still_answers(compact: LocalModel) -> None:
    (view,) = views(1)
    batched = BatchedModel(compact)
    batched.close()
    assert answers(batched, replace(view, error="late")) == answers(compact, replace(view, error="late"))


def test_a_plain_model_is_asked_in_turns(plain_directory: Path) -> None:
    model = load_local(plain_directory, dtype="float32", device="cpu", threads=1)
    expected = [model.locate(view) for view in views(3)]
    batched = BatchedModel(model)
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(batched.locate, views(3))) == expected
    batched.close()
