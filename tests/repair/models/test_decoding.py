import math
import random

import pytest
import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from repair.errors import ModelError
from repair.models.decoding import Choice, Engine, Row, Trie, grow, loops
from repair.models.huggingface import HuggingFaceNetwork
from tests.repair.models.conftest import tiny_llama

VOCABULARY = 50


class Anything:
    """A grammar that allows everything and ends at token 0."""

    def bias(self) -> Tensor | None:
        return None

    def accept(self, token: int) -> bool:
        return token == 0


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.set_num_threads(1)
    return tiny_llama(VOCABULARY, seed=3)


def random_tokens(count: int, seed: int) -> list[int]:
    pick = random.Random(seed)
    return [pick.randrange(1, VOCABULARY) for _ in range(count)]


def full_logprob(model: LlamaForCausalLM, prompt: list[int], target: list[int]) -> float:
    with torch.inference_mode():
        likely = torch.log_softmax(model(torch.tensor([prompt + target])).logits[0].double(), -1)
    return sum(float(likely[len(prompt) + i - 1, t]) for i, t in enumerate(target))


def test_scores_of_many_targets_are_those_of_one_forward_pass_each(model: LlamaForCausalLM) -> None:
    engine = Engine(HuggingFaceNetwork(model))
    engine.nodes = 16  # several passes
    prompt = random_tokens(30, 0)
    targets = [random_tokens(n % 7 + 1, n) for n in range(20)]
    targets += [[*targets[6], 3], targets[6][:3], targets[0]]  # shared beginnings, an end inside of another, a twin
    scores = engine.score(engine.read(prompt), targets)
    for target, score in zip(targets, scores, strict=True):
        assert score == pytest.approx(full_logprob(model, prompt, target), abs=1e-3)
    assert engine.score(engine.read(prompt), targets[::-1]) == pytest.approx(scores[::-1], abs=1e-5)


def test_a_trie_computes_shared_beginnings_once() -> None:
    trie = Trie.of([(1,), (1, 2, 3), (1, 2, 4), (5, 6)])
    assert trie.tokens == [1, 2, 5]
    assert trie.parents == [-1, 0, -1]
    assert trie.labels_of_root == [1, 5]
    assert trie.labels == [2, 3, 4, 6]
    assert trie.sum([-1.0, -2.0], [-10.0, -20.0, -30.0, -40.0]) == [-1.0, -31.0, -41.0, -42.0]


def test_tree_decoding_is_token_identical_with_generate(model: LlamaForCausalLM) -> None:
    """Eight beginnings continued in one tree, against `generate` from each whole prompt."""
    engine = Engine(HuggingFaceNetwork(model))
    prompt = random_tokens(40, 1)
    rows = [Row([start], -1, 0.0, Anything()) for start in range(1, 9)]
    prefix = engine.read(prompt)
    grow(engine, engine.tree(prefix), rows, Choice(1.0, torch.Generator(), 20))
    for row in rows:
        ids = torch.tensor([[*prompt, row.tokens[0]]])
        alone = model.generate(ids, max_new_tokens=19, do_sample=False, eos_token_id=0, pad_token_id=0)
        assert row.tokens == alone[0, 40:].tolist()
        assert row.done == (row.tokens[-1] == 0)
        assert row.logprob == pytest.approx(full_logprob(model, [*prompt, row.tokens[0]], row.tokens[1:]), abs=1e-3)


def test_tree_decoding_is_token_identical_with_a_batched_loop(model: LlamaForCausalLM) -> None:
    engine = Engine(HuggingFaceNetwork(model))
    prompt = random_tokens(25, 2)
    rows = [Row([start], -1, 0.0, Anything()) for start in range(1, 13)]
    grow(engine, engine.tree(engine.read(prompt)), rows, Choice(1.0, torch.Generator(), 12))
    batch = torch.tensor([[*prompt, start] for start in range(1, 13)])
    with torch.inference_mode():
        for _ in range(11):
            batch = torch.cat([batch, model(batch).logits[:, -1].argmax(-1, keepdim=True)], 1)
    for row, tokens in zip(rows, batch[:, 25:].tolist(), strict=True):
        end = tokens.index(0) + 1 if 0 in tokens else len(tokens)
        assert row.tokens == tokens[:end]


