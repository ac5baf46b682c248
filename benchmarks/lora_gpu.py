"""LoRA on a GPU: our engine against transformers.Trainer + PEFT at the shapes of Qwen2.5-Coder, in one run.

`PYTHONPATH=. python benchmarks/lora_gpu.py --sizes 0.5b,1.5b,7b --out lora.jsonl`. Random weights are made on the
device in bf16, so nothing is read or fetched. LoRA of rank 32 on all linear layers; the examples of benchmarks/
throughput.py (log-normal, mean about 206 tokens, at most 1,024; the last quarter is learned). All sides start from the
same factors and see the same examples in each step of 32, with the same optimizer. Trainer pads each batch to its
longest example, once in the given order and once with group_by_length (which deals examples out otherwise), and takes
as many at once as memory allows.

Tokens a second are real ones, the median over the steps after the first three. Prints a table for each size and adds a
JSON line to --out after every side, so that a run that is cut off has lost nothing. Exits with 1 where a side failed,
or held-out losses after the same steps differ by more than 1 %.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from throughput import LONGEST, batch_of, examples, heldout_loss, learned, padded, unpadded
from torch import Tensor, nn

from training.config import DataConfig, LoraConfig, OptimConfig, Recipe, RunConfig
from training.flops import Cost, flops_per_token, peak_flops, shape_of
from training.hub import HubEngine, Origin
from training.loading import engine_on, put_lora
from training.optim import build_optimizers
from training.profiling import LORA, Profiler

if TYPE_CHECKING:
    from transformers import PreTrainedModel

EACH, HELDOUT, RANK = 32, 24, 32  # examples a step, held out; of the adapter
WARM, LEAST, MOST = 3, 6, 60  # steps that are left out; fewest and most that count
SIDES = ("ours", "compiled", "trainer", "grouped")
ORDERS = {"trainer": "sequential", "grouped": "group_by_length"}
Ids = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Size:
    """A Qwen2: its published shape, the learning rate of its recipe, examples that Trainer is given at once."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    feed: int
    vocabulary: int
    tied: bool
    rate: float
    at_once: int


# config.json of Qwen/Qwen2.5-Coder-{0.5B,1.5B,7B}
SIZES = {
    "0.5b": Size(896, 24, 14, 2, 4864, 151_936, tied=True, rate=4e-4, at_once=16),
    "1.5b": Size(1536, 28, 12, 2, 8960, 151_936, tied=True, rate=2e-4, at_once=16),
    "7b": Size(3584, 28, 28, 4, 18_944, 152_064, tied=False, rate=2e-4, at_once=8),
    "tiny": Size(64, 2, 4, 2, 128, 512, tied=True, rate=2e-3, at_once=16),
}


@dataclass(frozen=True, slots=True)
class Result:
    """One side at one size."""

    size: str
    side: str
    rate: float = 0.0  # real tokens a second, median of the steps that count
    whole: float = 0.0  # the same of these steps together
    utilisation: float = 0.0
    peak_gb: float = 0.0
    step_ms: float = 0.0
    steps: int = 0
    before: float = 0.0  # held-out loss
    after: float = 0.0
    at_once: int = EACH
    error: str = ""


class Clock:
    """When steps ended, the device having done all of them."""

    def __init__(self, device: str) -> None:
        self._device = device
        self.times: list[float] = []

    def mark(self) -> None:
        """Now."""
        if self._device == "cuda":
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())

    def seconds(self) -> list[float]:
        """Of each step."""
        return [b - a for a, b in zip(self.times, self.times[1:], strict=False)]


def recipe_of(size: Size, side: str, device: str) -> Recipe:
    """What `emend train adapter` would be given; rates do not change, as Trainer's do not."""
    return Recipe(
        data=DataConfig(row_length=LONGEST, rows=8),
        optim=OptimConfig(lr=size.rate, beta2=0.999, warmup=0, schedule="constant"),
        lora=LoraConfig(rank=RANK, alpha=2 * RANK),
        run=RunConfig(device=device, compile=side == "compiled"),
    )


