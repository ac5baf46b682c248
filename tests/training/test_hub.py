from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from torch import nn
from torch.nn import functional
from transformers import AutoModelForCausalLM

from repair.errors import ModelError
from tests.training.families import CONFIGS, tiny
from tests.training.tiny import random_batch
from training.attention import choose, register
from training.batches import Batch, Preference
from training.config import LoraConfig, ObjectiveConfig
from training.hub import HubEngine, memory_errors
from training.loading import put_lora, recompute

# transformers 5.23 warns about an attribute that peft 0.21 asks for
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
LORA = LoraConfig(rank=4, alpha=8)
LENGTHS = ((20, 30), (10, 5, 40))


def engine_of(family: str, objective: ObjectiveConfig | None = None, lora: LoraConfig | None = LORA) -> HubEngine:
    register()
    base, aim = tiny(family), objective or ObjectiveConfig()
    observed = aim.entropy > 0 or aim.locality > 0
    base.set_attn_implementation(choose(base, 64, observed=observed).implementation)
    model = put_lora(base.requires_grad_(requires_grad=False), lora, seed=1, name="base") if lora else base
    return HubEngine(model, base, aim)


def weight(batch: Batch) -> float:
    return float(batch.weights.sum())


def train(engine: HubEngine, batch: Batch, steps: int, rate: float = 1e-2) -> list[dict[str, float]]:
    optimizer = torch.optim.AdamW(engine.parameters.values(), lr=rate, weight_decay=0.0)
    seen: list[dict[str, float]] = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = engine.gradients(batch, weight(batch))
        seen.append({"loss": loss, **engine.extras})
        optimizer.step()
    return seen


def slopes(engine: HubEngine, batch: Batch, denominator: float = 10.0) -> dict[str, torch.Tensor]:
    for parameter in engine.parameters.values():
        parameter.grad = None
    engine.gradients(batch, denominator)
    return {name: p.grad.clone() for name, p in engine.parameters.items() if p.grad is not None}


def preference_batch() -> Batch:
    """Two pairs: the prompts of a pair are the same, the last four targets of its two sides are not."""
    batch = random_batch(64, ((20, 20), (20, 20)))
    pair, side = np.full(batch.ids.shape, -1), np.zeros(batch.ids.shape, np.float32)
    for row in range(2):
        for at, sign in ((15, 1.0), (35, -1.0)):
            pair[row, at : at + 4], side[row, at : at + 4] = row, sign
    return replace(batch, preference=Preference(pair, side, np.array([0.5, -0.5], np.float32)))


