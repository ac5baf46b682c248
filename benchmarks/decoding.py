"""Shared-prefix decoding against plain Hugging Face calls, in one run: `python benchmarks/decoding.py`.

64 candidates from a 600-token prompt (8 layers x 256, vocabulary 8,192, random weights, fp32, one thread):
scoring against one full forward pass each, growing against one `generate` each. Exits with 1 when scores differ by
more than 1e-3, tokens differ, or either is less than 5 times as fast.
CPU seconds are measured, so other processes disturb the figures but little.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from repair.models.decoding import Choice, Engine, Row, grow
from repair.models.huggingface import HuggingFaceNetwork

VOCABULARY, END = 8192, 0
T = TypeVar("T")


class Anything:
    """Any token may follow; END ends."""

    def bias(self) -> Tensor | None:
        return None

    def accept(self, token: int) -> bool:
        return token == END


def network() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=256, intermediate_size=704, num_hidden_layers=8, num_attention_heads=4,
        num_key_value_heads=2, head_dim=64, tie_word_embeddings=True, max_position_embeddings=2048,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def candidates(count: int, seed: int = 1) -> list[list[int]]:
    """Targets of 15 tokens: 12 lines, each with several edits that part from it at some place."""
    pick = random.Random(seed)
    lines = [[pick.randrange(1, VOCABULARY) for _ in range(14)] for _ in range(12)]
    found: list[list[int]] = []
    for index in range(count):
        target = [*lines[index % 12], END]
        target[pick.randrange(3, 14)] = pick.randrange(1, VOCABULARY)
        found.append(target)
    return found


def timed(run: Callable[[], T]) -> tuple[float, T]:
    start = time.process_time()
    result = run()
    return time.process_time() - start, result


def full_scores(model: LlamaForCausalLM, prompt: list[int], targets: list[list[int]]) -> list[float]:
    scores: list[float] = []
    with torch.inference_mode():
        for target in targets:
            logits = model(torch.tensor([prompt + target]), logits_to_keep=len(target) + 1).logits[0, :-1]
            likely = torch.log_softmax(logits, -1)
            scores.append(float(likely.gather(1, torch.tensor(target)[:, None]).sum()))
    return scores


def plain_growth(model: LlamaForCausalLM, prompt: list[int], starts: list[int], length: int) -> list[list[int]]:
    grown: list[list[int]] = []
    for start in starts:
        ids = torch.tensor([[*prompt, start]])
        out = model.generate(ids, max_new_tokens=length - 1, do_sample=False, eos_token_id=END, pad_token_id=END)
        grown.append(out[0, len(prompt) :].tolist())
    return grown


def shared_growth(model: LlamaForCausalLM, prompt: list[int], starts: list[int], length: int) -> list[list[int]]:
    engine = Engine(HuggingFaceNetwork(model))
    rows = [Row([start], -1, 0.0, Anything()) for start in starts]
    grow(engine, engine.tree(engine.read(prompt)), rows, Choice(1.0, torch.Generator(), length))
    return [row.tokens for row in rows]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=64)
    parser.add_argument("--prompt", type=int, default=600, help="tokens")
    given = parser.parse_args()
    torch.set_num_threads(1)
    model = network()
    prompt = [random.Random(0).randrange(1, VOCABULARY) for _ in range(given.prompt)]
    targets = candidates(given.candidates)
    shared_growth(model, prompt[:32], [1, 2], 4)  # warm up

    def shared_scores() -> list[float]:
        engine = Engine(HuggingFaceNetwork(model))
        return engine.score(engine.read(prompt), targets)

    fast, scores = timed(shared_scores)
    slow, expected = timed(lambda: full_scores(model, prompt, targets))
    worst = max(abs(a - b) for a, b in zip(scores, expected, strict=True))
    print(f"score  shared {fast:6.2f} s  full forward {slow:6.2f} s  {slow / fast:5.1f}x  "
          f"{given.candidates / fast:6.0f} candidates/s  largest difference {worst:.1e}")  # fmt: skip
    starts = list(range(1, given.candidates + 1))
    grow_fast, grown = timed(lambda: shared_growth(model, prompt, starts, 15))
    grow_slow, plain = timed(lambda: plain_growth(model, prompt, starts, 15))
    print(f"grow   shared {grow_fast:6.2f} s  generate     {grow_slow:6.2f} s  {grow_slow / grow_fast:5.1f}x  "
          f"{given.candidates / grow_fast:6.0f} candidates/s  tokens identical: {grown == plain}")  # fmt: skip
    return 0 if min(slow / fast, grow_slow / grow_fast) >= 5 and worst < 1e-3 and grown == plain else 1


if __name__ == "__main__":
    sys.exit(main())