def build(size: Size, device: str) -> PreTrainedModel:
    """The base, on the device from the start."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=size.vocabulary, hidden_size=size.hidden, intermediate_size=size.feed,
        num_hidden_layers=size.layers, num_attention_heads=size.heads, num_key_value_heads=size.kv_heads,
        tie_word_embeddings=size.tied, max_position_embeddings=32_768, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
    )  # fmt: skip
    was = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            return Qwen2ForCausalLM(config).requires_grad_(requires_grad=False)
    finally:
        torch.set_default_dtype(was)


def ours(
    base: PreTrainedModel, recipe: Recipe, found: Sequence[Ids], clock: Clock, seen: Callable[[], None]
) -> nn.Module:
    """The engine and the steps of `emend train adapter`, without its files."""
    engine: HubEngine = engine_on(base, recipe, Origin(), "random")
    optimizers, parameters = build_optimizers(engine.parameters.items(), recipe.optim), list(engine.parameters.values())
    clock.mark()
    for first in range(0, len(found), EACH):
        batch = batch_of(list(found[first : first + EACH]))
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=False)
        engine.gradients(batch, batch.weight)
        float(nn.utils.clip_grad_norm_(parameters, recipe.optim.clip))
        for optimizer in optimizers:
            optimizer.step()
        clock.mark()
        seen()
    return engine.model


def theirs(  # noqa: PLR0913, PLR0917 - as `ours`, and how Trainer is to batch
    base: PreTrainedModel,
    recipe: Recipe,
    found: Sequence[Ids],
    clock: Clock,
    seen: Callable[[], None],
    order: str,
    at_once: int,
) -> tuple[nn.Module, list[int]]:
    """Trainer's steps, and the real tokens in each."""
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    tokens: list[int] = []

    class Watch(TrainerCallback):
        def on_train_begin(self, *_: object, **__: object) -> None:
            clock.mark()

        def on_step_end(self, *_: object, **__: object) -> None:
            clock.mark()
            seen()

    def collate(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        tokens.append(sum(len(row["input_ids"]) for row in rows))
        return padded(rows)

    base.set_attn_implementation("sdpa")
    model: Any = put_lora(base, recipe.lora, seed=recipe.run.seed, name="random")
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, per_device_train_batch_size=at_once, gradient_accumulation_steps=EACH // at_once,
            num_train_epochs=1, learning_rate=recipe.optim.lr, lr_scheduler_type="constant", weight_decay=0.0,
            max_grad_norm=recipe.optim.clip, optim="adamw_torch_fused", train_sampling_strategy=order, bf16=True,
            use_cpu=base.device.type == "cpu", save_strategy="no", logging_strategy="no", report_to="none",
            disable_tqdm=True, seed=0,
        )  # fmt: skip
        data = unpadded(list(found))
        trainer = Trainer(model=model, args=arguments, train_dataset=data, data_collator=collate, callbacks=[Watch()])
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    parts = EACH // at_once
    return model, [sum(tokens[first : first + parts]) for first in range(0, len(tokens), parts)]


def steps_for(step_seconds: float, seconds: float) -> int:
    """Steps of a side, with those that are left out, when a step of the slowest takes so long."""
    return WARM + min(MOST, max(LEAST, int(seconds / max(step_seconds, 1e-6))))


