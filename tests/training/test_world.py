"""Several processes, killed and interrupted ones: the losses are those of one undisturbed process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.training.commands import ROOT, emend, few, losses, metrics, start, write_base, write_recipe
from tests.training.test_loop import LAUNCH

# transformers 5.23 warns about an attribute that peft 0.21 asks for
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_two_processes_train_as_one_does_whole_and_divided(tmp_path: Path):
    base, rows = write_base("qwen2", tmp_path / "base"), few(tmp_path / "d.jsonl", faulty=12, heldout=3)

    def recipe(name: str, **run: object) -> Path:
        short = {"rows": 1, "row_length": 300}  # three held-out rows: more for one process than for the other
        return write_recipe(tmp_path / f"{name}.toml", base, rows, tmp_path / name, data=short, run={"steps": 4, **run})

    assert emend("train", "adapter", recipe("alone"), "--force", "optim.accumulate=2").code == 0
    whole = ["train", "adapter", str(recipe("whole")), "--force"]
    divided = ["train", "adapter", str(recipe("divided", shard=True)), "--force", "watch.samples=2"]
    command = [sys.executable, *LAUNCH, "tests.training.commands", *whole, "--", *divided]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        _, told = done.communicate(timeout=300)
    finally:
        done.terminate()  # the launcher then ends its workers, which `kill` would leave behind
        done.wait(20)
    assert done.returncode == 0, told
    expected = [(m.get("loss"), m.get("heldout")) for m in metrics(tmp_path / "alone")]
    assert len(expected) == 6  # four steps, before and after them the held-out loss
    for name in ("whole", "divided"):
        found = [(m.get("loss"), m.get("heldout")) for m in metrics(tmp_path / name) if "sample" not in m]
        for (loss, heldout), (of_one, held_of_one) in zip(found, expected, strict=True):
            assert (loss or heldout) == pytest.approx(of_one or held_of_one, rel=1e-4)
        assert (tmp_path / name / "adapter" / "gate.json").is_file()
    assert sum("sample" in m for m in metrics(tmp_path / "divided")) == 6


def after(steps: int, process: subprocess.Popen[str], out: Path, number: signal.Signals) -> tuple[str, str]:
    """Wait until a run has done so many steps and send it a signal."""
    for _ in range(10000):
        if (out / "metrics.jsonl").exists() and len(losses(out)) >= steps:
            break
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(number)
    return process.communicate(timeout=300)


def test_a_run_that_was_interrupted_and_killed_has_the_same_losses(tmp_path: Path):
    base, rows = write_base("qwen2", tmp_path / "base"), few(tmp_path / "d.jsonl", heldout=1)

    def recipe(name: str) -> Path:
        run = {"steps": 150, "save_seconds": 0.0, "evaluate_steps": 1000, "threads": 1}
        return write_recipe(
            tmp_path / f"{name}.toml", base, rows, tmp_path / name, run=run, lora={"dropout": 0.2}, data={"rows": 1}
        )

    hit = tmp_path / "hit"
    first = start("train", "adapter", recipe("hit"), "--force")
    _, told = after(3, first, hit, signal.SIGINT)
    assert first.returncode == 130
    assert told.endswith(f"interrupted; the same command goes on from the last checkpoint in {hit}\n")
    done = len(losses(hit))
    assert 3 <= done < 150
    second = start("train", "adapter", recipe("hit"), "--force")
    after(done + 5, second, hit, signal.SIGKILL)
    assert second.returncode == -signal.SIGKILL
    assert done + 5 <= len(losses(hit)) < 150
    assert emend("train", "adapter", recipe("hit"), "--force").code == 0
    assert emend("train", "adapter", recipe("undisturbed"), "--force", "run.save_seconds=1000").code == 0
    assert losses(hit) == losses(tmp_path / "undisturbed")
    assert len(losses(hit)) == 150
