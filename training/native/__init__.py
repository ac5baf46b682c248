"""The native engine: the lean Llama's forward and backward pass in C++ on AMX tiles, one thread.

Owns compiling `llama.cpp` (into the cache, keyed by its text) and passing pointers. Why: at 8 layers x 256 the torch
engine spends most of its time outside of matrix products, on padding, masks and page faults; this one has none
of them. `tests/training/test_native.py` holds its loss and gradients to those of the torch engine.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from repair.errors import ModelError
from training.batches import Batch
from training.model import Llama

CHUNK = 2048  # tokens that go through the layers together: what they keep for the way back fits the caches
_FLAGS = ("-O3", "-march=native", "-ffast-math", "-std=c++17", "-shared", "-fPIC")
_PER_LAYER = (
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj",
    "mlp.down_proj", "input_layernorm", "post_attention_layernorm",
)  # fmt: skip


def _cache_directory() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "emend" / "native"


def _compile(source: Path) -> Path:
    """The shared library of `source`. Raises ModelError when there is no compiler that can build it."""
    key = hashlib.sha256(source.read_bytes() + " ".join(_FLAGS).encode()).hexdigest()[:16]
    target = _cache_directory() / f"llama-{key}.so"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as directory:
        built = Path(directory) / "llama.so"
        command = ["g++", *_FLAGS, str(source), "-o", str(built)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except FileNotFoundError as error:
            raise ModelError("the native engine needs g++; set run.engine=torch") from error
        except subprocess.CalledProcessError as error:
            raise ModelError(f"the native engine does not build; set run.engine=torch\n{error.stderr}") from error
        built.replace(target)
    return target


@cache
def library() -> ctypes.CDLL:
    """The compiled library, ready to use. Raises ModelError: no compiler, or a processor without AMX."""
    if "amx_bf16" not in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
        raise ModelError("the native engine needs a processor with amx_bf16; set run.engine=torch")
    loaded = ctypes.CDLL(str(_compile(Path(__file__).with_name("llama.cpp"))))
    loaded.native_create.restype = ctypes.c_void_p
    loaded.native_create.argtypes = [ctypes.c_void_p, ctypes.c_float, ctypes.c_float]
    loaded.native_pack.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    loaded.native_pack.restype = None
    loaded.native_destroy.argtypes = [ctypes.c_void_p]
    loaded.native_step.restype = ctypes.c_double
    loaded.native_step.argtypes = [ctypes.c_void_p] * 6 + [ctypes.c_int64, ctypes.c_void_p]
    if not loaded.native_supported():
        raise ModelError("the kernel refuses AMX to this process; set run.engine=torch")
    return loaded


def _ordered(model: Llama) -> list[str]:
    names = ["model.embed_tokens.weight", "model.norm.weight"]
    layers = range(model.config.layers)
    return names + [f"model.layers.{layer}.{part}.weight" for layer in layers for part in _PER_LAYER]


class Flat:
    """A batch without its padding: examples one after the other."""

    def __init__(self, batch: Batch) -> None:
        used = batch.segments > 0
        self.used = used
        self.ids = np.ascontiguousarray(batch.ids[used], np.int32)
        self.labels = np.ascontiguousarray(batch.labels[used], np.int32)
        self.weights = np.ascontiguousarray(batch.weights[used], np.float32)
        rows = np.broadcast_to(np.arange(len(used))[:, None], used.shape)[used]
        owner = rows * (used.shape[1] + 1) + batch.segments[used]
        changes = np.flatnonzero(np.diff(owner)) + 1
        self.starts = np.concatenate([[0], changes, [len(self.ids)]]).astype(np.int32)

    def chunks(self) -> list[tuple[int, int]]:
        """Ranges of examples of about CHUNK tokens each."""
        ranges: list[tuple[int, int]] = []
        begin = 0
        for end in range(1, len(self.starts)):
            if end == len(self.starts) - 1 or self.starts[end + 1] - self.starts[begin] > CHUNK:
                ranges.append((begin, end))
                begin = end
        return ranges


def _addresses(tensors: Sequence[torch.Tensor]) -> NDArray[np.uintp]:
    return np.array([t.data_ptr() for t in tensors], np.uintp)


class NativeEngine:
    """The model's parameters are trained in place: fp32, contiguous, on the CPU."""

    def __init__(self, model: Llama) -> None:
        c = model.config
        if any(size % 32 for size in (c.vocabulary, c.width, c.hidden)) or c.head_dim not in (32, 64, 128):
            raise ModelError("the native engine wants sizes that divide by 32 and heads of 32, 64 or 128")
        self.model, self._library = model, library()
        named = dict(model.named_parameters())
        self._ordered = [named[name] for name in _ordered(model)]
        sizes = np.array([c.vocabulary, c.width, c.layers, c.heads, c.kv_heads, c.hidden, c.positions], np.int64)
        self._handle = self._library.native_create(sizes.ctypes.data, c.norm_eps, c.rope_theta)

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            self._library.native_destroy(self._handle)

    @property
    def parameters(self) -> Mapping[str, nn.Parameter]:
        """All parameters of the model."""
        return dict(self.model.named_parameters())

    def _run(self, flat: Flat, *, train: bool, nll: NDArray[np.float32] | None = None) -> float:
        pointers = _addresses(self._ordered)
        self._library.native_pack(self._handle, pointers.ctypes.data)
        gradients = None
        if train:
            for parameter in self._ordered:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            gradients = _addresses([p.grad for p in self._ordered if p.grad is not None])
        return sum(
            self._library.native_step(
                self._handle, None if gradients is None else gradients.ctypes.data, flat.ids.ctypes.data,
                flat.labels.ctypes.data, flat.weights.ctypes.data, flat.starts[begin:].ctypes.data, end - begin,
                None if nll is None else nll.ctypes.data,
            )
            for begin, end in flat.chunks()
        )  # fmt: skip

    @property
    def extras(self) -> Mapping[str, float]:
        """Nothing beside the loss."""
        return {}

    def gradients(self, batch: Batch, denominator: float) -> float:
        """As `Engine.gradients`."""
        flat = Flat(batch)
        flat.weights /= denominator
        return self._run(flat, train=True)

    def loss(self, batch: Batch) -> tuple[float, float]:
        """(weighted loss sum, weight sum)."""
        flat = Flat(batch)
        return self._run(flat, train=False), float(flat.weights.sum())
