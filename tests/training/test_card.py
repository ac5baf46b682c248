from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard

from data.tokenizer import train_tokenizer
from repair.errors import InputError
from training.card import EMBEDDED, CardFacts, DataUsed, Spent, render_card, write_card
from training.config import (
    DataConfig,
    Dimension,
    ModelConfig,
    ObjectiveConfig,
    Recipe,
    RunConfig,
    TuneConfig,
    parse_recipe,
)
from training.environment import hardware, versions
from training.export import export_plain
from training.model import Llama
from training.recipe_text import whole_recipe
from training.verdicts import PASSED, REFUSED, Row, Verdict, force

# transformers 5.23 warns about an attribute that peft 0.21 asks for
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
RECIPE = Recipe(
    data=DataConfig(dataset=("sets/mine",), row_length=640),
    objective=ObjectiveConfig(layers=(-1, 2), entropy=1e-7),
    run=RunConfig(out=Path('out/a "b"'), init=Path("x\\y"), steps=7),
    tune=TuneConfig(space={"optim.lr": Dimension(1e-5, 1e-2, log=True), "lora.rank": Dimension(choices=(4, 8))}),
)
ROW = Row("exact@1", 0.1, 0.2, 0.1, 0.02, 0.18, 0.95, 400, "better")
VERDICT = Verdict(PASSED, "exact@1", (), (ROW,), "the base", "the adapter", 400)
FACTS = CardFacts(
    name="My adapter",
    base="org/model-0.5b",
    recipe=RECIPE,
    data=(DataUsed("sets/mine", "ab" * 32, 500, {"MIT": 300, "": 200}, too_long=3),),
    spent=Spent(540.0, 7, 123456, "2 cores", {"torch": "2.13"}),
    before={"exact@1": 0.1, "ok_f1": float("nan")},
    after={"exact@1": 0.2, "exact@10": 0.5},
    verdict=VERDICT,
    licence="apache-2.0",
)


def blocks(card: str, language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)\n```", card, re.DOTALL)
    assert found
    return found[1]


def test_a_hub_reads_the_front_matter():
    read: Any = ModelCard(render_card(FACTS)).data
    assert (read.base_model, read.library_name, read.license) == ("org/model-0.5b", "peft", "apache-2.0")
    assert (read.datasets, read.base_model_relation) == (["sets/mine"], "adapter")
    assert {"lora", "program-repair"} <= set(read.tags)
    whole = replace(FACTS, recipe=replace(RECIPE, run=replace(RECIPE.run, method="full")), base="/models/Base: x")
    read = ModelCard(render_card(whole)).data
    assert (read.base_model, read.library_name, read.base_model_relation) == ("Base: x", "transformers", "finetune")
    assert "lora" not in read.tags


def test_the_recipe_in_a_card_is_the_recipe():
    assert parse_recipe(blocks(render_card(FACTS), "toml")) == RECIPE
    assert parse_recipe(whole_recipe(Recipe())) == Recipe()
    changed = whole_recipe(RECIPE).replace("row_length", "row_lengt")
    with pytest.raises(InputError, match="row_length"):
        parse_recipe(changed)


def test_a_card_tells_what_was_measured_and_what_it_took():
    card = render_card(FACTS)
    for told in (
        "[+0.0200, +0.1800]",
        "400 examples",
        "MIT (300), unknown (200)",
        "ab" * 32,
        "9.0 minutes",
        "torch 2.13",
    ):
        assert told in card
    assert "| exact@1 | 0.1 | 0.2 |" in card
    assert "| ok_f1 | - | - |" in card
    assert "| exact@10 | - | 0.5 |" in card
    assert "emend fix FILE --model org/model-0.5b --adapter DIRECTORY" in card
    assert "--model" not in render_card(replace(FACTS, base=EMBEDDED))
    assert "gate's answer" not in card


def test_a_refused_or_forced_or_unmeasured_adapter_says_so_before_anything_else():
    refused = replace(VERDICT, outcome=REFUSED, reasons=("ok_recall is worse: 0.5000 to 0.1000",))
    for verdict, told in ((refused, "refused.**"), (force(refused), "by `--force`"), (None, "not compared")):
        card = render_card(replace(FACTS, verdict=verdict))
        assert told in card[: card.index("## Use")]
    assert "ok_recall is worse" in render_card(replace(FACTS, verdict=refused))
    control = replace(RECIPE, data=replace(RECIPE.data, control="shuffled"))
    assert "must not be used" in render_card(replace(FACTS, recipe=control))


def test_the_card_replaces_the_one_of_peft_and_its_code_loads_the_adapter(tmp_path: Path):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    tokenizer = train_tokenizer(["def f(xs):\n    return t\n"] * 50, 600)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    shape = ModelConfig(tokenizer.get_vocab_size(), width=64, layers=1, heads=2, kv_heads=1, hidden=64, positions=64)
    export_plain(Llama(shape).state_dict(), shape, tmp_path / "tokenizer.json", tmp_path / "base")
    network = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    settings = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    get_peft_model(network, settings).save_pretrained(tmp_path / "adapter")
    path = write_card(replace(FACTS, base=str(tmp_path / "base")), tmp_path / "adapter")
    assert path.read_text().count("library_name") == 1
    made: dict[str, Any] = {}
    exec(blocks(path.read_text(), "python").replace("DIRECTORY", str(tmp_path / "adapter")), made)
    assert type(made["model"]).__name__ == "PeftModelForCausalLM"


def test_the_environment_is_told():
    assert versions()["torch"] == torch.__version__
    assert "cores of" in hardware() or " x " in hardware()
