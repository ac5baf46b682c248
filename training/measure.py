"""Held-out figures of a compact-format model without running any test: location, no-fault, exact fix, bits per byte.

`python -m training.measure MODEL_DIR HELDOUT.jsonl [--adapter DIR] [--limit N] [--scores FILE]` prints one JSON object.

Owns the definitions below. Must not know how the model was trained. One forward pass per example: greedy decoding
gives the reference token for token exactly when every reference token is the argmax after those before it.

    location@k        faulty examples: the true START is among the k likeliest of the lines shown and <|ok|>
    lines@1           the same without <|ok|> as an answer (the file is known to be faulty)
    ok precision      of the examples called faultless, the share without fault
    ok recall         of the examples without fault, the share called faultless
    exact@1           faulty examples: greedy decoding gives the reference, START and END included
    exact given line  the same when START is given (perfect localization)
    bits_per_byte     of the code lines of the prompt, line ends counted as bytes, line tokens as tokens
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from data.tokenizer import LineEncoder
from repair.errors import SuiteError
from repair.prompts import Role, compact_prompt, compact_target, encode_roles, line_token, truncate
from repair.views import Hunk, View

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Held:
    """One held-out example; no hunks: the code has no fault."""

    id: str
    view: View
    hunks: tuple[Hunk, ...]
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Score:
    """What the model made of one example."""

    id: str
    faulty: bool
    rank: int  # of the right answer among lines and <|ok|>, 1 is best
    line_rank: int  # among lines only; 0 for examples without fault
    called_ok: bool
    exact: bool
    exact_given_line: bool
    bits: float  # of the code
    bytes: int
    classes: tuple[str, ...] = ()


def read_heldout(path: Path, limit: int = 0) -> list[Held]:
    """Examples of a JSON-lines file. Raises SuiteError naming the line that cannot be read."""
    examples: list[Held] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if line.strip() and (not limit or len(examples) < limit):
            try:
                examples.append(_held(json.loads(line)))
            except (ValueError, KeyError, TypeError) as error:
                raise SuiteError(f"{path}:{number}: {error!r}", field="heldout", line=number) from error
    return examples


def _held(row: dict[str, Any]) -> Held:
    v = row["view"]
    view = View(
        v["path"], v["language"], v["first_line"], tuple(v["lines"]), v["error"], tuple(v["frames"]), v["test"],
        tuple(v["context"]),
    )  # fmt: skip
    return Held(row["id"], view, tuple(Hunk(*h) for h in row["hunks"]), tuple(row.get("bug_classes", ())))


def _rank(values: Sequence[float], right: int) -> int:
    return 1 + sum(v > values[right] for i, v in enumerate(values) if i != right)


class Meter:
    """A loaded model (Hugging Face causal LM on the CPU) with its encoder; `score` is pure."""

    def __init__(self, model: nn.Module, encoder: LineEncoder, limit: int = 1024) -> None:
        self._model, self._encoder, self._limit = model, encoder, limit

    def score(self, held: Held) -> Score:
        """Measure one example with one forward pass."""
        import torch

        encoder = self._encoder
        view = truncate(held.view, lambda v: len(encode_roles(compact_prompt(v), encoder)) <= self._limit)
        prompt = encode_roles(compact_prompt(view), encoder)
        target = encode_roles(compact_target(view, held.hunks), encoder)
        ids = torch.tensor([[t for t, _ in (*prompt, *target)]])
        with torch.inference_mode():
            logits = self._model(input_ids=ids).logits[0].float()
        likely = torch.log_softmax(logits[:-1], dim=-1)
        taken = likely.gather(1, ids[0, 1:, None]).squeeze(1)
        code = [i - 1 for i, (_, role) in enumerate(prompt) if i and role is Role.CODE]
        at = len(prompt) - 1  # predicts START
        words = [encoder.special(line_token(n)) for n in range(view.first_line, view.last_line + 1)]
        words.append(encoder.special("<|ok|>"))
        values = likely[at, words].tolist()
        right = words.index(target[0][0])
        greedy = (likely[at:].argmax(dim=-1) == ids[0, at + 1 :]).tolist()
        faulty = bool(held.hunks)
        rank = _rank(values, right)
        return Score(
            held.id, faulty, rank, _rank(values[:-1], right) if faulty else 0, max(values) == values[-1],
            rank == 1 and all(greedy[1:]), all(greedy[1:]), -float(taken[code].sum()) / math.log(2),
            sum(len(line.encode()) + 1 for line in view.lines), held.classes,
        )  # fmt: skip


def _share(hits: Iterable[bool]) -> float:
    seen = list(hits)
    return round(sum(seen) / len(seen), 4) if seen else math.nan


def summarise(scores: Sequence[Score]) -> dict[str, float]:
    """The figures of the module docstring over examples."""
    faulty = [s for s in scores if s.faulty]
    return {
        "examples": len(scores),
        "faulty": len(faulty),
        "location@1": _share(s.rank <= 1 for s in faulty),
        "location@5": _share(s.rank <= 5 for s in faulty),
        "lines@1": _share(s.line_rank <= 1 for s in faulty),
        "lines@5": _share(s.line_rank <= 5 for s in faulty),
        "ok_precision": _share(not s.faulty for s in scores if s.called_ok),
        "ok_recall": _share(s.called_ok for s in scores if not s.faulty),
        "exact@1": _share(s.exact for s in faulty),
        "exact_given_line": _share(s.exact_given_line for s in faulty),
        "bits_per_byte": round(sum(s.bits for s in scores) / max(1, sum(s.bytes for s in scores)), 4),
    }


def load_meter(directory: Path, adapter: Path | None = None) -> Meter:
    """A Meter of a model directory, its adapter merged. Raises InputError: no tokenizer of ours."""
    import torch
    from transformers import AutoModelForCausalLM

    encoder = LineEncoder.read(directory / "tokenizer.json")
    model: nn.Module = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    if adapter is not None:
        from peft import PeftModel

        model = cast("Any", PeftModel.from_pretrained(cast("Any", model), adapter)).merge_and_unload()
    return Meter(model.eval(), encoder)


def measure(directory: Path, heldout: Path, *, adapter: Path | None = None, limit: int = 0) -> list[Score]:
    """Scores of every held-out example. Raises SuiteError, InputError."""
    examples = read_heldout(heldout, limit)
    meter = load_meter(directory, adapter)
    return [meter.score(held) for held in examples]


def main(arguments: Sequence[str]) -> None:
    """The command of the module docstring."""
    parser = argparse.ArgumentParser(prog="training.measure")
    parser.add_argument("model", type=Path)
    parser.add_argument("heldout", type=Path)
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--scores", type=Path, help="write one JSON line an example")
    options = parser.parse_args(arguments)
    scores = measure(options.model, options.heldout, adapter=options.adapter, limit=options.limit)
    if options.scores:
        rows = (json.dumps({name: getattr(s, name) for name in Score.__slots__}) for s in scores)
        options.scores.write_text("\n".join(rows) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(summarise(scores)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
