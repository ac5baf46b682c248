from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel

from repair.errors import InputError, ModelError
from tests.training.families import CONFIGS, tiny
from training import varlen
from training.attention import BLOCKS, Observer, choose, register
from training.loading import recompute

LENGTHS = (20, 1, 13, 30)


@pytest.fixture(autouse=True)
def blocks():
    register()


def packed() -> tuple[torch.Tensor, dict[str, object]]:
    torch.manual_seed(5)
    bounds = torch.tensor([0, *LENGTHS], dtype=torch.int32).cumsum(0).int()
    where = {
        "position_ids": torch.cat([torch.arange(n) for n in LENGTHS])[None],
        "cu_seq_lens_q": bounds, "cu_seq_lens_k": bounds, "max_length_q": 30, "max_length_k": 30,
    }  # fmt: skip
    return torch.randint(3, 64, (1, sum(LENGTHS))), where


def gradients(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


@pytest.mark.parametrize("family", CONFIGS)
def test_blocks_are_eager_attention_on_each_example_alone(family):
    model, (ids, where) = tiny(family).train(), packed()
    model.set_attn_implementation("eager")
    alone = torch.cat([model(input_ids=part).logits for part in ids.split(LENGTHS, dim=1)], dim=1)
    (alone.softmax(-1)[..., 7].square().sum()).backward()
    expected = gradients(model)
    model.set_attn_implementation(BLOCKS)
    together = model(input_ids=ids, use_cache=False, **where).logits
    (together.softmax(-1)[..., 7].square().sum()).backward()
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-5, rtol=1e-3, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_observer_sees_what_eager_attention_returns(checkpointing):
    model, (ids, where) = tiny("qwen2").train(), packed()
    model.set_attn_implementation("eager")
    expected = [model(input_ids=part, output_attentions=True).attentions[1][0] for part in ids.split(LENGTHS, dim=1)]
    torch.stack([p.square().sum() for p in expected]).sum().backward()
    slopes = gradients(model)
    model.set_attn_implementation(BLOCKS)
    if checkpointing:
        recompute(model)
    observer = Observer(frozenset({1}))
    model.get_decoder()(input_ids=ids, use_cache=False, observer=observer, **where)
    for seen, there in zip(observer.seen, expected, strict=True):
        torch.testing.assert_close(seen, there, atol=1e-5, rtol=1e-4)
    torch.stack([p.square().sum() for p in observer.seen]).sum().backward()
    mine = gradients(model)
    name = "model.layers.1.self_attn.q_proj.weight"
    torch.testing.assert_close(mine[name], slopes[name], atol=1e-5, rtol=1e-3)


def test_short_examples_in_bf16_are_no_less_exact_than_eager():
    model, (ids, where) = tiny("llama").eval(), packed()
    model.set_attn_implementation(BLOCKS)
    exact = model(input_ids=ids, use_cache=False, **where).logits
    model.bfloat16()
    rounded = model(input_ids=ids, use_cache=False, **where).logits.float()
    model.set_attn_implementation("eager")
    eager = torch.cat([model(input_ids=part).logits for part in ids.split(LENGTHS, dim=1)], dim=1).float()
    assert (rounded - exact).square().mean() < 1.2 * (eager - exact).square().mean()


def test_the_choice_says_why():
    assert choose(tiny("qwen2"), 128).implementation == BLOCKS
    capped = choose(tiny("gemma2"), 128)
    assert capped.implementation == "eager"
    assert "soft-capped" in capped.reason
    assert choose(tiny("window"), 8).implementation == BLOCKS
    windowed = choose(tiny("window"), 9)
    assert windowed.implementation == "sdpa"
    assert "8 tokens is shorter than examples of 9" in windowed.reason
    assert choose(tiny("window"), 9, observed=True).implementation == "eager"
    assert choose(tiny("mamba"), 9).implementation != BLOCKS
    assert choose(tiny("qwen2"), 9, "sdpa").implementation == "sdpa"


def test_a_wish_that_cannot_be_exact_is_refused():
    with pytest.raises(InputError, match="soft-capped"):
        choose(tiny("gemma2"), 128, "blocks")
    with pytest.raises(InputError, match=r"objective\.layers"):
        choose(tiny("qwen2"), 128, "sdpa", observed=True)
    model, (ids, where) = tiny("window"), packed()
    model.set_attn_implementation(BLOCKS)
    with pytest.raises(ModelError, match=r"run\.attention=eager"):
        model(input_ids=ids, use_cache=False, **where)
    with pytest.raises(ModelError, match=r"run\.attention=sdpa"):
        model(input_ids=ids, use_cache=False)


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_the_kernel_for_gpus_is_called_as_the_installed_torch_wants_it(kv_heads):
    shapes = [(63, heads, 16) for heads in (4, kv_heads, kv_heads)]
    q, k, v = (torch.empty(s, device="meta", dtype=torch.bfloat16, requires_grad=True) for s in shapes)
    found = varlen.attend(q, k, v, (torch.empty(5, device="meta", dtype=torch.int32), 30), 0.25)
    assert found.shape == (63, 4, 16)
    found.sum().backward()
    assert k.grad is not None
    assert k.grad.shape == (63, kv_heads, 16)
