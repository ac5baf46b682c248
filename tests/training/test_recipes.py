"""Shipped recipes are recipes, and docs/training.md tells every setting with its default."""

from __future__ import annotations

import re
import shlex
from dataclasses import MISSING, fields, replace
from pathlib import Path

import pytest
import torch
import typer
from transformers import AutoModelForCausalLM

from data.plans import CorpusPlan
from data.sources.packages import MEASURED_PROJECTS
from data.toml import read_plan
from repair.errors import InputError
from serve.cli import app
from tests.training.tiny import TINY, write_words
from training.checkpoint import latest, read_weights
from training.config import Dimension, Recipe, read_recipe
from training.export import export_model
from training.flops import shape_of
from training.pretrain import train_base
from training.recipe_text import render_recipe, toml
from training.study import space_of

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "training" / "recipes" / "corpus-gpu.toml"  # of `emend data build`
RECIPES = sorted(set((ROOT / "training" / "recipes").glob("*.toml")) - {CORPUS})
GUIDE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`([a-z0-9.-]+\.toml)`", GUIDE)
STAGES = {"base-gpu-a": 0.25e9, "base-gpu-b": 0.5e9, "base-gpu-c": 0.1e9, "adapter-gpu": 0.03e9}
SPEED = 0.7e6  # tokens a second that the plan counts on
INNER = {"tune.space.KEY": Dimension}


def recipe(name: str) -> Recipe:
    return read_recipe(ROOT / "training" / "recipes" / f"{name}.toml")


def settings() -> dict[str, object]:
    """Every setting by its dotted name, with its default."""
    sections = {section.name: type(getattr(Recipe(), section.name)) for section in fields(Recipe)}
    return {
        f"{name}.{field.name}": field.default if field.default_factory is MISSING else field.default_factory()
        for name, kind in {**sections, **INNER}.items()
        for field in fields(kind)
    }


def told() -> dict[str, str]:
    """Settings and defaults of the guide's tables, each under the heading `[section]`."""
    parts = re.findall(r"^### `\[([a-zA-Z.\"]+)\]`[^\n]*\n((?:(?!^##).*\n)*)", GUIDE, re.M)
    rows = [(name, re.findall(r"^\| `(\w+)` \| (.*?) \|", text, re.M)) for name, text in parts]
    return {f"{name.replace(chr(34), '')}.{key}": default for name, found in rows for key, default in found}


def written(default: object) -> str:
    return "" if default is None else f"`{toml(default)}`"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_is_read_and_says_what_it_is_for(path: Path):
    found = read_recipe(path)
    assert found.data.dataset or found.data.shards
    assert str(found.run.out).startswith("out/")
    assert path.read_text(encoding="utf-8").startswith("# ")
    assert read_recipe(path) == found
    assert render_recipe(found)  # at least one setting is not the default
    assert path.name in NAMED


def test_every_recipe_that_the_guide_names_is_there():
    mine = {"faults.toml", "team.toml", "corpus.toml", "best.toml"}
    assert set(NAMED) - mine <= {path.name for path in (*RECIPES, CORPUS)}


def test_the_corpus_fits_two_loads_and_its_wheels_are_listed():
    found = read_plan(CORPUS)
    assert isinstance(found, CorpusPlan)
    assert 0 < found.recipe.pack_mib <= 60
    stage = recipe("base-gpu-a")
    assert (found.recipe.vocabulary, found.recipe.row) == (stage.model.vocabulary, stage.data.row_length)
    lines = CORPUS.with_suffix(".txt").read_text("utf-8").splitlines()
    names = {line.partition("==")[0] for line in lines if not line.startswith("#")}
    assert len(names) == len(lines) - 1 and set(found.recipe.held_out) < names | {"rich"}
    assert not names & MEASURED_PROJECTS


@pytest.mark.parametrize("key", sorted(settings()))
def test_the_guide_tells_each_setting_with_its_default(key: str):
    assert told().get(key) == written(settings()[key])


