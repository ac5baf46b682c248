"""Checkpoints to what ships: int8 row-scaled pieces for `repair/embedded`, or a plain Hugging Face directory.

Owns the order and size of pieces, the config.json of a Llama and the weight error. The format itself, and the way
back, are `repair.embedded.expander`'s.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from repair.embedded.expander import INT8, MANIFEST, SCALE, dequantise, quantise
from training.config import ModelConfig

PIECE_BYTES = 15 * 2**20


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


def _encoded(weights: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    for name, tensor in sorted(weights.items()):
        if tensor.ndim == 2:
            rows, scale = quantise(tensor)
            yield {name + INT8: rows, name + SCALE: scale}
        else:
            yield {name: tensor.detach().float().contiguous()}


def _pieces(weights: Mapping[str, Tensor], limit: int) -> Iterator[dict[str, Tensor]]:
    piece: dict[str, Tensor] = {}
    size = 0
    for part in _encoded(weights):
        bytes_ = sum(t.numel() * t.element_size() for t in part.values())
        if piece and size + bytes_ > limit:
            yield piece
            piece, size = {}, 0
        piece |= part
        size += bytes_
    yield piece


def weight_error(weights: Mapping[str, Tensor]) -> float:
    """Relative error of the quantised matrices: norm of the differences over norm of the weights."""
    difference = norm = 0.0
    for tensor in weights.values():
        if tensor.ndim == 2:
            rows, scale = quantise(tensor)
            back = dequantise({"w" + INT8: rows, "w" + SCALE: scale})["w"]
            difference += float((back - tensor.float()).square().sum())
            norm += float(tensor.float().square().sum())
    return (difference / max(norm, 1e-30)) ** 0.5


def _digests(directory: Path, names: list[str]) -> dict[str, str]:
    return {name: hashlib.sha256((directory / name).read_bytes()).hexdigest() for name in sorted(names)}


def export_pieces(
    weights: Mapping[str, Tensor], model: ModelConfig, tokenizer: Path, target: Path, *, limit: int = PIECE_BYTES
) -> float:
    """Write pieces, tokenizer and manifest to `target` and return the relative weight error.

    A piece has at most `limit` bytes of tensors, unless one matrix alone is larger.
    """
    target.mkdir(parents=True, exist_ok=True)
    for old in target.glob("piece-*.safetensors"):
        old.unlink()
    names = ["tokenizer.json"]
    shutil.copyfile(tokenizer, target / names[0])
    for index, piece in enumerate(_pieces(weights, limit)):
        names.append(f"piece-{index:02d}.safetensors")
        save_file(piece, target / names[-1])
        (target / names[-1]).chmod(0o644)  # safetensors makes it private; a wheel keeps what it finds
    error = weight_error(weights)
    manifest = {"files": _digests(target, names), "config": hub_config(model), "weight_error": round(error, 6)}
    (target / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return error


def export_adapter(source: Path, target: Path) -> None:
    """Copy a PEFT directory to `target` as bf16 with a manifest of its files' sha256."""
    from safetensors.torch import load_file

    target.mkdir(parents=True, exist_ok=True)
    tensors = load_file(source / "adapter_model.safetensors")
    save_file({k: v.to(torch.bfloat16) for k, v in tensors.items()}, target / "adapter_model.safetensors")
    (target / "adapter_model.safetensors").chmod(0o644)
    shutil.copyfile(source / "adapter_config.json", target / "adapter_config.json")
    files = _digests(target, ["adapter_config.json", "adapter_model.safetensors"])
    (target / MANIFEST).write_text(json.dumps({"files": files}, indent=2) + "\n", encoding="utf-8")


def export_plain(weights: Mapping[str, Tensor], model: ModelConfig, tokenizer: Path, target: Path) -> None:
    """Write a Hugging Face directory with fp32 weights, for measuring and for training adapters."""
    target.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().float().contiguous() for name, tensor in weights.items()}
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    config = hub_config(model) | {"dtype": "float32"}
    (target / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    special = {"bos_token": "<|bos|>", "eos_token": "<|eot|>", "pad_token": "<|pad|>"}
    table = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": model.positions, **special}
    (target / "tokenizer_config.json").write_text(json.dumps(table, indent=2), encoding="utf-8")
    shutil.copyfile(tokenizer, target / "tokenizer.json")