@pytest.mark.parametrize("family", CONFIGS)
def test_every_family_learns_and_is_loaded_by_peft(family, tmp_path: Path):
    engine, batch = engine_of(family), random_batch(64, LENGTHS)
    seen = train(engine, batch, 25)
    assert seen[-1]["loss"] < seen[0]["loss"] - 0.5
    engine.save(tmp_path / "adapter")
    assert {p.name for p in (tmp_path / "adapter").iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    ids = torch.from_numpy(batch.ids[:1, :20])
    engine.model.eval()
    fresh = tiny(family)
    plain = fresh(input_ids=ids).logits
    loaded = PeftModel.from_pretrained(fresh, tmp_path / "adapter").merge_and_unload().eval()
    losses = functional.cross_entropy(loaded(input_ids=ids).logits[0, :-1], ids[0, 1:], reduction="none")
    row, weights = batch.ids[:1, :20], np.array([[1.0] * 19 + [0.0]], np.float32)
    mine = Batch(row, np.roll(row, -1), weights, np.ones((1, 20), np.int64))
    torch.testing.assert_close(torch.from_numpy(engine.token_losses(mine)[0, :19]), losses, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(loaded(input_ids=ids).logits, plain, atol=0.1)


@pytest.mark.parametrize("family", ["qwen2", "gemma2", "mamba", "window"])
def test_packed_losses_are_those_of_examples_alone(family):
    engine, batch = engine_of(family, lora=None), random_batch(64, LENGTHS)
    model = tiny(family).eval()
    model.set_attn_implementation("eager")
    expected = np.zeros((2, 3), np.float32)
    for row, parts in enumerate(LENGTHS):
        for number, end in enumerate(np.cumsum(parts)):
            part = slice(end - parts[number], end)
            logits = model(input_ids=torch.from_numpy(batch.ids[row : row + 1, part])).logits[0]
            labels, weights = (torch.from_numpy(a[row, part]) for a in (batch.labels, batch.weights))
            losses = functional.cross_entropy(logits, labels, reduction="none")
            expected[row, number] = (losses * weights).sum().item()
    np.testing.assert_allclose(engine.example_losses(batch), expected, rtol=1e-4)
    total, count = engine.loss(batch)
    assert total == pytest.approx(expected.sum(), rel=1e-4)
    assert count == pytest.approx(weight(batch))
    assert engine.gradients(batch, 7.0) == pytest.approx(expected.sum() / 7, rel=1e-4)


def test_accumulated_batches_are_one_batch():
    engine, batch = (
        engine_of("llama", ObjectiveConfig(entropy=0.1, locality=0.5, layers=(0, -1))),
        random_batch(64, LENGTHS),
    )
    whole = slopes(engine, batch, weight(batch))
    rows = [Batch(*(a[i : i + 1] for a in (batch.ids, batch.labels, batch.weights, batch.segments))) for i in (0, 1)]
    plain = engine_of("llama")
    expected = slopes(plain, batch, weight(batch))
    for parameter in plain.parameters.values():
        parameter.grad = None
    total = sum(plain.gradients(row, weight(batch)) for row in rows)
    assert total == pytest.approx(engine.gradients(batch, weight(batch)), rel=1e-5)
    for name, parameter in plain.parameters.items():
        torch.testing.assert_close(parameter.grad, expected[name], atol=1e-6, rtol=1e-3)
    assert any(not torch.allclose(whole[name], expected[name], atol=1e-4) for name in whole)


@pytest.mark.parametrize(("setting", "figure"), [("entropy", "entropy"), ("locality", "distance")])
@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_attention_penalties_fall_when_they_are_trained_on(family, setting, figure):
    batch = random_batch(64, LENGTHS)
    free = train(engine_of(family, ObjectiveConfig(layers=(1,), **{setting: 1e-9})), batch, 12, 3e-2)
    bound = train(engine_of(family, ObjectiveConfig(layers=(1,), **{setting: 30.0})), batch, 12, 3e-2)
    assert bound[0][figure] == pytest.approx(free[0][figure])
    assert bound[-1][figure] < 0.95 * free[-1][figure]


@pytest.mark.parametrize("lora", [LORA, None])
def test_noise_raises_the_loss_and_changes_gradients(lora):
    batch = random_batch(64, LENGTHS)
    plain, attacked = engine_of("qwen2", lora=lora), engine_of("qwen2", ObjectiveConfig(perturb=0.05), lora)
    before, after = slopes(plain, batch, weight(batch)), slopes(attacked, batch, weight(batch))
    clean = plain.loss(batch)[0] / weight(batch)
    assert attacked.gradients(batch, weight(batch)) == pytest.approx(clean, rel=1e-4)
    assert attacked.extras["perturbed"] > clean + 0.01
    moved = max((after[name] - 2 * before[name]).abs().max().item() for name in before)
    assert moved > 1e-4
    engine = engine_of("qwen2", ObjectiveConfig(perturb=0.05, perturb_weight=0.0), lora)
    for name, slope in slopes(engine, batch, weight(batch)).items():
        torch.testing.assert_close(slope, before[name], atol=1e-6, rtol=1e-3)


def loss_under_noise(engine: HubEngine, batch: Batch, radius: float) -> float:
    measured = HubEngine(engine.model, engine.base, ObjectiveConfig(perturb=radius, perturb_weight=0.0))
    measured.gradients(batch, weight(batch))
    return measured.extras["perturbed"]


def test_training_under_noise_makes_the_loss_under_noise_smaller():
    batch = random_batch(64, LENGTHS)
    plain, hardened = engine_of("llama"), engine_of("llama", ObjectiveConfig(perturb=0.3))
    train(plain, batch, 40)
    train(hardened, batch, 40)
    assert loss_under_noise(hardened, batch, 0.3) < loss_under_noise(plain, batch, 0.3) - 0.1


def test_a_preference_step_raises_the_margin():
    engine, batch = engine_of("llama", ObjectiveConfig(beta=0.5)), preference_batch()
    before = engine.log_margins(batch)
    seen = train(engine, batch, 10)
    assert (engine.log_margins(batch) > before + 1).all()
    assert seen[-1]["preference"] < seen[0]["preference"]
    assert seen[-1]["margin"] > seen[0]["margin"]
    assert seen[-1]["accuracy"] == 1.0


def test_margins_are_differences_of_log_probabilities():
    engine, batch = engine_of("llama", lora=None), preference_batch()
    assert batch.preference is not None
    losses = engine.token_losses(batch)
    for pair in range(2):
        chosen = batch.preference.pair == pair
        assert engine.log_margins(batch)[pair] == pytest.approx(
            -(losses * batch.preference.side)[chosen].sum(), rel=1e-4
        )


def test_preference_gradients_add_up_over_accumulation():
    aim = ObjectiveConfig(beta=0.5, preference_weight=2.0)
    engine, batch = engine_of("llama", aim), preference_batch()
    once = slopes(engine, batch, weight(batch))
    for parameter in engine.parameters.values():
        parameter.grad = None
    for _ in range(2):
        engine.gradients(batch, 2 * weight(batch))
    for name, parameter in engine.parameters.items():
        torch.testing.assert_close(parameter.grad, once[name], atol=1e-6, rtol=1e-4)


def test_dropout_follows_from_the_batch_alone():
    engine, batch = engine_of("llama", lora=replace(LORA, dropout=0.3)), random_batch(64, LENGTHS)
    train(engine, batch, 3)
    torch.manual_seed(1)
    once = slopes(engine, batch)
    state = torch.get_rng_state()
    torch.rand(5)
    again = slopes(engine, batch)
    for name, slope in once.items():
        assert torch.equal(slope, again[name])
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state())  # and nobody else's numbers move
    plain = engine.loss(batch)[0] / 10
    assert engine.gradients(batch, 10.0) != pytest.approx(plain, rel=1e-6)


def test_factors_stay_fp32_over_a_bf16_base_and_learn_the_same():
    batch = random_batch(64, LENGTHS)
    expected = train(engine_of("qwen2"), batch, 15)
    base = tiny("qwen2").bfloat16().requires_grad_(requires_grad=False)
    base.set_attn_implementation(choose(base, 64).implementation)
    engine = HubEngine(put_lora(base, LORA, seed=1, name="base"), base)
    assert {p.dtype for p in engine.parameters.values()} == {torch.float32}
    assert train(engine, batch, 15)[-1]["loss"] == pytest.approx(expected[-1]["loss"], rel=0.05)


def test_full_fine_tuning_saves_a_whole_directory(tmp_path: Path):
    engine, batch = engine_of("qwen2", lora=None), random_batch(64, LENGTHS)
    train(engine, batch, 5, rate=1e-3)
    engine.save(tmp_path / "model")
    assert (tmp_path / "model" / "model.safetensors").is_file()
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    assert HubEngine(loaded, loaded).loss(batch)[0] == pytest.approx(engine.loss(batch)[0], rel=1e-5)


def test_a_full_disk_keeps_what_was_there(tmp_path: Path):
    engine, out = engine_of("llama"), tmp_path / "adapter"
    engine.save(out)
    before = (out / "adapter_model.safetensors").read_bytes()
    next(iter(engine.parameters.values())).data.fill_(1.0)

    class Full(nn.Module):
        def save_pretrained(self, where: Path) -> None:
            (Path(where) / "model.safetensors").write_bytes(b"half")
            raise OSError(28, "No space left on device")

    engine.model = Full()
    with pytest.raises(ModelError, match=r"No space left.*what was there is kept"):
        engine.save(out)
    assert (out / "adapter_model.safetensors").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["adapter"]
    engine = engine_of("llama")
    engine.save(out)  # and a save that works replaces it
    assert [p.name for p in tmp_path.iterdir()] == ["adapter"]


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA"), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]
)
def test_too_little_memory_names_the_settings_to_lower(error):
    with pytest.raises(ModelError, match=r"data\.rows.*optim\.accumulate.*run\.checkpointing"), memory_errors():
        raise error
    with pytest.raises(RuntimeError, match="another"), memory_errors():
        raise RuntimeError("another")


