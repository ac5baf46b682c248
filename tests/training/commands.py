"""What the tests of `emend train` share: checkpoints of milliseconds, datasets, and the command in this process."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from data.records import Record, to_row
from serve.boundary import ErrorBoundary
from serve.cli import app
from tests.training.families import CONFIGS
from tests.training.pieces import qwen_like, records

ROOT = Path(__file__).parents[2]
LENGTH = 448  # tokens of a row: every example of `pieces.record` fits


def write_base(family: str, out: Path) -> Path:
    """A whole checkpoint of a family: its real class with random weights, a byte-level tokenizer."""
    from transformers import AutoModelForCausalLM

    tokenizer = qwen_like()
    config = deepcopy(CONFIGS[family])
    config.vocab_size, config.max_position_embeddings = len(tokenizer) + 4, 2048
    config.pad_token_id, config.bos_token_id = tokenizer.pad_token_id, None
    config.eos_token_id = tokenizer.eos_token_id
    if family == "starcoder2":
        config.sliding_window = 2048
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


def write_rows(path: Path, **splits: Iterable[Record]) -> Path:
    """A .jsonl of records, each with its split."""
    rows = [to_row(one) | {"split": split} for split, own in splits.items() for one in own]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_recipe(path: Path, base: Path | str, dataset: Path, out: Path, **sections: Mapping[str, object]) -> Path:
    """A recipe of seconds on one thread; `sections` add to it or change it."""
    table: dict[str, dict[str, object]] = {
        "data": {"dataset": [str(dataset)], "row_length": LENGTH, "rows": 2},
        "optim": {"optimizer": "adamw", "lr": 1e-3, "warmup": 0},
        "lora": {"rank": 4, "alpha": 8},
        "run": {"base": str(base), "out": str(out), "steps": 3, "threads": 1, "dtype": "float32", "device": "cpu"},
        "gate": {"resamples": 200},
    }
    for name, section in sections.items():
        table.setdefault(name, {}).update(section)
    path.write_text("".join(
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in section.items())
        for name, section in table.items()
    ))  # fmt: skip
    return path


@dataclass(frozen=True, slots=True)
class Done:
    """What a command left: its exit code and its words."""

    code: int
    out: str
    told: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def emend(*argv: object) -> Done:
    """`emend ...` in this process, through the boundary that turns errors into sentences."""
    out, told, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(told):
        try:
            with ErrorBoundary():
                app([str(one) for one in argv])
        except SystemExit as left:
            code = int(left.code or 0)
    return Done(code, out.getvalue(), told.getvalue())


def refused(*argv: object, code: int = 2) -> str:
    """The one sentence of a command that must fail."""
    done = emend(*argv)
    assert (done.code, done.out) == (code, ""), done
    assert "Traceback" not in done.told
    last = done.told.strip().split("\n")[-1]
    assert last.startswith("emend: ")
    return last


def start(*argv: object, launch: Sequence[str] = (), **environment: str) -> subprocess.Popen[str]:
    """`emend ...` as a process of its own."""
    known = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)} | environment
    command = [sys.executable, *(launch or ("-m",)), "serve", *map(str, argv)]
    return subprocess.Popen(
        command, cwd=ROOT, env=known, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=_interruptible,  # noqa: PLW1509 - nothing else runs between fork and exec
    )  # fmt: skip


def _interruptible() -> None:
    """Undo what a shell does to its background jobs: they inherit that SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def metrics(out: Path) -> list[dict[str, Any]]:
    """Every record of a run, without the half lines of those that were killed or had no room."""
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def losses(out: Path) -> dict[int, float]:
    """Loss by step, the last where a step was done again."""
    return {row["step"]: row["loss"] for row in metrics(out) if "loss" in row}


def few(path: Path, faulty: int = 6, clean: int = 2, heldout: int = 0) -> Path:
    """A small dataset file, with or without a held-out split."""
    known = records(faulty + heldout, clean)
    train = known[:faulty] + known[faulty + heldout :]
    return write_rows(path, train=train, validation=known[faulty : faulty + heldout] or known[:1])


if __name__ == "__main__":  # several commands in one group of processes, with -- between them
    codes: list[int] = []
    words = " ".join(sys.argv[1:]).split(" -- ")
    for command in words:
        ended = emend(*command.split(" "))
        sys.stderr.write(ended.told)
        codes.append(ended.code)
    sys.exit(max(codes))
