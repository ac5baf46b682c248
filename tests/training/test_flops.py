from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM, Starcoder2Config

from tests.training.tiny import TINY
from training.config import ModelConfig
from training.flops import Cost, flops_per_token, listed_peak, measured_peak, peak_flops, shape_of

LLAMA = LlamaConfig(
    vocab_size=96, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    intermediate_size=160, max_position_embeddings=64, tie_word_embeddings=True,
)  # fmt: skip
LENGTH = 32


def counted(model, ids):
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, labels=ids).loss.backward()
    return counter.get_total_flops() / ids.numel()


def test_the_formula_is_what_torch_counts():
    model = LlamaForCausalLM(LLAMA)
    model.set_attn_implementation("eager")
    ids = torch.randint(0, 96, (3, LENGTH))
    expected = flops_per_token(shape_of(LLAMA), LENGTH)
    assert counted(model, ids) == pytest.approx(expected, rel=0.01)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # peft asks transformers for it
def test_a_frozen_base_saves_its_weight_gradients():
    from peft import LoraConfig, get_peft_model

    base = LlamaForCausalLM(LLAMA)
    base.set_attn_implementation("eager")
    model = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear"))
    ids = torch.randint(0, 96, (3, LENGTH))
    expected = flops_per_token(shape_of(LLAMA), LENGTH, rank=4)
    # the first layer's input needs no gradient, which the formula does not know: with two layers that shows
    assert 0.85 < counted(model, ids) / expected <= 1.01


def test_ours_and_the_hubs_agree_and_a_feed_forward_without_gate_is_smaller():
    ours = ModelConfig(vocabulary=96, width=64, layers=2, heads=4, kv_heads=2, hidden=160)
    assert shape_of(ours) == shape_of(LLAMA)
    plain = Starcoder2Config(
        vocab_size=96, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=160,
    )  # fmt: skip
    assert shape_of(LLAMA).parameters - shape_of(plain).parameters == 2 * 160 * 64


def test_only_labelled_tokens_pay_for_the_head():
    shape = shape_of(TINY)
    saved = flops_per_token(shape, 8) - flops_per_token(shape, 8, labelled=0.25)
    assert saved == pytest.approx(0.75 * 6 * TINY.width * TINY.vocabulary)


@pytest.mark.parametrize(
    ("name", "tera"),
    [("NVIDIA H200", 989.4), ("NVIDIA H100 PCIe", 756), ("NVIDIA H100 80GB HBM3", 989.4),
     ("NVIDIA A100-SXM4-80GB", 312), ("NVIDIA GeForce RTX 4090", 165.2), ("NVIDIA L40S", 362),
     ("AMD Instinct MI300X", 1307.4), ("Tesla K80", 0)],
)  # fmt: skip
def test_peaks_by_name(name, tera):
    assert listed_peak(name) == tera * 1e12


def test_a_processor_is_measured_once_and_utilisation_is_a_share_of_it():
    device = torch.device("cpu")
    first = peak_flops(device, torch.float32)
    assert peak_flops(device, torch.float32) == first  # two measurements are never the same
    assert 1e7 < first < 1e14
    assert Cost(6e6, 12e9).utilisation(1000) == pytest.approx(0.5)


def test_the_peak_is_that_of_the_fastest_product():
    # two moments to ask whether to go on and when a product began, one when it ended
    moments = iter((0.0, 0.0, 0.0, 0.0625, 0.0625, 0.0625, 0.078125, 0.078125, 0.078125, 0.1, 9.0))
    peak = measured_peak(torch.device("cpu"), torch.float32, lambda: next(moments))
    assert peak == 2 * 1024**3 * 64
