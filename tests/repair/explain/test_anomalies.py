"""Planted faults in doctored copies of the embedded checkpoint are found, the healthy copy is left in peace."""

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from repair.embedded.expander import HERE, embedded_adapter, embedded_directory
from repair.errors import InputError
from repair.explain.anomalies import alarms
from repair.explain.glass import open_glass
from repair.explain.reference import FILE
from repair.explain.reference_file import load_reference
from repair.explain.values import AlarmKind
from repair.models.local import read_adapted
from repair.views import View

PROGRAMS = (
    "def total(prices, tax):\n    amount = 0\n    for price in prices:\n"
    "        amount += price\n    return amount * tax",
    "def longest(words):\n    best = ''\n    for word in words:\n        if len(word) > len(best):\n"
    "            best = word\n    return best",
    "def merge(left, right):\n    found = dict(left)\n    for key, value in right.items():\n"
    "        found.setdefault(key, []).append(value)\n    return found",
)
VIEWS = tuple(View("clean.py", "python", 1, tuple(text.split("\n"))) for text in PROGRAMS)
REFERENCE = load_reference(HERE / FILE)


@pytest.fixture(scope="module")
def merged():
    """The weights with the shipped adapter merged into them."""
    from peft.tuners.lora import LoraLayer

    model = read_adapted(embedded_directory(), embedded_adapter())
    for module in model.modules():
        if isinstance(module, LoraLayer):
            module.merge()
    return {
        name.replace(".base_layer", ""): value.float().contiguous()
        for name, value in model.state_dict().items()
        if "lora_" not in name and name != "lm_head.weight"
    }


@pytest.fixture
def opened(merged, tmp_path):
    """A glass over a copy of the checkpoint, written to disk after `change` doctored its weights."""

    def make(change=lambda weights: None):
        weights = {name: value.clone() for name, value in merged.items()}
        change(weights)
        source, copy = embedded_directory(), tmp_path / "copy"
        copy.mkdir()
        save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
        config = json.loads((source / "config.json").read_text()) | {"dtype": "float32"}
        (copy / "config.json").write_text(json.dumps(config))
        shutil.copyfile(source / "tokenizer.json", copy / "tokenizer.json")
        return open_glass(copy)

    return make


def name(layer, part):
    return f"model.layers.{layer}.{part}.weight"


def test_no_alarm_on_the_healthy_checkpoint(opened):
    assert alarms(opened(), VIEWS, REFERENCE) == ()


@pytest.mark.parametrize(("layer", "head"), [(0, 3), (5, 1)])
def test_a_head_forced_to_look_evenly(opened, layer, head):
    found = alarms(
        opened(lambda w: w[name(layer, "self_attn.q_proj")][32 * head : 32 * head + 32].zero_()), VIEWS, REFERENCE
    )
    assert (AlarmKind.ATTENTION, "focus", layer, head) in {(a.kind, a.statistic, a.layer, a.head) for a in found}


def test_a_dead_layer(opened):
    def kill(weights):
        weights[name(4, "self_attn.o_proj")].zero_()
        weights[name(4, "mlp.down_proj")].zero_()

    found = {(a.statistic, a.layer) for a in alarms(opened(kill), VIEWS, REFERENCE)}
    assert {("attention update", 4), ("mlp update", 4)} <= found


def test_an_outlier_neuron(opened):
    found = alarms(opened(lambda w: w[name(3, "mlp.up_proj")][17].mul_(50)), VIEWS, REFERENCE)
    assert (AlarmKind.ACTIVATION, 3, 17) in {(a.kind, a.layer, a.neuron) for a in found}


def test_a_shuffled_embedding(opened):
    def shuffle(weights):
        table = weights["model.embed_tokens.weight"]
        order = torch.randperm(len(table), generator=torch.Generator().manual_seed(0))
        weights["model.embed_tokens.weight"] = table[order].clone()

    found = alarms(opened(shuffle), VIEWS, REFERENCE)
    assert any(a.kind is AlarmKind.REPRESENTATION for a in found)


def test_nothing_to_read_is_an_error(opened):
    with pytest.raises(InputError, match="no program"):
        alarms(opened(), (), REFERENCE)
