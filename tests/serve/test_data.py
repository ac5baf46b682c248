"""`emend data` as a process: summaries on stdout, mistakes in one sentence, interruptions that lose nothing."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECIPE = """output = "out"

[[sources]]
kind = "inject"
path = "code"
licence = "MIT"
each = 2

[clean]
labels = false
cosmetic = false
"""


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "views.py").write_text((ROOT / "repair" / "views.py").read_text())
    (tmp_path / "faults.toml").write_text(RECIPE)
    return tmp_path / "faults.toml"


def start(*argv):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "serve", "data", *map(str, argv)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        command, **pipes, text=True, env=environment,
        preexec_fn=interruptible,  # noqa: PLW1509 - nothing else runs in this process
    )  # fmt: skip


def interruptible():
    """Undo what a shell does to its background jobs: they inherit that SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def emend(*argv, code=0):
    process = start(*argv)
    out, told = process.communicate(timeout=300)
    assert process.returncode == code, told
    return out, told


def test_inject_then_build(recipe):
    out, _ = emend("inject", recipe, "--json")
    summary = json.loads(out)
    made = summary["counts"]["records"]["code"]
    assert made > 10 and summary["left_out"] == {"read": {}}
    out, told = emend("build", recipe, "split.test=0", "split.validation=0")
    assert "records: 1 kept" in told and "clean: 1 done" in told
    assert f"train {made}" in out or "left out: duplicates" in out
    assert (recipe.parent / "out" / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("build", "RECIPE", "split.sed=1"), "did you mean 'seed'?"),
        (("mine", "RECIPE"), "no source of kind commits"),
        (("build", "RECIPE", "output="), "where to?"),
        (("build", "RECIPE", "--ray", "127.0.0.1:9"), "token"),
    ],
)
def test_mistakes_are_one_sentence(recipe, argv, said):
    out, told = emend(*(recipe if word == "RECIPE" else word for word in argv), code=2)
    assert out == "" and said in told and told.count("\n") == 1
    assert "Traceback" not in told


def test_an_interrupt_ends_it_at_once(recipe):
    for n in range(400):
        (recipe.parent / "code" / f"m{n}.py").write_text((ROOT / "repair" / "diffs.py").read_text() + f"\nN = {n}\n")
    process = start("build", recipe, "--jobs", "2")
    work = recipe.parent / "out" / "work"
    while not (work / "lock").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=300)
    assert (process.returncode, told) == (130, "interrupted; the same command goes on where it was\n")


def test_the_corpus_is_reached_by_its_kind(recipe):
    wheels = recipe.parent / "wheels"
    wheels.mkdir()
    for name in ("alpha", "rich"):
        with zipfile.ZipFile(wheels / f"{name}-1.0-py3-none-any.whl", "w") as archive:
            metadata = f"Name: {name}\nVersion: 1.0\nLicense-Expression: MIT\n\n"
            archive.writestr(f"{name}-1.0.dist-info/METADATA", metadata)
            archive.writestr(
                f"{name}/views.py", (ROOT / "repair" / f"{'views' if name == 'rich' else 'edits'}.py").read_text()
            )
    recipe.write_text(
        'kind = "corpus"\nwheels = "wheels"\noutput = "corpus"\n[recipe]\nstdlib = false\nvocabulary = 700\n'
        "pretrain_tokens = 1000\nexamples = 10\nheld_out_examples = 4\nrow = 512\nexecuted_each = 1\n"
    )
    out, _ = emend("build", recipe, "--json")
    assert json.loads(out)["counts"]["files"] == {"alpha": 1, "rich": 1}
    assert (recipe.parent / "corpus" / "DATA.md").is_file()
    _, told = emend("mine", recipe, code=2)
    assert "can only be built" in told
