"""What a GGUF file says of a model's shape, and which models llama.cpp computes as transformers does.

Owns the architectures that can be written and the checks of config.json. Knows no weights and no vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repair.errors import InputError
from training.gguf_vocabulary import CONVERT
from training.merging import read_table


@dataclass(frozen=True, slots=True)
class Architecture:
    """What llama.cpp calls an architecture, and what its code takes for granted."""

    name: str
    activations: tuple[str, ...]
    norm_eps: str  # key of config.json
    rms: bool  # norms without mean and bias
    interleaved: bool = False  # rope turns neighbouring channels: the rows of q and k are put in another order


ARCHITECTURES = {
    "LlamaForCausalLM": Architecture("llama", ("silu",), "rms_norm_eps", rms=True, interleaved=True),
    "Qwen2ForCausalLM": Architecture("qwen2", ("silu",), "rms_norm_eps", rms=True),
    "Starcoder2ForCausalLM": Architecture("starcoder2", ("gelu_pytorch_tanh", "gelu_new"), "norm_epsilon", rms=False),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """config.json as `transformers` reads it, checked: every default of the class filled in."""

    architecture: Architecture
    config: Any

    @property
    def heads(self) -> tuple[int, int]:
        """Of queries, and of keys and values."""
        heads = self.config.num_attention_heads
        return heads, getattr(self.config, "num_key_value_heads", None) or heads

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return getattr(self.config, "head_dim", None) or self.config.hidden_size // self.heads[0]

    @property
    def rope(self) -> dict[str, Any]:
        """rope_type, rope_theta and what the type needs."""
        return self.config.rope_parameters

    @property
    def context(self) -> int:
        """Longest context in which llama.cpp computes the same: it knows no sliding window in these architectures."""
        return min(self.config.max_position_embeddings, getattr(self.config, "sliding_window", None) or 2**31)


def read_shape(directory: Path) -> Shape:
    """The shape of a model directory. Raises InputError when llama.cpp would compute something else, or nothing."""
    from transformers import AutoConfig

    table = read_table(directory / "config.json", "config.json")
    classes = table.get("architectures") or [str(table.get("model_type"))]
    architecture = ARCHITECTURES.get(classes[0])
    if architecture is None:
        known = ", ".join(ARCHITECTURES)
        raise InputError(f"{classes[0]} is not written here (only {known}): {CONVERT}", field="config.json")
    try:
        config: Any = AutoConfig.from_pretrained(directory)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{directory}/config.json: {error}", field="config.json") from error
    shape = Shape(architecture, config)
    _check(shape)
    return shape


def _check(shape: Shape) -> None:
    config, rope = shape.config, shape.rope
    if config.hidden_act not in shape.architecture.activations:
        raise InputError(f"hidden_act = {config.hidden_act}: llama.cpp computes another one", field="config.json")
    if rope.get("rope_type", "default") not in ("default", "linear", "llama3"):
        raise InputError(f"rope scaling {rope['rope_type']} is not written here: {CONVERT}", field="config.json")
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise InputError(f"partial_rotary_factor is not written here: {CONVERT}", field="config.json")
    if not getattr(config, "use_bias", True):
        raise InputError("use_bias = false: llama.cpp's StarCoder2 needs biases", field="config.json")