def test_a_model_that_is_too_large_for_the_machine_says_so():
    with pytest.raises(ModelError, match="out of memory"), memory_errors():
        torch.empty(1 << 50)


def test_checkpointing_changes_no_gradient():
    batch, aim = random_batch(64, LENGTHS), ObjectiveConfig(locality=1.0, layers=(0,), perturb=0.05)
    engine = engine_of("llama", aim)
    expected = slopes(engine, batch)
    recompute(engine.base)
    for name, slope in slopes(engine, batch).items():
        torch.testing.assert_close(slope, expected[name], atol=1e-6, rtol=1e-4)


def test_the_model_can_write_between_two_steps():
    engine, batch = engine_of("llama"), random_batch(64, LENGTHS)
    expected = slopes(engine, batch)
    with engine.writing() as model:
        ids = torch.tensor([[0, 0, 5, 6], [7, 8, 9, 10]])
        written = model.generate(ids, attention_mask=(ids > 0).long(), max_new_tokens=3, do_sample=False)
    assert written.shape == (2, 7)
    for name, slope in slopes(engine, batch).items():
        assert torch.equal(slope, expected[name])


def test_a_batch_of_nothing_is_nothing():
    engine, batch = engine_of("llama"), random_batch(64, ((10,),))
    empty = replace(batch, segments=np.zeros_like(batch.segments), weights=np.zeros_like(batch.weights))
    assert engine.gradients(empty, 1.0) == 0.0
    assert engine.loss(empty) == (0.0, 0.0)
    unweighted = replace(batch, weights=np.zeros_like(batch.weights))
    assert engine.gradients(unweighted, 1.0) == 0.0
