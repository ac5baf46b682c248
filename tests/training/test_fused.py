from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from tests.training.families import tiny
from training import attention, fused
from training.attention import BLOCKS, register
from training.config import LoraConfig
from training.fused import FusedLinear, fuse
from training.loading import put_lora

# transformers 5.23 warns about an attribute that peft 0.21 asks for
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
LAYERS = 2 * 7


def adapted(dtype: torch.dtype = torch.float32, **settings: object) -> nn.Module:
    """A Qwen2, whose layers have biases, with factors that are not zero."""
    model = put_lora(
        tiny("qwen2").to(dtype).requires_grad_(requires_grad=False),
        LoraConfig(rank=4, alpha=12, **settings), seed=1, name="base",
    )  # fmt: skip
    torch.manual_seed(3)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.2)
    return model.train()


def passed(model: nn.Module, dtype: torch.dtype = torch.float32) -> tuple[Tensor, dict[str, Tensor]]:
    """(logits, gradients of the factors)."""
    torch.manual_seed(5)
    ids = torch.randint(3, 64, (2, 20))
    model.zero_grad()
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        logits = model(input_ids=ids).logits
    logits.float().log_softmax(-1)[..., 7].mean().backward()
    return logits.float(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def off(found: dict[str, Tensor], exact: dict[str, Tensor]) -> float:
    """Distance of gradients as a share of what they should be."""
    apart = sum(float((found[name] - exact[name]).square().sum()) for name in exact)
    return (apart / sum(float(g.square().sum()) for g in exact.values())) ** 0.5


def test_outputs_and_gradients_are_those_of_peft():
    model = adapted()
    logits, slopes = passed(model)
    assert fuse(model) == LAYERS
    fused, mine = passed(model)
    torch.testing.assert_close(fused, logits, atol=1e-4, rtol=1e-4)
    assert set(mine) == set(slopes)
    assert len(mine) == 2 * LAYERS
    for name, slope in mine.items():
        torch.testing.assert_close(slope, slopes[name], atol=1e-6, rtol=1e-3, msg=lambda m, n=name: f"{n}: {m}")


def test_in_bf16_gradients_are_no_less_exact_than_those_of_peft():
    model = adapted(torch.bfloat16)
    exact = passed(deepcopy(model).float())[1]
    theirs = off(passed(model, torch.bfloat16)[1], exact)
    fuse(model)
    mine = passed(model, torch.bfloat16)[1]
    assert {slope.dtype for slope in mine.values()} == {torch.float32}
    assert off(mine, exact) < 1.1 * theirs < 0.1


def test_a_layer_is_kept_once_for_all_that_read_it():
    def kept(model: nn.Module) -> int:
        seen: dict[int, int] = {}

        def count(tensor: Tensor) -> Tensor:
            seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        hooks = torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor)
        with hooks, torch.autocast("cpu", torch.bfloat16):
            model(input_ids=torch.randint(3, 64, (1, 64)))
        return sum(seen.values())

    model = adapted(torch.bfloat16)
    before = kept(model)
    fuse(model)
    assert kept(model) < 0.9 * before


@pytest.mark.parametrize("settings", [{"dropout": 0.1}, {"dora": True}])
def test_what_it_cannot_do_is_left_to_peft(settings):
    assert fuse(adapted(**settings)) == 0


def test_an_adapter_that_is_switched_off_or_merged_is_not_added():
    model = adapted()
    with model.disable_adapter():
        plain = passed_without_gradients(model)
    added = passed_without_gradients(model)
    fuse(model)
    with model.disable_adapter():
        torch.testing.assert_close(passed_without_gradients(model), plain)
    assert not torch.allclose(added, plain)
    model.merge_adapter()
    torch.testing.assert_close(passed_without_gradients(model), added, atol=1e-4, rtol=1e-4)
    assert any(isinstance(module, FusedLinear) for module in model.modules())
    assert not any(isinstance(module, FusedLinear) for module in model.unload().modules())


@torch.no_grad()
def passed_without_gradients(model: nn.Module) -> Tensor:
    return model(input_ids=torch.arange(3, 20)[None]).logits


@pytest.mark.filterwarnings("ignore")  # the compiler is warned of what it does itself, looking at tensors and functions
def test_a_compiler_sees_one_graph_in_a_layer_on_a_gpu_whatever_the_lengths(monkeypatch: pytest.MonkeyPatch):
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, _: object) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    register()
    monkeypatch.setattr(attention, "_takes", torch.compiler.assume_constant_result(lambda _: True))
    monkeypatch.setattr(fused, "_as_it_is", lambda _: True)  # there is no autocast for "meta"
    model = adapted(torch.bfloat16)
    decoder = model.get_base_model().model
    model.get_base_model().set_attn_implementation(BLOCKS)
    fuse(model)
    model.to("meta")
    for layer in decoder.layers:
        layer.compile(dynamic=True, fullgraph=True, backend=backend)
    for lengths in ((20, 1, 13), (7, 9), (40, 5, 6, 7)):
        bounds = torch.empty(len(lengths) + 1, dtype=torch.int32, device="meta")
        ids = torch.empty(1, sum(lengths), dtype=torch.int64, device="meta")
        longest = {"max_length_q": max(lengths), "max_length_k": max(lengths)}
        found = decoder(ids, use_cache=False, position_ids=ids, cu_seq_lens_q=bounds, cu_seq_lens_k=bounds, **longest)
        found.last_hidden_state.sum().backward()
        assert len(graphs) == 2  # one where what comes in needs no gradient, one for all other layers
    torch._dynamo.reset()
