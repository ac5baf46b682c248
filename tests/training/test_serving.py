"""What `emend train adapter` makes is what `emend fix --model --adapter` serves, for every listed architecture."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from tests.training.commands import Done, emend, few, losses, refused, start, write_base, write_recipe, write_rows
from tests.training.families import CONFIGS
from tests.training.pieces import record, records

# transformers 5.23 warns about an attribute that peft 0.21 asks for
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
BUGGY = "def join99(left, right):\n    size99 = left - right\n    return size99\n"
ERROR = """Traceback (most recent call last):
  File "calc.py", line 6, in <module>
    assert join99(1, 2) == 3
AssertionError: assert -1 == 3
"""


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def fix(tmp_path: Path, *argv: object) -> Done:
    (tmp_path / "calc.py").write_text(BUGGY)
    return emend("fix", tmp_path / "calc.py", "--error", ERROR, "--json", "--candidates", 20, *argv)


def proposed(done: Done) -> list[Any]:
    """The answer without what each call has of its own."""
    assert done.code == 0, done
    patches = done.json["patches"]
    assert patches, "no patch"
    assert all(one["verdict"] == "undecided" for one in patches)
    return [(one["diff"], one["score"]) for one in patches]


@pytest.mark.parametrize("family", list(CONFIGS))
def test_every_family_trains_and_serves(family: str, tmp_path: Path):
    base, out = write_base(family, tmp_path / "base"), tmp_path / "out"
    recipe = write_recipe(tmp_path / "r.toml", base, few(tmp_path / "d.jsonl"), out, optim={"lr": 2e-2})
    trained = emend("train", "adapter", recipe, "data.heldout_split=train", "--force", "--json", "run.steps=6")
    assert trained.code == 0, trained
    assert trained.json["adapter"] == str(out / "adapter")
    seen = losses(out)
    assert seen[6] < seen[1] - 0.01
    plain = proposed(fix(tmp_path, "--model", base))
    tuned = proposed(fix(tmp_path, "--model", base, "--adapter", out / "adapter"))
    assert tuned != plain  # the adapter is what answered


def test_the_embedded_base_trains_and_serves(tmp_path: Path):
    rows = write_rows(tmp_path / "d.jsonl", train=records(6, 2), validation=records(2))
    recipe = write_recipe(tmp_path / "r.toml", "", rows, tmp_path / "out", gate={"examples": 2}, run={"steps": 2})
    trained = start("train", "adapter", recipe, "--force", "--json", XDG_CACHE_HOME=str(tmp_path / "cache"))
    out, told = trained.communicate(timeout=300)
    assert trained.returncode == 0, told
    adapter = json.loads(out)["adapter"]
    assert json.loads((Path(adapter) / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert record(99).buggy.split("\n")[1].strip() in BUGGY
    plain = proposed(fix(tmp_path))
    tuned = proposed(fix(tmp_path, "--adapter", adapter))
    assert tuned != plain


def test_an_adapter_of_another_vocabulary_is_refused(tmp_path: Path):
    from peft import LoraConfig, get_peft_model

    config = deepcopy(CONFIGS["llama"])  # of 64 tokens
    settings = LoraConfig(r=2, target_modules="all-linear", modules_to_save=["lm_head"])
    get_peft_model(AutoModelForCausalLM.from_config(config), settings).save_pretrained(tmp_path / "adapter")
    base = write_base("llama", tmp_path / "base")
    done = fix(tmp_path, "--model", base, "--adapter", tmp_path / "adapter")
    assert (done.code, done.out) == (3, "")
    assert f"the adapter {tmp_path / 'adapter'} does not fit the model" in done.told
    assert "lm_head" in done.told
    recipe = write_recipe(tmp_path / "r.toml", base, few(tmp_path / "d.jsonl"), tmp_path / "out")
    told = refused("train", "adapter", recipe, f"run.adapter={tmp_path / 'adapter'}", code=3)
    assert f"the adapter {tmp_path / 'adapter'} does not fit the base {base}: use the base it was made for" in told
    assert "lm_head" in told
    assert not (tmp_path / "out" / "candidate").exists()
