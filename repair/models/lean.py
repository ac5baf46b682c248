"""A plain Llama checkpoint as a Network of `decoding.py`, without transformers.

Why there is one: importing transformers costs a command line more time than the whole repair (3.5 of 6 CPU
seconds), and its modules cost a small network a third of its speed. Values are those of `LlamaForCausalLM`, which
the tests hold it to. `lean_network` answers None for whatever it does not know; `huggingface.py` takes that.

Architecture: Touvron et al. 2023 (Llama), Su et al. 2021 (rotary positions), Ainslie et al. 2023 (grouped queries).
Adapters: Hu et al. 2021 (LoRA).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import embedding, linear, scaled_dot_product_attention, silu

from repair.errors import ModelError
from repair.models.decoding import Buffer, Segment, State

_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LORA_A, LORA_B = ".lora_A.weight", ".lora_B.weight"
_MAX_BYTES = 1 << 30  # beyond, sharded files and memory are better left to transformers


@dataclass(frozen=True, slots=True)
class LlamaShape:
    """What of a config.json decides the computation."""

    layers: int
    heads: int
    groups: int
    size: int  # of a head
    theta: float
    epsilon: float
    limit: int  # positions
    tied: bool  # the head is the embedding

    @classmethod
    def read(cls, directory: Path) -> LlamaShape | None:
        """The shape of a checkpoint, None when it is not a plain Llama."""
        try:
            table = cast("dict[str, object]", json.loads((directory / "config.json").read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return None
        rope = table.get("rope_parameters") or table.get("rope_scaling") or {}
        rope = cast("dict[str, object]", rope) if isinstance(rope, dict) else {}
        plain = (
            table.get("model_type") == "llama"
            and rope.get("rope_type", "default") == "default"
            and table.get("hidden_act", "silu") == "silu"
            and not table.get("attention_bias")
            and not table.get("mlp_bias")
            and not table.get("quantization_config")
        )
        return cls._of(table, rope) if plain else None

    @classmethod
    def _of(cls, table: dict[str, object], rope: dict[str, object]) -> LlamaShape | None:
        def number(key: str, default: float | None = None) -> float:
            value = table.get(key)
            return float(cast("float", default if value is None else value))

        try:
            heads = int(number("num_attention_heads"))
            size = int(number("head_dim", number("hidden_size") / heads))
            theta = rope.get("rope_theta", table.get("rope_theta", 10_000.0))
            return cls(
                int(number("num_hidden_layers")), heads, int(number("num_key_value_heads", heads)), size,
                float(cast("float", theta)), number("rms_norm_eps", 1e-6), int(number("max_position_embeddings", 2048)),
                bool(table.get("tie_word_embeddings", False)),
            )  # fmt: skip
        except (TypeError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class _Layer:
    """Weights of one layer; those that read the same input stand under each other."""

    before: Tensor
    qkv: Tensor
    output: Tensor
    between: Tensor
    gate_up: Tensor
    down: Tensor


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the rows of one segment attend in one layer."""

    rows: int
    buffer: Buffer
    mask: Tensor | None  # (1, 1, rows of a group, keys)