def test_sampling_repeats_with_the_seed_and_follows_the_temperature(model: LlamaForCausalLM) -> None:
    engine = Engine(HuggingFaceNetwork(model))
    prefix = engine.read(random_tokens(10, 3))

    def draw(seed: int, temperature: float) -> list[list[int]]:
        rows = [Row([7], -1, 0.0, Anything(), sampled=True) for _ in range(6)]
        grow(engine, engine.tree(prefix), rows, Choice(temperature, torch.Generator().manual_seed(seed), 10))
        return [row.tokens for row in rows]

    assert draw(1, 1.0) == draw(1, 1.0)
    assert draw(1, 1.0) != draw(2, 1.0)
    cold = draw(1, 0.0)
    assert all(tokens == cold[0] for tokens in cold)
    assert len({tuple(t) for t in draw(1, 3.0)}) == 6


def test_a_kept_prompt_survives_what_others_do_with_it(model: LlamaForCausalLM) -> None:
    engine = Engine(HuggingFaceNetwork(model), kept=2)
    prompts = [random_tokens(12, seed) for seed in (4, 5, 6)]
    target = random_tokens(5, 7)
    first = engine.score(engine.read(prompts[0]), [target])
    rows = [Row([start], -1, 0.0, Anything()) for start in range(1, 40)]
    grow(engine, engine.tree(engine.read(prompts[0])), rows, Choice(1.0, torch.Generator(), 30))  # the buffers grow
    read = engine.read_tokens
    assert engine.score(engine.read(prompts[0]), [target]) == pytest.approx(first, abs=1e-5)
    assert engine.read_tokens == read + 4
    for prompt in prompts[1:]:
        engine.read(prompt)
    assert engine.read_tokens == read + 4 + 24
    engine.read(prompts[0])  # only two are kept
    assert engine.read_tokens == read + 4 + 36


def test_limits(model: LlamaForCausalLM) -> None:
    engine = Engine(HuggingFaceNetwork(model))
    with pytest.raises(ModelError, match="1024"):
        engine.read([1] * 1024)
    with pytest.raises(ModelError):
        engine.read([])
    with pytest.raises(ModelError, match="failed while computing"):
        engine.read([VOCABULARY + 1])
    prefix = engine.read([1] * 1020)
    assert engine.score(prefix, [[1] * 5]) == [-math.inf]
    assert engine.score(prefix, [[1] * 4])[0] > -math.inf
    row = Row([1], -1, 0.0, Anything())
    grow(engine, engine.tree(prefix), [row], Choice(1.0, torch.Generator(), 50))
    assert len(row.tokens) <= 4


def test_models_with_other_layers_than_attention_are_refused() -> None:
    model = tiny_llama(VOCABULARY)
    model.config.layer_types = ["linear_attention", "full_attention"]
    with pytest.raises(ModelError, match="linear_attention"):
        Engine(HuggingFaceNetwork(model))
    model.config.layer_types = ["sliding_attention", "full_attention"]
    model.config.sliding_window = 128
    assert Engine(HuggingFaceNetwork(model)).limit == 128


def test_loops_are_told_from_code() -> None:
    assert loops([9, *([1] * 17)])
    assert loops([9, 8, 7, *([1, 2, 3] * 6)])
    assert loops([9, *(list(range(8)) * 4)])
    assert not loops([1] * 10)
    assert not loops([*range(8), *range(8), *range(8)])
    assert not loops([*([1, 2, 3] * 6), 4])


def test_a_row_in_a_loop_is_given_up(model: LlamaForCausalLM) -> None:
    class Always:
        def bias(self) -> Tensor:
            return torch.full((VOCABULARY,), -math.inf).index_fill(0, torch.tensor([5]), 0.0)

        def accept(self, token: int) -> bool:
            return False

    engine = Engine(HuggingFaceNetwork(model))
    row = Row([3], -1, 0.0, Always())
    grow(engine, engine.tree(engine.read([1, 2])), [row], Choice(1.0, torch.Generator(), 90))
    assert row.tokens == [3, *[5] * 16]
    assert not row.done
