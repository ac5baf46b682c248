from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from repair.errors import InputError, ModelError
from repair.explain.adapters import put_beside
from repair.explain.conservative import conserving
from repair.explain.glass import Glass, Watch, open_glass
from repair.explain.passages import passage
from repair.explain.values import Interventions, NeuronScale, Subject
from repair.models.local import add_adapter, read_adapted
from tests.repair.models.conftest import tiny_llama
from tests.training.families import tiny

IDS = tuple(range(3, 33))
ROWS = (5, 17, 29)


@pytest.mark.parametrize("family", ["llama", "qwen2", "starcoder2", "gemma"])
def test_glass_rows_are_eager_rows(family: str) -> None:
    eager = tiny(family)
    eager.set_attn_implementation("eager")
    with torch.no_grad():
        wanted = eager(torch.tensor([IDS]), output_attentions=True, output_hidden_states=True)
    glass = Glass(tiny(family), "nowhere", family, adapted=False)
    seen = glass.run(IDS, Watch(rows=ROWS, attention=True, hidden=True, neurons=True))
    assert not glass.notes
    for own, right in zip(seen.attention, wanted.attentions, strict=True):
        assert torch.allclose(own, right[0, :, list(ROWS)], atol=1e-6)
        assert torch.allclose(own.sum(-1), torch.ones(own.shape[:2]), atol=1e-6)
    assert torch.allclose(seen.logits, wanted.logits[0, list(ROWS)], atol=1e-4)
    assert len(seen.hidden) == 3 and len(seen.neurons) == 2
    # the lens of the last layer says what the model says
    assert torch.allclose(glass.head(glass.norm(seen.hidden[-1][list(ROWS)])), seen.logits, atol=1e-4)


def test_a_model_that_sdpa_cannot_serve_is_switched_and_says_so() -> None:
    glass = Glass(tiny("gemma2"), "nowhere", "gemma2", adapted=False)
    assert "switched to the eager one" in glass.notes[0]
    seen = glass.run(IDS, Watch(rows=ROWS, attention=True))
    assert all(torch.allclose(one.sum(-1), torch.ones(one.shape[:2]), atol=1e-5) for one in seen.attention)


def hooks(glass: Glass) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in glass.model.modules())


def test_watching_leaves_the_outputs_bit_identical_also_after_a_failure(compact: Glass) -> None:
    ids = tuple(range(300, 360))
    plain, before = compact.run(ids).logits, hooks(compact)
    watched = compact.run(ids, Watch(attention=True, hidden=True, neurons=True)).logits
    assert torch.equal(plain, watched)
    with conserving(compact):
        assert torch.equal(plain, compact.run(ids).logits)
    with pytest.raises(ModelError):
        compact.run((10**6,), Watch(attention=True, hidden=True, neurons=True))
    with pytest.raises(RuntimeError, match="on purpose"), conserving(compact):
        raise RuntimeError("on purpose")
    assert hooks(compact) == before
    assert torch.equal(plain, compact.run(ids).logits)


CHANGES = [
    Interventions(layers_off=(1,)),
    Interventions(heads_off=((0, 2),)),
    Interventions(neurons=(NeuronScale(0, 3, 40.0),)),
]


@pytest.mark.parametrize("change", CHANGES)
def test_interventions_change_the_model_and_are_undone(compact: Glass, change: Interventions) -> None:
    ids = tuple(range(300, 330))
    plain = compact.run(ids).logits
    with compact.changed(Interventions()):
        assert torch.equal(plain, compact.run(ids).logits)
    with compact.changed(Interventions(neurons=(NeuronScale(0, 3, 1.0),))):
        assert torch.equal(plain, compact.run(ids).logits)
    with compact.changed(change):
        assert not torch.allclose(plain, compact.run(ids).logits, atol=1e-4)
    with pytest.raises(RuntimeError, match="on purpose"), compact.changed(change):
        raise RuntimeError("on purpose")
    assert torch.equal(plain, compact.run(ids).logits)


def test_interventions_on_what_is_not_there_name_the_field(compact: Glass) -> None:
    for change, field in (
        (Interventions(layers_off=(2,)), "layers_off"),
        (Interventions(heads_off=((0, 4),)), "heads_off"),
        (Interventions(neurons=(NeuronScale(0, 96),)), "neurons"),
        (Interventions(adapter_scale=0.5), "adapter_scale"),
    ):
        with pytest.raises(InputError) as told, compact.changed(change):
            pass
        assert told.value.field == f"interventions.{field}"


def lora(out: Path) -> Path:
    torch.manual_seed(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = LoraConfig(r=4, lora_alpha=6, target_modules="all-linear", init_lora_weights=False)
        get_peft_model(tiny_llama(704), config).save_pretrained(out)
    return out


def test_a_plain_adapter_is_that_of_peft_and_its_scale_can_change(compact_directory: Path, tmp_path: Path) -> None:
    adapter, ids = lora(tmp_path / "a"), tuple(range(300, 330))
    glass = open_glass(compact_directory, adapter=adapter, device="cpu")
    reference = add_adapter(read_adapted(compact_directory, None).float(), adapter).eval()
    by_peft = Glass(reference, compact_directory, "peft", adapted=True)
    assert glass.scalable and by_peft.scalable and len(glass.scalings) == len(by_peft.scalings) == 14
    for scale in (1.0, 0.5, 0.0):
        with glass.changed(Interventions(adapter_scale=scale)), by_peft.changed(Interventions(adapter_scale=scale)):
            assert torch.equal(glass.run(ids).logits, by_peft.run(ids).logits)
    with glass.changed(Interventions(adapter_scale=0.0)):
        assert torch.equal(glass.run(ids).logits, open_glass(compact_directory, device="cpu").run(ids).logits)


def test_an_adapter_that_does_not_fit_is_refused(compact_directory: Path, tmp_path: Path) -> None:
    adapter = lora(tmp_path / "a")
    file = adapter / "adapter_model.safetensors"
    weights = load_file(file)
    name = next(iter(weights))
    save_file(weights | {name: torch.zeros(4, 3)}, file)
    with pytest.raises(ModelError, match="does not fit the model"):
        open_glass(compact_directory, adapter=adapter, device="cpu")
    assert put_beside(tiny_llama(704), tmp_path) is None  # no adapter there: peft says what is wrong


def test_a_server_shows_nothing() -> None:
    with pytest.raises(InputError, match="log-probabilities and perturbation"):
        open_glass("http://localhost:1/v1")


def test_one_thread_and_several_say_the_same(compact: Glass, subject: Subject) -> None:
    ids = passage(compact.answers, subject.view, subject.hunks).ids
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            found.append(compact.run(ids, Watch(attention=True)))
    finally:
        torch.set_num_threads(threads)
    assert torch.allclose(found[0].logits, found[1].logits, atol=1e-4)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found[0].attention, found[1].attention, strict=True))