class LeanLlama:
    """A Network of `decoding.py` over plain tensors on the CPU."""

    def __init__(self, shape: LlamaShape, weights: dict[str, Tensor], dtype: torch.dtype) -> None:
        self._shape = shape
        self._embedding = weights["model.embed_tokens.weight"].to(dtype)
        self._head = self._embedding if shape.tied else weights["lm_head.weight"].to(dtype)
        self._norm = weights["model.norm.weight"].to(dtype)
        self._layers = tuple(_layer(weights, f"model.layers.{n}.", dtype) for n in range(shape.layers))
        self._rates = shape.theta ** -(torch.arange(0, shape.size, 2, dtype=torch.float32) / shape.size)
        self.limit = shape.limit
        self.vocabulary = len(self._embedding)
        self.parameters = sum(tensor.numel() for tensor in weights.values())
        self.device = torch.device("cpu")
        self.dtype = dtype

    def state(self) -> State:
        """An empty cache."""
        return State.of(self._shape.layers)

    def read(self, ids: Tensor, state: State) -> Tensor:
        """Logits (vocabulary,) after the last of ids (n,), which become the whole state."""
        return self.packed([Segment(ids, state)])[0]

    def extend(self, ids: Tensor, positions: Tensor, mask: Tensor, state: State) -> Tensor:
        """Logits (n, vocabulary) after each of ids (n,); `mask` (n, state + n) is additive."""
        return self.packed([Segment(ids, state, positions, mask)])[0]

    def packed(self, segments: Sequence[Segment]) -> list[Tensor]:
        """What `read` or `extend` of each segment would return, in one pass; their states must be distinct.

        All that works on one token at a time runs over the rows of all segments, attention apart for each: the
        selective batching of Yu et al. 2022 (Orca). The head runs apart as well: its logits stay in the cache.
        """
        x = self._run(segments)
        found: list[Tensor] = []
        for segment, rows in zip(segments, x.split([len(s.ids) for s in segments]), strict=True):
            if segment.mask is None:
                found.append(linear(self._normed(rows[-1:], self._norm), self._head)[0])
            else:
                found.append(linear(self._normed(rows, self._norm), self._head))
        return found

    def _run(self, segments: Sequence[Segment]) -> Tensor:
        """Hidden states (all rows, width) before the last norm."""
        positions = [torch.arange(len(s.ids)) if s.positions is None else s.positions for s in segments]
        angles = torch.cat(positions)[:, None].float() * self._rates
        angles = torch.cat((angles, angles), -1)
        turn = angles.cos().to(self.dtype), angles.sin().to(self.dtype)
        per_group = self._shape.heads // self._shape.groups
        masks = [None if s.mask is None else s.mask.to(self.dtype).repeat(per_group, 1)[None, None] for s in segments]
        x = embedding(torch.cat([s.ids for s in segments]), self._embedding)
        for index, layer in enumerate(self._layers):
            places = [_Place(len(s.ids), s.state.buffers[index], mask) for s, mask in zip(segments, masks, strict=True)]
            x = x + linear(self._attend(self._normed(x, layer.before), layer, turn, places), layer.output)
            gate, up = linear(self._normed(x, layer.between), layer.gate_up).chunk(2, -1)
            x = x + linear(silu(gate) * up, layer.down)
        return x

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        wide = x.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + self._shape.epsilon)
        return (wide * scale).to(x.dtype) * weight

    def _attend(self, x: Tensor, layer: _Layer, turn: tuple[Tensor, Tensor], places: Sequence[_Place]) -> Tensor:
        heads, groups, size = self._shape.heads, self._shape.groups, self._shape.size
        joined = linear(x, layer.qkv).view(len(x), heads + 2 * groups, size).transpose(0, 1)
        turned = _rotated(joined[: heads + groups], *turn)
        mixed: list[Tensor] = []
        at = 0
        for place in places:
            own = slice(at, at + place.rows)
            at += place.rows
            new = turned[None, heads:, own], joined[None, heads + groups :, own]
            mixed.append(self._mix(turned[:heads, own], *place.buffer.append(*new), place.mask))
        return mixed[0] if len(mixed) == 1 else torch.cat(mixed)

    def _mix(self, q: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        """Attention of one segment: (rows, heads x size)."""
        heads, groups, size = self._shape.heads, self._shape.groups, self._shape.size
        if mask is None:
            keys, values = _repeated(keys, heads // groups), _repeated(values, heads // groups)
            mixed = scaled_dot_product_attention(q[None], keys, values, is_causal=True)
        else:  # queries of one group stand under each other, so that no key is copied
            mixed = scaled_dot_product_attention(q.reshape(1, groups, -1, size), keys, values, attn_mask=mask)
        return mixed.reshape(heads, -1, size).transpose(0, 1).reshape(-1, heads * size)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


def _repeated(states: Tensor, times: int) -> Tensor:
    return states.repeat_interleave(times, 1) if times > 1 else states


def _layer(weights: dict[str, Tensor], prefix: str, dtype: torch.dtype) -> _Layer:
    def joined(*names: str) -> Tensor:
        return torch.cat([weights[f"{prefix}{name}.weight"] for name in names]).to(dtype)

    return _Layer(
        joined("input_layernorm"),
        joined("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        joined("self_attn.o_proj"),
        joined("post_attention_layernorm"),
        joined("mlp.gate_proj", "mlp.up_proj"),
        joined("mlp.down_proj"),
    )


def read_lean(directory: Path, adapter: Path | None) -> tuple[LlamaShape, dict[str, Tensor]] | None:
    """Shape and fp32 weights of a small, plain Llama with a plain LoRA merged; None when it is anything else.

    Raises ModelError when the adapter's weights do not fit those of the model.
    """
    shape, file = LlamaShape.read(directory), directory / "model.safetensors"
    if shape is None or not file.is_file() or file.stat().st_size > _MAX_BYTES:
        return None
    scale = 0.0 if adapter is None else lora_scale(adapter)
    changes = load_file(adapter / "adapter_model.safetensors") if adapter is not None and scale else {}
    if scale is None or not all(name.endswith((LORA_A, LORA_B)) for name in changes):
        return None
    weights = {name: tensor.float() for name, tensor in load_file(file).items()}
    if not _whole(weights, shape):
        return None  # transformers says what is missing
    if adapter is not None:
        _merge(weights, changes, scale, adapter)
    return shape, weights


def _whole(weights: dict[str, Tensor], shape: LlamaShape) -> bool:
    """Whether all weights are there and none besides, each of the shape that the config says."""
    per_layer = [f"{'self_attn' if n[0] in 'qkvo' else 'mlp'}.{n}" for n in _PROJECTIONS]
    per_layer += ["input_layernorm", "post_attention_layernorm"]
    names = {f"model.layers.{i}.{n}.weight" for i in range(shape.layers) for n in per_layer}
    names |= {"model.embed_tokens.weight", "model.norm.weight"}
    if not shape.tied:
        names.add("lm_head.weight")
    if set(weights) - ({"lm_head.weight"} if shape.tied else set()) != names:
        return False
    rows = {"q_proj": shape.heads, "k_proj": shape.groups, "v_proj": shape.groups}
    return all(
        weights[f"model.layers.{i}.self_attn.{n}.weight"].shape[0] == count * shape.size
        for i in range(shape.layers)
        for n, count in rows.items()
    )


def lora_scale(adapter: Path) -> float | None:
    """Alpha / r of a plain LoRA, None for what peft itself must read."""
    try:
        table = cast("dict[str, object]", json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
    odd = (
        "use_dora",
        "modules_to_save",
        "rank_pattern",
        "alpha_pattern",
        "fan_in_fan_out",
        "lora_bias",
        "use_qalora",
        "layer_replication",
        "target_parameters",
    )
    plain = table.get("peft_type") == "LORA" and not any(table.get(key) for key in odd)
    plain = plain and table.get("bias", "none") == "none" and (adapter / "adapter_model.safetensors").is_file()
    rank, alpha = table.get("r"), table.get("lora_alpha")
    if not plain or not isinstance(rank, int) or not isinstance(alpha, int | float) or rank < 1:
        return None
    return alpha / (math.sqrt(rank) if table.get("use_rslora") else rank)


def _merge(weights: dict[str, Tensor], changes: dict[str, Tensor], scale: float, adapter: Path) -> None:
    """Add `scale * B @ A` to each weight that the adapter changes."""
    for name, first in changes.items():
        if not name.endswith(LORA_A):
            continue
        target = name.removeprefix("base_model.model.").removesuffix(LORA_A) + ".weight"
        second = changes.get(name.removesuffix(LORA_A) + LORA_B)
        if second is None or target not in weights or weights[target].shape != (second.shape[0], first.shape[1]):
            raise ModelError(f"the adapter {adapter} does not fit the model ({target}): use the base it was made for")
        if second.shape[1] != first.shape[0]:
            raise ModelError(f"the adapter {adapter} is broken: the two matrices of {target} have different ranks")
        weights[target] = weights[target] + scale * (second.float() @ first.float())