def test_the_guide_tells_no_setting_that_is_gone():
    assert set(told()) == set(settings())


@pytest.mark.parametrize(("name", "tokens"), STAGES.items())
def test_a_stage_on_a_gpu_has_the_tokens_of_the_plan(name: str, tokens: float):
    found = recipe(name)
    step = found.data.rows * found.data.row_length * found.optim.accumulate
    assert step == 262_144
    planned = found.run.minutes * 60 * SPEED or found.run.steps * step
    assert planned == pytest.approx(tokens, rel=0.01)


def test_the_stages_are_one_model_and_follow_each_other():
    stages = [recipe(f"base-gpu-{letter}") for letter in "abc"]
    shape = shape_of(stages[0].model)
    assert shape.parameters + shape.width * shape.vocabulary == pytest.approx(39.6e6, rel=0.01)
    assert {stage.model for stage in stages} == {stages[0].model}
    assert [stage.run.init for stage in stages] == [None, stages[0].run.out, stages[1].run.out]
    rates = [(s.optim.lr, s.optim.lr * s.optim.final) for s in stages[1:]]
    assert rates[0][1] == pytest.approx(rates[1][0])  # C goes on where B ends
    assert rates[1][1] == 0
    assert [s.run.decay_minutes for s in stages[1:]] == [s.run.minutes for s in stages[1:]]
    assert stages[0].optim.final == 1  # flat


def test_the_space_of_the_search_is_possible():
    found = recipe("tune")
    assert set(space_of(found)) == set(found.tune.space)


def commands() -> list[str]:
    """Lines of the guide's shell blocks that call `emend` or accelerate."""
    blocks = re.findall(r"```sh\n(.*?)```", GUIDE, re.S)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").split("\n")]
    return [line for line in lines if re.match(r"emend |accelerate launch ", line)]


@pytest.mark.parametrize("line", commands())
def test_a_command_of_the_guide_names_what_exists(line: str):
    words = shlex.split(line, comments=True)
    words = words[words.index("serve") + 1 :] if words[0] == "accelerate" else words[1:]
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known
    given = [word for word in words if re.match(r"[a-z]+\.[a-z_]+=", word)]
    assert {word.partition("=")[0] for word in given} <= set(settings())
    for path in (word for word in words if word.startswith("training/recipes/")):
        (read_plan if ROOT / path == CORPUS else read_recipe)(ROOT / path, given)


def test_a_base_of_ones_own_becomes_a_directory_that_loads(tmp_path: Path, tiny_recipe: Recipe):
    write_words(tmp_path / "tokenizer.json")  # beside the shards, where a corpus build leaves it
    train_base(tiny_recipe)
    asked = re.search(r"emend train export (\S+) --to plain -o (\S+)", GUIDE)
    assert asked
    assert read_recipe(ROOT / "training/recipes/base-gpu-c.toml").run.out == Path(asked[1])
    export_model(tiny_recipe.run.out, "plain", tmp_path / "base")
    weights = read_weights(latest(tiny_recipe.run.out) or tmp_path)
    made = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32)
    assert made.config.num_hidden_layers == TINY.layers
    assert torch.equal(made.get_input_embeddings().weight, weights["model.embed_tokens.weight"])
    with pytest.raises(InputError, match="no run of"):
        export_model(tmp_path / "base", "plain", tmp_path / "again")


def test_a_run_is_not_gone_on_with_by_another_recipe(tiny_recipe: Recipe):
    train_base(tiny_recipe)
    longer = replace(tiny_recipe, run=replace(tiny_recipe.run, steps=14), optim=replace(tiny_recipe.optim, lr=1e-3))
    assert train_base(longer).step == 14
    with pytest.raises(InputError, match=r"holds a run with data\.rows = 4, not 2"):
        train_base(replace(tiny_recipe, data=replace(tiny_recipe.data, rows=2)))