class Bench:
    """One size: a base in memory, to which each side in turn puts its adapter and takes it off again."""

    def __init__(self, name: str, device: str) -> None:
        self.name, self.size, self.device = name, SIZES[name], device
        self.base = build(self.size, device)
        self.heldout = examples(HELDOUT, seed=9, vocabulary=self.size.vocabulary)
        self.before = heldout_loss(self.base, self.heldout, device)
        self.at_once = self.size.at_once

    def run(self, side: str, steps: int, profile: Path | None = None) -> Result:
        """Train one side. What fails is told in the result: the other sides and sizes shall still be measured."""
        while True:
            try:
                return self._run(side, steps, profile)
            except Exception as error:  # noqa: BLE001 - any failure, the compiler's own included
                failed = f"{type(error).__name__}: {error}"
                smaller = side in ORDERS and self.at_once > 1 and isinstance(error, torch.OutOfMemoryError)
            finally:
                self._clear()
            if not smaller:
                return Result(self.name, side, error=" ".join(failed.split())[:400])
            self.at_once //= 2

    def _run(self, side: str, steps: int, profile: Path | None) -> Result:
        recipe, clock = recipe_of(self.size, side, self.device), Clock(self.device)
        found = examples(steps * EACH, seed=1, vocabulary=self.size.vocabulary)
        tokens = [sum(len(ids) for ids in found[first : first + EACH]) for first in range(0, len(found), EACH)]
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        parts = {RANK: LORA, self.size.feed: "mlp"}
        with Profiler(profile, self.size.vocabulary, parts) if profile else nullcontext() as profiler:
            seen = profiler.step if profiler else _nothing
            if side in ORDERS:
                model, tokens = theirs(self.base, recipe, found, clock, seen, ORDERS[side], self.at_once)
            else:
                model = ours(self.base, recipe, found, clock, seen)
        peak = torch.cuda.max_memory_allocated() / 1e9 if self.device == "cuda" else 0.0
        self.base.set_attn_implementation("sdpa")
        with torch.compiler.set_stance("force_eager"):
            after = heldout_loss(model, self.heldout, self.device)
        seconds, tokens = clock.seconds()[WARM:], tokens[WARM:]
        rate = statistics.median(n / s for n, s in zip(tokens, seconds, strict=True))
        cost = self._cost(found)
        return Result(
            self.name, side, rate, sum(tokens) / sum(seconds), cost.utilisation(rate), peak,
            1000 * statistics.median(seconds), steps, self.before, after, self.at_once if side in ORDERS else EACH,
        )  # fmt: skip

    def _cost(self, found: Sequence[Ids]) -> Cost:
        count = sum(len(ids) for ids in found)
        labelled = sum(int(learned(ids).sum()) for ids in found) / count
        shape = shape_of(self.base.config)
        per_token = flops_per_token(shape, count / len(found), rank=RANK, labelled=labelled)
        return Cost(per_token, peak_flops(torch.device(self.device)))

    def _clear(self) -> None:
        """The base as it was."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        if any(module._compiled_call_impl for module in self.base.modules()):
            torch.compiler.reset()  # only so many shapes of one code are compiled before the compiler gives up
        for module in list(self.base.modules()):
            module._compiled_call_impl = None  # as nn.Module.compile left it
            for name, child in module.named_children():
                if isinstance(child, BaseTunerLayer):
                    setattr(module, name, child.get_base_layer())
        if self.device == "cuda":
            gc.collect()
            torch.cuda.empty_cache()


def _nothing() -> None:
    pass


def verdict(found: Sequence[Result]) -> tuple[float, float]:
    """(our rate over that of the faster Trainer, largest share by which a held-out loss lies off Trainer's).

    Grouped examples come in another order, so that their loss is none to compare with. Zeros where a side is missing.
    """
    done = {result.side: result for result in found if not result.error}
    mine, other = [done[s] for s in SIDES if s in done and s not in ORDERS], [done[s] for s in ORDERS if s in done]
    if not mine or not other:
        return 0.0, 0.0
    ratio = max(r.rate for r in mine) / max(r.rate for r in other)
    apart = max(abs(r.after / done["trainer"].after - 1) for r in mine) if "trainer" in done else 0.0
    return ratio, apart


def table(found: Sequence[Result]) -> str:
    """The results of one size as text."""
    lines = [
        f"{'size':6}{'side':10}{'tokens/s':>10}{'whole run':>11}{'MFU':>8}{'peak GB':>9}{'step ms':>9}"
        f"{'at once':>9}{'held-out':>10}{'after':>9}"
    ]
    for r in found:
        row = (
            f"{r.rate:10.0f}{r.whole:11.0f}{r.utilisation:8.1%}{r.peak_gb:9.1f}{r.step_ms:9.1f}"
            f"{r.at_once:9}{r.before:10.4f}{r.after:9.4f}"
        )
        lines.append(f"{r.size:6}{r.side:10}{r.error or row}")
    ratio, apart = verdict(found)
    return "\n".join(
        [*lines, f"{found[0].size}: {ratio:.2f} x the faster Trainer; held-out losses {apart:.2%} apart", ""]
    )


def measure(name: str, given: argparse.Namespace) -> list[Result]:
    """All sides at one size, each written down when it is done."""
    bench = Bench(name, given.device)
    tried = bench.run("trainer", WARM + 1)  # warms the device as well
    steps = WARM + LEAST if tried.error else steps_for(tried.step_ms / 1000, given.seconds_per_side)
    found: list[Result] = []
    for side in given.sides:
        found.append(bench.run(side, steps))
        with given.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(found[-1])) + "\n")
    if given.profile and name == given.sizes[0]:
        for side in given.sides:
            if side != "grouped":
                bench.run(side, 7, given.profile / side)
    return found


def listed(known: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        wrong = [name for name in names if name not in known]
        if wrong:
            raise argparse.ArgumentTypeError(f"{wrong[0]} is none of {', '.join(known)}")
        return names

    return parse


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--sizes", type=listed(tuple(SIZES)), default=["0.5b", "1.5b", "7b"])
    parser.add_argument("--sides", type=listed(SIDES), default=list(SIDES))
    parser.add_argument("--seconds-per-side", type=float, default=4.0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cuda", "cpu"))
    parser.add_argument("--profile", type=Path, help="folder for tables of where time goes, at the first size")
    parser.add_argument("--out", type=Path, default=Path("lora_gpu.jsonl"))
    given = parser.parse_args()
    fine = True
    for name in given.sizes:
        began = time.monotonic()
        found = measure(name, given)
        print(table(found), f"({time.monotonic() - began:.0f} s)", sep="", flush=True)
        fine = fine and verdict(found)[1] <= 0.01 and not any(r.error for r in found)
    return int(not fine)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    sys.exit(main())
