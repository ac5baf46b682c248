"""Our engine against transformers.Trainer + PEFT on the same task, in one run: `python benchmarks/throughput.py`.

LoRA on a small Qwen2 of realistic proportions (4 layers x 384, vocabulary 24,000, random weights, one thread), the
lengths of our data (log-normal, mean about 206 tokens, at most 1,024; the last quarter is learned). Same weights, same
first factors, same examples in each step, same optimizer. Trainer pads each batch to its longest example, once in the
given order and once with group_by_length. Each side runs in its own process, in turns, so that noise strikes all.
Prints held-out loss, real tokens per CPU second (other processes disturb it little) and peak memory, and exits with 1
when the losses differ by more than 1 % or we are less than 1.3 times as fast as the faster of the two.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.attention import choose, register
from training.batches import Batch, Example, assemble, pack
from training.config import DataConfig, LoraConfig
from training.hub import HubEngine
from training.loading import put_lora

VOCABULARY, WIDTH, LONGEST, EACH, HELDOUT, RATE = 24_000, 384, 1024, 8, 32, 2e-3
SIDES = ("ours", "trainer", "grouped")


def examples(count: int, seed: int, vocabulary: int = VOCABULARY) -> list[NDArray[np.uint32]]:
    """Code-like tokens: skewed frequencies, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.lognormal(np.log(206) - 0.245, 0.7, count), 16, LONGEST).astype(int)
    return [np.minimum(4 + rng.zipf(1.3, n), vocabulary - 1).astype(np.uint32) for n in lengths]


def learned(ids: NDArray[np.uint32]) -> NDArray[np.bool_]:
    return np.arange(len(ids)) >= len(ids) * 3 // 4


def build(out: Path) -> None:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=1024, num_hidden_layers=4, num_attention_heads=6,
        num_key_value_heads=2, tie_word_embeddings=True, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config)
    model.save_pretrained(out / "base")
    put_lora(model, LoraConfig(rank=16, alpha=32), seed=0, name=str(out / "base")).save_pretrained(out / "adapter")


