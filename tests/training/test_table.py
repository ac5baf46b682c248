from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from data.records import Origin, Record, to_row
from data.tokenizer import train_tokenizer
from repair.errors import InputError
from training.config import ModelConfig
from training.export import export_plain
from training.measure import Measured
from training.model import Llama
from training.scores import Score
from training.table import main, render_table


def score(name: str, rank: int, proposed: int = -1) -> Score:
    return Score(name, True, rank, rank, False, 0.1, rank == 1, False, 80.0, 100, 80.0, 100, proposed)


def row_of(lines: list[str], name: str) -> list[str]:
    (found,) = (line for line in lines if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in found.strip("|").split("|")][1:]


def test_two_models_stand_side_by_side_over_the_examples_that_both_have():
    old = Measured("old", tuple(score(str(n), 2, 20) for n in range(40)))
    new = Measured("new", tuple(score(str(n), 1 if n % 2 else 2, 7) for n in range(39)), too_long=1)
    lines = render_table("Injected", [old, new])
    assert "39 faulty, 0 without fault; too long for the context: 1" in lines
    cells = row_of(lines, "exact fix@1, greedy")
    assert cells[:2] == ["0.0 %", "48.7 %"]
    assert cells[2].startswith("+48.7 (+")
    assert row_of(lines, "exact fix@10, proposals")[:2] == ["0.0 %", "100.0 %"]
    assert row_of(lines, "exact fix@100, proposals")[2] == "+0.0 (+0.0 to +0.0)"
    assert row_of(lines, "bits per byte of the code")[:2] == ["0.800", "0.800"]
    assert not any("recall" in line or "search" in line for line in lines)  # nobody was asked
    alone = render_table("Injected", [old])
    assert len(row_of(alone, "location@5")) == 1


def test_the_command_prints_injected_and_mined_and_says_where_suites_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    torch.manual_seed(0)
    tokenizer = train_tokenizer(["def f(xs):\n    return t\n    t = 0\n"] * 50, 600)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    shape = ModelConfig(tokenizer.get_vocab_size(), width=64, layers=1, heads=2, kv_heads=1, hidden=64, positions=256)
    export_plain(Llama(shape).state_dict(), shape, tmp_path / "tokenizer.json", tmp_path / "model")
    view = {"path": "a.py", "language": "python", "first_line": 1, "lines": ["t = 1", "return t"], "error": "",
            "frames": [], "test": "", "context": []}  # fmt: skip
    held = {"id": "1", "view": view, "hunks": [[1, 1, "t = 0"]]}
    (tmp_path / "held.jsonl").write_text(json.dumps(held) + "\n")
    mined = to_row(Record("python", "t = 1\nu = 2\n", "t = 0\nu = 2\n", Origin.COMMIT))
    (tmp_path / "mined.jsonl").write_text(json.dumps(mined) + "\n")
    model = str(tmp_path / "model")
    files = ["--heldout", str(tmp_path / "held.jsonl"), "--mined", str(tmp_path / "mined.jsonl")]
    main([model, "--against", model, *files, "--candidates", "4", "--searched", "4"])
    out = capsys.readouterr().out
    assert "### Injected faults" in out
    assert "### Mined pairs" in out
    assert f"emend eval run SUITE.jsonl --model {model}" in out
    with pytest.raises(InputError, match="cannot be read"):
        main([model, "--heldout", str(tmp_path / "nowhere.jsonl")])
