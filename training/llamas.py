"""The lean Llama as a Hugging Face directory and back: config.json of its shape, weights of the same names.

Owns which Llamas are plain enough: tied embeddings, no biases, plain rotary positions. Must not know training.
"""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from repair.errors import InputError, ModelError
from training.config import ModelConfig
from training.merging import read_table
from training.model import Llama


def hub_config(model: ModelConfig) -> dict[str, object]:
    """config.json of a Hugging Face LlamaForCausalLM of that shape."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": model.vocabulary,
        "hidden_size": model.width,
        "intermediate_size": model.hidden,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "num_key_value_heads": model.kv_heads,
        "head_dim": model.head_dim,
        "max_position_embeddings": model.positions,
        "rms_norm_eps": model.norm_eps,
        "rope_parameters": {"rope_type": "default", "rope_theta": model.rope_theta},
        "rope_theta": model.rope_theta,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "dtype": "bfloat16",
    }


def read_llama(directory: Path) -> tuple[dict[str, Tensor], ModelConfig]:
    """Weights and shape of a Llama with tied embeddings, the only kind that the lean model is. Raises InputError."""
    raw = read_table(directory / "config.json", "source")
    try:
        rope = raw.get("rope_parameters") or raw
        model = ModelConfig(
            raw["vocab_size"], raw["hidden_size"], raw["num_hidden_layers"], raw["num_attention_heads"],
            raw["num_key_value_heads"], raw["intermediate_size"], raw["max_position_embeddings"],
            float(rope["rope_theta"]), raw["rms_norm_eps"],
        )  # fmt: skip
        weights = load_file(directory / "model.safetensors")
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise InputError(f"{directory} is no Llama that can be read: {error!r}", field="source") from error
    told = hub_config(model)
    differs = [
        key for key in ("model_type", "head_dim", "attention_bias", "mlp_bias", "tie_word_embeddings", "hidden_act")
        if raw.get(key, told[key]) != told[key]
    ]  # fmt: skip
    if differs or rope.get("rope_type", "default") != "default":
        what = f"{differs[0]} = {raw[differs[0]]}" if differs else f"rope_type = {rope['rope_type']}"
        raise InputError(f"{directory} has {what}, which the lean Llama has not", field="source")
    return {name: tensor for name, tensor in weights.items() if not name.startswith("lm_head")}, model


def load_lean(directory: Path) -> Llama:
    """The directory as the lean model, fp32. Raises ModelError: another kind, or weights of another shape."""
    try:
        weights, config = read_llama(directory)
    except InputError as error:
        raise ModelError(f"{error}; set run.engine=torch") from error
    model = Llama(config)
    try:
        model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    except RuntimeError as error:
        raise ModelError(f"{directory}: weights do not fit its config.json: {error}") from error
    return model
