"""Networks to look into: the embedded one, opened once, and tiny ones of other classes with random weights."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, Gemma2Config, GPT2Config, Qwen2Config

from repair.explain.glass import Glass, open_glass
from repair.explain.values import Subject
from repair.views import Hunk, View
from tests.repair.models.conftest import save, train_bpe

LINES = (
    "def mean(values, start=0):",
    "    total = start",
    "    for value in values:",
    "        total += value",
    "",
    "    return total / len(value)",
)
VIEW = View(
    "stats.py", "python", 11, LINES, error="TypeError: object of type 'int' has no len()", frames=(16,),
    test="assert mean([1, 2, 3]) == 2", context=("import math",),
)  # fmt: skip
SUBJECT = Subject(VIEW, (Hunk(16, 16, "    return total / len(values)"),))

_SHAPE: dict[str, Any] = {
    "vocab_size": 420, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 1024, "bos_token_id": None, "eos_token_id": 0,
    "pad_token_id": 0, "initializer_range": 0.3,
}  # fmt: skip
CONFIGS: dict[str, Any] = {
    "qwen2": Qwen2Config(**_SHAPE),
    # soft-capped attention, which sdpa does not have, and soft-capped logits, which no lens sees
    "gemma2": Gemma2Config(**_SHAPE, head_dim=8, sliding_window=1024, final_logit_softcapping=0.5),
    "gpt2": GPT2Config(
        vocab_size=420, n_positions=1024, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0,
        initializer_range=0.3, attn_pdrop=0.0, resid_pdrop=0.0, embd_pdrop=0.0,
    ),
}  # fmt: skip


@cache
def embedded() -> Glass:
    """The embedded model; whoever changes it changes it back."""
    torch.set_num_threads(1)
    return open_glass(device="cpu")


def tiny(family: str, directory: Path) -> Glass:
    """A network of a class without the special tokens of prompts.py."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[family], dtype=torch.float32)
    return open_glass(save(model, train_bpe(420, ("<|end|>",)), directory, eos_token="<|end|>"), device="cpu")
