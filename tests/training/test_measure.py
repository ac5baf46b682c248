from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from data.tokenizer import LineEncoder, train_tokenizer
from repair.errors import SuiteError
from repair.prompts import compact_prompt, compact_target, encode
from repair.views import Hunk, View
from training.config import ModelConfig
from training.export import export_plain
from training.measure import Held, Meter, main, read_heldout, summarise
from training.model import Llama

VIEW = View("a.py", "python", 10, ("def f(xs):", "    t = 0", "    return t + len(xs)"))
FIX = (Hunk(11, 11, "    t = 1"),)


@pytest.fixture(scope="module")
def encoder() -> LineEncoder:
    return LineEncoder(train_tokenizer(["def f(xs):\n    return t\n    t = 0\n"] * 50, 600))


class Oracle(torch.nn.Module):
    """Puts its belief on given token sequences: a model whose answers are known."""

    def __init__(self, believed: list[int], size: int) -> None:
        super().__init__()
        self.believed, self.size = believed, size

    def forward(self, input_ids: torch.Tensor) -> Any:
        logits = torch.zeros(1, input_ids.shape[1], self.size)
        for at, token in enumerate(self.believed[1 : input_ids.shape[1]]):
            logits[0, at, token] = 9.0
        return SimpleNamespace(logits=logits)


def oracle(encoder: LineEncoder, view: View, hunks: tuple[Hunk, ...]) -> Meter:
    believed = encode((*compact_prompt(view), *compact_target(view, hunks)), encoder)
    return Meter(Oracle(believed, encoder.size), encoder)


def test_a_model_that_knows_the_answer_scores_full(encoder: LineEncoder):
    score = oracle(encoder, VIEW, FIX).score(Held("x", VIEW, FIX))
    assert (score.rank, score.line_rank, score.called_ok, score.exact, score.exact_given_line) == (
        1, 1, False, True, True,
    )  # fmt: skip
    assert score.bits < 3.0
    assert score.bytes == sum(len(line) + 1 for line in VIEW.lines)


def test_the_right_text_at_the_wrong_line_counts_only_when_the_line_is_given(encoder: LineEncoder):
    other = (Hunk(12, 12, "    t = 1"),)
    prompt = len(encode(compact_prompt(VIEW), encoder))
    meter = oracle(encoder, VIEW, FIX)
    meter._model.believed[prompt] = encode(compact_target(VIEW, other), encoder)[0]  # type: ignore[union-attr,operator]
    score = meter.score(Held("x", VIEW, FIX))
    assert (score.rank, score.exact, score.exact_given_line) == (2, False, True)


def test_no_fault_is_an_answer(encoder: LineEncoder):
    clean, faulty = Held("clean", VIEW, ()), Held("faulty", VIEW, FIX)
    meter = oracle(encoder, VIEW, ())
    scores = [meter.score(clean), meter.score(faulty)]
    assert [s.called_ok for s in scores] == [True, True]
    assert scores[1].rank == 2
    assert scores[1].line_rank == 1  # every line has the same belief, and ties do the model no harm
    found = summarise(scores)
    assert (found["ok_precision"], found["ok_recall"], found["location@1"], found["location@5"]) == (0.5, 1.0, 0.0, 1.0)


def test_an_unsure_model_needs_the_bits_of_a_uniform_guess(encoder: LineEncoder):
    score = Meter(Oracle([], encoder.size), encoder).score(Held("x", VIEW, FIX))
    code = encode(compact_prompt(VIEW), encoder)
    tokens = len(code) - len(encode(compact_prompt(View("a.py", "python", 10, ())), encoder))
    assert score.bits == pytest.approx(tokens * torch.log2(torch.tensor(float(encoder.size))).item(), rel=1e-4)


def test_held_out_rows_are_read_and_bad_ones_are_named(tmp_path: Path):
    view = {"path": "a.py", "language": "python", "first_line": 1, "lines": ["x"], "error": "", "frames": [],
            "test": "", "context": []}  # fmt: skip
    good = json.dumps({"id": "1", "view": view, "hunks": [[1, 1, "y"]], "bug_classes": ["variable"]})
    file = tmp_path / "held.jsonl"
    file.write_text(f"{good}\n\n{good}\n")
    rows = read_heldout(file)
    assert (len(rows), rows[0].hunks, rows[0].classes) == (2, (Hunk(1, 1, "y"),), ("variable",))
    assert len(read_heldout(file, 1)) == 1
    file.write_text(f'{good}\n{{"id": "2"}}\n')
    with pytest.raises(SuiteError, match=r"held\.jsonl:2"):
        read_heldout(file)


def test_the_command_measures_a_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    torch.manual_seed(0)
    tokenizer = train_tokenizer(["def f(xs):\n    return t\n    t = 0\n"] * 50, 600)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    shape = ModelConfig(tokenizer.get_vocab_size(), width=64, layers=1, heads=2, kv_heads=1, hidden=64, positions=256)
    export_plain(Llama(shape).state_dict(), shape, tmp_path / "tokenizer.json", tmp_path / "model")
    view = {"path": "a.py", "language": "python", "first_line": 1, "lines": ["t = 1", "return t"], "error": "",
            "frames": [], "test": "", "context": []}  # fmt: skip
    rows = [{"id": "p/1", "view": view, "hunks": [[1, 1, "t = 0"]]}, {"id": "p/2", "view": view, "hunks": []}]
    (tmp_path / "held.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    main([str(tmp_path / "model"), str(tmp_path / "held.jsonl"), "--scores", str(tmp_path / "scores.jsonl")])
    found = json.loads(capsys.readouterr().out)
    assert (found["examples"], found["faulty"], found["location@5"]) == (2, 1, 1.0)
    assert 0 < found["bits_per_byte"] < 20
    scores = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert [(s["id"], s["faulty"]) for s in scores] == [("p/1", True), ("p/2", False)]
