"""Tiny models of the real classes of code models, with random weights: seconds become milliseconds."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM as Auto
from transformers import (
    Gemma2Config,
    GemmaConfig,
    LlamaConfig,
    MambaConfig,
    PreTrainedModel,
    Qwen2Config,
    Starcoder2Config,
)

VOCABULARY = 64
_SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
_QUIET = {"residual_dropout": 0.0, "embedding_dropout": 0.0, "attention_dropout": 0.0}
CONFIGS: dict[str, Any] = {
    "llama": LlamaConfig(**_SHAPE),
    "qwen2": Qwen2Config(**_SHAPE, tie_word_embeddings=True),
    "starcoder2": Starcoder2Config(**_SHAPE, **_QUIET, sliding_window=128),
    "gemma": GemmaConfig(**_SHAPE, head_dim=16),
    # DeepSeek-Coder is a Llama with all heads its own and linearly stretched positions
    "deepseek": LlamaConfig(
        **(_SHAPE | {"num_key_value_heads": 4}),
        rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 1e5},
    ),
}  # fmt: skip
OTHERS: dict[str, Any] = {
    "wide": Qwen2Config(**(_SHAPE | {"hidden_size": 128, "intermediate_size": 128})),  # nf4 has blocks of 64 weights
    "gemma2": Gemma2Config(**_SHAPE, head_dim=8, sliding_window=8, final_logit_softcapping=0.5),
    "mamba": MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, state_size=4, pad_token_id=0),
    "window": Starcoder2Config(**_SHAPE, **_QUIET, sliding_window=8),
}


def tiny(family: str, seed: int = 0) -> PreTrainedModel:
    """A model of a family, larger than trained ones in its weights so that mistakes show."""
    torch.manual_seed(seed)
    model = Auto.from_config(deepcopy((CONFIGS | OTHERS)[family]), dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2 and family != "mamba":
                parameter.mul_(4.0 if "embed" not in name else 10.0)
    return model


def write_checkpoint(family: str, out: Path, vocabulary: int = VOCABULARY - 4) -> Path:
    """A whole directory: weights and a tokenizer of single words (some families add a token of their own)."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tiny(family).save_pretrained(out)
    words = {"<pad>": 0, "<s>": 1, "</s>": 2} | {f"w{n}": n for n in range(3, vocabulary)}
    backend = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(out)
    return out
