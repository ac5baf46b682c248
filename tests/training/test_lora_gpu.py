"""benchmarks/lora_gpu.py on the CPU: both sides learn the same, and what fails is told."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def bench():
    """The benchmark, which is no module of a package: imported from its folder, and forgotten."""
    before, known = list(sys.path), set(sys.modules)
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield importlib.import_module("lora_gpu")
    finally:
        sys.path[:] = before
        for name in {"lora_gpu", "throughput"} - known:
            sys.modules.pop(name, None)


@pytest.mark.filterwarnings("ignore")  # of Trainer, about this and that
def test_both_sides_learn_the_same_and_leave_the_base_as_it_was(bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bench, "EACH", 2)
    monkeypatch.setattr(bench, "HELDOUT", 2)
    one = bench.Bench("tiny", "cpu")
    one.at_once = 1
    names = [name for name, _ in one.base.named_parameters()]
    weights = [p.clone() for p in one.base.parameters()]
    found = [one.run(side, bench.WARM + 3) for side in ("ours", "trainer", "grouped")]
    assert [r.error for r in found] == ["", "", ""]
    ours, trainer, _ = found
    assert ours.after < ours.before - 0.005
    assert ours.after == pytest.approx(trainer.after, rel=1e-3)
    assert min(min(r.rate, r.whole, r.utilisation, r.step_ms) for r in found) > 0
    assert [r.at_once for r in found] == [2, 1, 1]
    assert [name for name, _ in one.base.named_parameters()] == names
    assert all(torch.equal(p, before) for p, before in zip(one.base.parameters(), weights, strict=True))
    monkeypatch.setattr(bench, "ours", lambda *_: (_ for _ in ()).throw(RuntimeError("no such kernel")))
    assert one.run("ours", 4).error == "RuntimeError: no such kernel"


def test_trainer_takes_fewer_at_once_where_memory_is_short(bench, monkeypatch: pytest.MonkeyPatch):
    asked: list[int] = []

    def short(*given: object) -> None:
        asked.append(given[-1])
        raise torch.OutOfMemoryError("too much")

    monkeypatch.setattr(bench, "HELDOUT", 1)
    monkeypatch.setattr(bench, "theirs", short)
    assert "OutOfMemoryError" in bench.Bench("tiny", "cpu").run("trainer", 4).error
    assert asked == [16, 8, 4, 2, 1]


def test_the_verdict_is_about_the_faster_trainer_and_the_same_order(bench):
    found = [
        bench.Result("tiny", "ours", rate=300.0, after=5.0),
        bench.Result("tiny", "compiled", error="no compiler"),
        bench.Result("tiny", "trainer", rate=100.0, after=5.1),
        bench.Result("tiny", "grouped", rate=200.0, after=9.0),
    ]
    ratio, apart = bench.verdict(found)
    assert ratio == 1.5
    assert apart == pytest.approx(0.0196, abs=1e-4)
    text = bench.table(found)
    assert "1.50 x the faster Trainer; held-out losses 1.96% apart" in text
    assert "no compiler" in text
    assert bench.verdict(found[:2]) == (0.0, 0.0)


def test_steps_fill_the_seconds_of_a_side(bench):
    assert bench.steps_for(0.5, 5.0) == bench.WARM + 10
    assert bench.steps_for(60.0, 5.0) == bench.WARM + bench.LEAST
    assert bench.steps_for(0.0, 5.0) == bench.WARM + bench.MOST


def test_every_size_is_written_down_when_a_side_is_done(bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(bench.Bench, "__init__", lambda self, name, _: setattr(self, "name", name))
    monkeypatch.setattr(bench.Bench, "run", lambda self, side, *_: bench.Result(self.name, side, rate=1, after=5))
    out = tmp_path / "lora.jsonl"
    monkeypatch.setattr(
        sys, "argv", ["lora_gpu.py", "--sizes", "tiny,7b", "--sides", "ours,trainer", "--out", str(out)]
    )
    assert bench.main() == 0
    told = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(one["size"], one["side"]) for one in told] == [
        ("tiny", "ours"), ("tiny", "trainer"), ("7b", "ours"), ("7b", "trainer"),
    ]  # fmt: skip