def load(out: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(out / "base", dtype=dtype)
    return PeftModel.from_pretrained(base, str(out / "adapter"), is_trainable=True), base


def batch_of(part: list[NDArray[np.uint32]]) -> Batch:
    rows = pack([len(ids) for ids in part], LONGEST)
    weighted = [[Example(part[i], learned(part[i]).astype(np.float32)) for i in row] for row in rows]
    return assemble(weighted, DataConfig(rows=len(rows), row_length=LONGEST))


def heldout_loss(model: nn.Module, found: list[NDArray[np.uint32]], device: str = "cpu") -> float:
    """Mean loss, in plain transformers, one example at a time: the same code judges both sides."""
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for ids in found:
            row, at = torch.from_numpy(ids.astype(np.int64))[None].to(device), torch.from_numpy(learned(ids))[1:]
            losses = nn.functional.cross_entropy(model(row).logits[0, :-1].float(), row[0, 1:], reduction="none")
            total, count = total + losses.cpu()[at].sum().item(), count + int(at.sum())
    return total / count


def ours(out: Path, steps: int, dtype: torch.dtype) -> tuple[nn.Module, float]:
    model, base = load(out, dtype)
    register()
    base.set_attn_implementation(choose(base, LONGEST).implementation)
    engine = HubEngine(model, base, dtype=dtype)
    optimizer = torch.optim.AdamW(engine.parameters.values(), lr=RATE, weight_decay=0.0, fused=True)
    found = examples(steps * EACH, seed=1)
    began = time.process_time()
    for step in range(steps):
        batch = batch_of(found[step * EACH : (step + 1) * EACH])
        optimizer.zero_grad()
        engine.gradients(batch, float(batch.weights.sum()))
        nn.utils.clip_grad_norm_(engine.parameters.values(), 1.0)
        optimizer.step()
    spent = time.process_time() - began
    base.set_attn_implementation("sdpa")
    return model, spent


def unpadded(found: list[NDArray[np.uint32]]) -> list[dict[str, Any]]:
    """Examples as Trainer's data set."""
    return [
        {
            "input_ids": [int(v) for v in ids], "attention_mask": [1] * len(ids),
            "labels": [int(v) if use else -100 for v, use in zip(ids, learned(ids), strict=True)],
        }
        for ids in found
    ]  # fmt: skip


def padded(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
    longest = max(len(row["input_ids"]) for row in rows)
    empty = {"input_ids": 0, "labels": -100, "attention_mask": 0}
    return {
        key: torch.tensor([row[key] + [filler] * (longest - len(row[key])) for row in rows])
        for key, filler in empty.items()
    }


def theirs(out: Path, steps: int, dtype: torch.dtype, order: str) -> tuple[nn.Module, float]:
    from transformers import Trainer, TrainingArguments

    model, _ = load(out, dtype)
    arguments = TrainingArguments(
        output_dir=str(out / "trainer"), per_device_train_batch_size=EACH, num_train_epochs=1, learning_rate=RATE,
        lr_scheduler_type="constant", weight_decay=0.0, max_grad_norm=1.0, optim="adamw_torch_fused",
        train_sampling_strategy=order, bf16=dtype == torch.bfloat16, use_cpu=True, save_strategy="no",
        logging_strategy="no", report_to="none", disable_tqdm=True, seed=0,
    )  # fmt: skip
    found = unpadded(examples(steps * EACH, seed=1))
    trainer = Trainer(model=model, args=arguments, train_dataset=found, data_collator=padded)
    began = time.process_time()
    trainer.train()
    return model, time.process_time() - began


def one(side: str, out: Path, steps: int, dtype: torch.dtype) -> dict[str, float]:
    """A side in this process."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    heldout = examples(HELDOUT, seed=9)
    before = heldout_loss(load(out, dtype)[0], heldout)
    if side == "ours":
        model, seconds = ours(out, steps, dtype)
    else:
        model, seconds = theirs(out, steps, dtype, {"trainer": "sequential", "grouped": "group_by_length"}[side])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    tokens = sum(len(ids) for ids in examples(steps * EACH, seed=1))
    return {"before": before, "after": heldout_loss(model, heldout), "rate": tokens / seconds, "memory": memory}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"))
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.side:
        print(json.dumps(one(given.side, given.out, given.steps, getattr(torch, given.dtype))))
        return 0
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder))
        for turn in range(given.rounds):
            for side in SIDES[turn % 3 :] + SIDES[: turn % 3]:
                command = [
                    sys.executable, __file__, "--side", side, "--out", folder, "--steps", str(given.steps),
                    "--dtype", given.dtype,
                ]  # fmt: skip
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found[side].append(json.loads(done.stdout.strip().split("\n")[-1]))
    return report(found)


def report(found: dict[str, list[dict[str, float]]]) -> int:
    best = {side: max(runs, key=lambda run: run["rate"]) for side, runs in found.items()}
    print(f"{'':9}{'held-out before':>16}{'after':>9}{'tokens/CPU-s':>14}{'peak MB':>9}{'we are':>9}")
    for side, run in best.items():
        ratio = best["ours"]["rate"] / run["rate"]
        print(f"{side:9}{run['before']:16.4f}{run['after']:9.4f}{run['rate']:14.0f}{run['memory']:9.0f}{ratio:8.2f}x")
    slower = best["ours"]["rate"] / max(best["trainer"]["rate"], best["grouped"]["rate"])
    apart = abs(best["ours"]["after"] / best["trainer"]["after"] - 1)
    print(f"ratio to the faster of the two {slower:.2f}; loss differs by {apart:.2%} from the same order")
    return int(slower < 1.3 or apart > 0.01)


if __name__ == "__main__":
    sys.exit(main())
