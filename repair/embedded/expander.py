"""Shipped int8 pieces to a plain Hugging Face directory in the user's cache, made once.

Owns the format on disk, its checks and the cache. `training/export.py` writes the same format through `quantise`.
Must not know prompts or how a model is run. The directory loads in `AutoModelForCausalLM.from_pretrained`.

    weights/manifest.json        config of the model, sha256 of every file, weight error of the quantisation
    weights/piece-00.safetensors matrices as NAME.int8 (rows, columns) with NAME.scale (rows); vectors as they are
    weights/tokenizer.json
    adapter/                     PEFT directory of the shipped LoRA, merged when the model is loaded
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from repair.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

HERE = Path(__file__).parent
MANIFEST = "manifest.json"
INT8, SCALE = ".int8", ".scale"
_REINSTALL = "install Emend again, or give another model with --model"
_FILES = ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What belongs to the shipped weights: sha256 of each file, and the model's config.json."""

    files: dict[str, str]
    config: dict[str, object]
    key: str  # names the directory in the cache: a hash of this manifest

    @property
    def pieces(self) -> tuple[str, ...]:
        """Names of the weight files in order."""
        return tuple(sorted(name for name in self.files if name.endswith(".safetensors")))


def read_manifest(weights: Path) -> Manifest:
    """The manifest of a directory of pieces. Raises ModelError when it is missing or unreadable."""
    try:
        raw = (weights / MANIFEST).read_bytes()
        table = cast("dict[str, object]", json.loads(raw))
        files, config = cast("dict[str, str]", table["files"]), cast("dict[str, object]", table["config"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"the embedded model's manifest in {weights} cannot be read ({error}): {_REINSTALL}"
        ) from error
    return Manifest(files, config, hashlib.sha256(raw).hexdigest()[:16])


def verify(directory: Path, files: dict[str, str]) -> None:
    """Raise ModelError unless every file has its sha256."""
    for name, expected in files.items():
        try:
            digest = hashlib.sha256((directory / name).read_bytes()).hexdigest()
        except OSError as error:
            raise ModelError(f"the embedded model lacks {directory / name}: {_REINSTALL}") from error
        if digest != expected:
            raise ModelError(f"{directory / name} is damaged (its sha256 is not the manifest's): {_REINSTALL}")


def quantise(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """int8 rows and the fp32 scale of each: row = int8 x scale, the largest magnitude of a row becomes 127."""
    import torch

    wide = matrix.float()
    scale = wide.abs().amax(dim=1).clamp(min=1e-12) / 127
    return (wide / scale[:, None]).round().clamp(-127, 127).to(torch.int8), scale


def dequantise(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a piece under their own names, matrices as fp32."""
    whole = {name: t for name, t in tensors.items() if not name.endswith((INT8, SCALE))}
    for name in (n.removesuffix(INT8) for n in tensors if n.endswith(INT8)):
        whole[name] = tensors[name + INT8].float() * tensors[name + SCALE][:, None]
    return whole


def _write_model(weights: Path, manifest: Manifest, target: Path) -> None:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file

    tensors: dict[str, Tensor] = {}
    try:
        for piece in manifest.pieces:
            tensors |= dequantise(load_file(weights / piece))
    except (SafetensorError, KeyError) as error:
        raise ModelError(f"the embedded weights in {weights} cannot be read ({error}): {_REINSTALL}") from error
    halves = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in tensors.items()}
    save_file(halves, target / "model.safetensors", metadata={"format": "pt"})


def expand(weights: Path, target: Path) -> None:
    """Write the plain Hugging Face directory of `weights` to the existing directory `target`.

    Raises ModelError: a file is missing, damaged or unreadable; OSError when `target` cannot be written.
    """
    manifest = read_manifest(weights)
    verify(weights, manifest.files)
    _write_model(weights, manifest, target)
    positions = manifest.config.get("max_position_embeddings", 4096)
    special = {"bos_token": "<|bos|>", "eos_token": "<|eot|>", "pad_token": "<|pad|>"}
    tokenizer = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": positions, **special}
    generation = {name: manifest.config[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    for name, table in (
        ("config", manifest.config),
        ("tokenizer_config", tokenizer),
        ("generation_config", generation),
    ):
        (target / f"{name}.json").write_text(json.dumps(table, indent=2), encoding="utf-8")
    shutil.copyfile(weights / "tokenizer.json", target / "tokenizer.json")


def _caches() -> tuple[Path, ...]:
    """Where to keep the expanded model, best first: the user's cache, else a private place for temporary files."""
    base = os.environ.get("XDG_CACHE_HOME")
    home = Path(base) if base else Path(os.environ.get("HOME", "/nonexistent")) / ".cache"
    return home / "emend", Path(tempfile.gettempdir()) / f"emend-{os.getuid()}"


def _private(directory: Path) -> bool:
    """Make `directory`; False where that is refused, or where another user owns it and could change the weights."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return directory.stat().st_uid == os.getuid() and os.access(directory, os.W_OK)
    except OSError:
        return False


def _is_whole(directory: Path) -> bool:
    return all((directory / name).is_file() for name in _FILES)


def _install(weights: Path, cache: Path, target: Path) -> None:
    """Expand beside `target` and rename: another process that does the same at the same time does no harm."""
    building = Path(tempfile.mkdtemp(prefix=".building-", dir=cache))
    try:
        expand(weights, building)
        try:
            building.rename(target)
        except OSError:
            if _is_whole(target):
                return  # the other process was faster
            shutil.rmtree(target, ignore_errors=True)
            building.rename(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def expanded(weights: Path, caches: tuple[Path, ...]) -> Path:
    """The expanded directory of `weights` in the first of `caches` that can be written, made when it is not there.

    Raises ModelError when the pieces are bad or no cache can be written.
    """
    name = f"embedded-{read_manifest(weights).key}"
    for cache in caches:
        if _is_whole(cache / name) and (cache / name).stat().st_uid == os.getuid():
            return cache / name
    refused: list[str] = []
    for cache in caches:
        if not _private(cache):
            refused.append(str(cache))
            continue
        try:
            _install(weights, cache, cache / name)
        except OSError as error:
            refused.append(f"{cache} ({error.strerror})")
            continue
        return cache / name
    raise ModelError(f"nowhere to put the embedded model: {', '.join(refused)}. Set XDG_CACHE_HOME to a writable place")


def embedded_directory() -> Path:
    """A plain Hugging Face directory of the embedded model, expanded into the cache on first use (about a second).

    Raises ModelError, with what to do.
    """
    return expanded(HERE / "weights", _caches())


def embedded_adapter() -> Path | None:
    """The shipped LoRA adapter (PEFT format), or None when this version ships none. Raises ModelError: damaged."""
    directory = HERE / "adapter"
    if not (directory / MANIFEST).is_file():
        return None
    table = cast("dict[str, dict[str, str]]", json.loads((directory / MANIFEST).read_text(encoding="utf-8")))
    verify(directory, table["files"])
    return directory
