"""What leaves training: one function for `emend train export`, and the int8 pieces that ship.

Owns which output is made of which input, the order and size of pieces, the config.json of a Llama and the weight
error. The format of pieces, and the way back, are `repair.embedded.expander`'s; merging and GGUF are
`training.merging`'s and `training.gguf_writer`'s.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from repair.embedded.expander import INT8, MANIFEST, SCALE, dequantise, expand, quantise
from repair.errors import InputError, ModelError
from training.checkpoint import latest, read_weights
from training.config import ModelConfig
from training.gguf_writer import GGUF_DTYPES, write_gguf
from training.llamas import hub_config, read_llama
from training.merging import DTYPES, adapter_directory, merge, recorded_base
from training.remembered import remembered
from training.staging import check_free, staged

PIECE_BYTES = 15 * 2**20
TARGETS: dict[str, tuple[str, ...]] = {
    "merged": DTYPES,
    "gguf": ("f16", *GGUF_DTYPES),
    "pieces": ("int8",),
    "plain": ("float32",),
}
"""What `--to` may say, and the `--dtype` of each, the default first."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: `bytes` together, and the relative error of the matrices where int8 pieces were made."""

    out: Path
    dtype: str
    bytes: int
    weight_error: float | None = None


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


def _source(source: str | Path) -> tuple[Path, bool]:
    """The directory that is meant, and whether it is an adapter (else a whole model)."""
    if str(source) == "embedded":
        return adapter_directory("embedded"), True
    for directory in (Path(source), Path(source) / "adapter"):
        if (directory / "adapter_config.json").is_file():
            return adapter_directory(directory), True
        if (directory / "config.json").is_file():
            return directory, False
    raise InputError(
        f"{source} holds neither an adapter (adapter_config.json) nor a model (config.json): give the directory of "
        "one, or of a run that ended",
        field="source",
    )


def _base_of(adapter: Path) -> str:
    if recorded := recorded_base(adapter):
        return recorded
    raise InputError(f"{adapter} does not say what it was trained on: give --base", field="base")


def export_model(
    source: str | Path, to: str, out: Path, *, base: str = "", dtype: str = "", force: bool = False
) -> Exported:
    """Write `source` as `to`, one of TARGETS, to `out`; what `emend train export` does.

    `source` is the directory of an adapter, of a run that left one, of a whole model, or "embedded" (the shipped
    adapter); for "plain" it is the folder of a run of `emend train base`, or of the pieces of a Llama. `base` overrides
    what the adapter says that it was trained on; "emend-embedded" is the embedded base. Pieces of an adapter are the
    adapter alone in bf16, as it ships beside its base. Raises InputError, ModelError.
    """
    if to not in TARGETS:
        raise InputError(f"{to}: can be exported to {', '.join(TARGETS)}", field="to")
    dtype = dtype or TARGETS[to][0]
    if dtype not in TARGETS[to]:
        raise InputError(f"{dtype}: {to} is written as {', '.join(dict.fromkeys(TARGETS[to]))}", field="dtype")
    if to == "plain":
        if (Path(source) / MANIFEST).is_file():
            with staged(out, force=force) as partial:
                partial.mkdir()
                expand(Path(source), partial)
            dtype = "bfloat16"
        else:
            _export_run(Path(source), out, force=force)
        return Exported(out, dtype, sum(path.stat().st_size for path in out.iterdir()))
    directory, is_adapter = _source(source)
    check_free(out, force=force, keep=(directory,))  # before minutes of work
    if base and not is_adapter:
        raise InputError(f"{source} is a whole model, it has no base", field="base")
    error = None
    if to == "pieces":
        error = _export_pieces(directory, out, is_adapter=is_adapter, force=force)
    elif to == "gguf" and not is_adapter:
        write_gguf(directory, out, dtype, force=force)
    elif not is_adapter:
        raise InputError(f"{source} is a whole model, there is nothing to merge", field="source")
    elif to == "merged":
        merge(base or _base_of(directory), directory, out, dtype, force=force)
    else:
        _export_merged_gguf(base or _base_of(directory), directory, out, dtype=dtype, force=force)
    files = [out] if out.is_file() else [path for path in out.rglob("*") if path.is_file()]
    dtype = "bfloat16" if to == "pieces" and is_adapter else dtype
    return Exported(out, dtype, sum(path.stat().st_size for path in files), error)


def _export_merged_gguf(base: str, adapter: Path, out: Path, *, dtype: str, force: bool) -> None:
    """By way of a merged directory beside `out`, in fp32 so that weights are rounded once."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        place = tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.merged-")
    except OSError as error:
        raise ModelError(f"cannot write {out}: {error.strerror or error}") from error
    with place as between:
        merged = Path(between) / "model"
        merge(base, adapter, merged, "float32", force=force)
        write_gguf(merged, out, dtype, force=force)


def _export_run(run: Path, out: Path, *, force: bool) -> None:
    """The newest weights of a run of `emend train base` as a Hugging Face directory."""
    checkpoint = latest(run)
    if checkpoint is None:
        raise InputError(f"{run} holds no run of `emend train base`: give its run.out", field="source")
    recipe, tokenizer = remembered(run), run / "tokenizer.json"
    if not tokenizer.is_file():
        raise InputError(
            f"{tokenizer} is missing: copy the tokenizer there that the shards were made with", field="source"
        )
    with staged(out, force=force) as partial:
        export_plain(read_weights(checkpoint), recipe.model, tokenizer, partial)


def _export_pieces(directory: Path, out: Path, *, is_adapter: bool, force: bool) -> float | None:
    llama = None if is_adapter else read_llama(directory)
    with staged(out, force=force) as partial:
        try:
            if llama is None:
                export_adapter(directory, partial)
                return None
            return export_pieces(*llama, directory / "tokenizer.json", partial)
        except SafetensorError as error:
            raise ModelError(f"cannot write {out}: {error}; nothing was left there") from error
