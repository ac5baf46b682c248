"""Merge: a Hugging Face causal LM and its PEFT adapter become one plain directory that needs no PEFT.

Owns the checks that the two belong together, and what else goes into the directory (tokenizer, generation config,
card). Merges in fp32 on the CPU, so it needs four bytes of memory for each weight. Must not know recipes or GGUF.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from repair.embedded.expander import embedded_adapter, embedded_directory
from repair.errors import InputError, ModelError
from training.places import EMBEDDED, SHIPPED
from training.staging import check_free, staged

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

DTYPES = ("auto", "float32", "bfloat16", "float16")
SHARD_BYTES = 4 * 2**30
_VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json")
_COPIED = (
    *_VOCABULARIES, "merges.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "chat_template.jinja", "chat_template.json", "generation_config.json", "LICENSE", "LICENSE.txt", "NOTICE",
)  # fmt: skip
_HUB_FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "LICENSE", "NOTICE", "README.md")
_SHARED = ("lm_head", "embed_tokens")


def base_directory(base: str | Path) -> Path:
    """The directory of a base: a directory, "" or "emend-embedded" for the embedded one, else an id of the hub.

    Raises InputError: no such base; ModelError: the embedded one is damaged.
    """
    if str(base) in ("", ".", EMBEDDED):
        return embedded_directory()
    if Path(base).is_dir():
        return Path(base)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(base), allow_patterns=list(_HUB_FILES)))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(f"{base} is neither a directory nor a model of the hub: {error}", field="base") from error


def adapter_directory(adapter: str | Path) -> Path:
    """The directory of an adapter; "embedded" is the shipped one. Raises InputError when a file is missing."""
    found = embedded_adapter() if str(adapter) == SHIPPED else Path(adapter)
    if found is None:
        raise InputError("this version of Emend ships no adapter", field="adapter")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if not (found / name).is_file():
            raise InputError(f"{found} has no {name}: give a directory that PEFT wrote", field="adapter")
    return found


def read_table(path: Path, field: str) -> dict[str, Any]:
    """A JSON object. Raises InputError naming the file when it is missing or none."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}", field=field) from error
    if not isinstance(table, dict):
        raise InputError(f"{path} is no JSON object", field=field)
    return cast("dict[str, Any]", table)


def recorded_base(adapter: Path) -> str:
    """What the adapter says that it was trained on: a path, an id, EMBEDDED, or "" when it does not say."""
    return str(read_table(adapter / "adapter_config.json", "adapter").get("base_model_name_or_path") or "")


def _check_names(adapter: Path, base: str | Path, directory: Path) -> None:
    """PEFT records no digest of the base, only its name: two bases of the same shape differ in nothing else."""
    recorded = recorded_base(adapter)
    if not recorded or recorded in (str(base), str(directory)) or Path(recorded).name == directory.name:
        return
    if recorded == EMBEDDED and directory == embedded_directory():
        return
    if Path(recorded).name == Path(base).name:
        return
    raise InputError(
        f"{adapter} was trained on {recorded}, not on {base or EMBEDDED}: give that base, or --force if this one is "
        "a copy of it",
        field="base",
    )


def _check_files(directory: Path, adapter: Path) -> None:
    if not (directory / "config.json").is_file():
        raise InputError(f"{directory} has no config.json: give the directory of a complete model", field="base")
    if not any((directory / name).is_file() for name in _VOCABULARIES):
        raise InputError(f"{directory} has no tokenizer: give the directory of a complete model", field="base")
    own, theirs = adapter / "tokenizer.json", directory / "tokenizer.json"
    if own.is_file() and theirs.is_file() and _tokens(own) != _tokens(theirs):
        raise InputError(
            f"the adapter's tokenizer.json has other tokens than that of {directory}: it is an adapter of another "
            "vocabulary",
            field="adapter",
        )


def _tokens(tokenizer: Path) -> Mapping[str, int]:
    table = read_table(tokenizer, "tokenizer.json")
    added = cast("list[dict[str, Any]]", table.get("added_tokens") or [])
    vocabulary = cast("dict[str, Any]", table.get("model") or {}).get("vocab")
    listed = cast("dict[str, int]", vocabulary) if isinstance(vocabulary, dict) else {}
    return {**listed, **{token["content"]: token["id"] for token in added}}


def _load(directory: Path) -> PreTrainedModel:
    import torch
    from transformers import AutoModelForCausalLM

    try:
        return cast("PreTrainedModel", AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(f"{directory} cannot be loaded as a causal language model: {error}", field="base") from error


def _untie(model: PreTrainedModel, names: Mapping[str, Tensor]) -> None:
    """Give the head its own weights where the adapter changes only one of the two that the base shares."""
    if not model.config.tie_word_embeddings or not any(part in name for name in names for part in _SHARED):
        return
    from torch import nn

    head = cast("nn.Linear", model.get_output_embeddings())
    head.weight = nn.Parameter(head.weight.detach().clone())
    model.config.tie_word_embeddings = False


def _check_tensors(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    strange, missing = sorted(found.keys() - expected.keys()), sorted(expected.keys() - found.keys())
    if strange or missing:
        what = f"{strange[0]}, which the base has no place for" if strange else f"no {missing[0]}"
        count = len(strange) + len(missing)
        raise InputError(f"the adapter is of another base: it has {what} ({count} such)", field="adapter")
    for name, tensor in found.items():
        if tensor.shape != expected[name].shape:
            fits = f"{tuple(tensor.shape)}, the base needs {tuple(expected[name].shape)}"
            kind = "vocabulary" if any(part in name for part in _SHARED) else "shape"
            raise InputError(f"the adapter is of a base with another {kind}: {name} is {fits}", field="adapter")


def _adapted(model: PreTrainedModel, adapter: Path) -> nn.Module:
    """The model with PEFT's layers and the adapter's weights in them."""
    from peft import PeftConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(adapter / "adapter_model.safetensors")
        config = PeftConfig.from_pretrained(str(adapter))
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{adapter} cannot be read: {error}", field="adapter") from error
    if config.peft_type != "LORA":
        raise InputError(
            f"{adapter} is a {config.peft_type} adapter: only LoRA and DoRA can be merged", field="adapter"
        )
    _untie(model, tensors)
    config.base_model_name_or_path = None  # peft warns of another name; `_check_names` has looked at it
    try:
        wrapped = get_peft_model(model, config)
    except ValueError as error:  # a target module that the base lacks
        raise InputError(f"the adapter is of another base: {error}", field="adapter") from error
    whole = any(
        name.endswith("base_layer.weight") for name in tensors
    )  # adapted embeddings are saved with their base weights
    _check_tensors(tensors, get_peft_model_state_dict(wrapped, save_embedding_layers=whole))
    set_peft_model_state_dict(wrapped, tensors)
    return cast("nn.Module", wrapped)


def _merged(model: PreTrainedModel, adapter: Path) -> PreTrainedModel:
    wrapped: Any = _adapted(model, adapter)
    try:
        return cast("PreTrainedModel", wrapped.merge_and_unload(safe_merge=True))
    except ValueError as error:  # safe_merge: something is not finite
        raise InputError(f"{adapter} cannot be merged: {error}", field="adapter") from error


def _write_card(base: str | Path, directory: Path, adapter: Path, partial: Path) -> None:
    if (adapter / "README.md").is_file():
        shutil.copyfile(adapter / "README.md", partial / "README.md")
        return
    embedded = directory == embedded_directory()
    lines = [
        "---",
        f"base_model: {EMBEDDED if embedded else base}",
        *(["license: apache-2.0"] if embedded else []),
        "---",
    ]
    text = f"\nAn adapter ({adapter.name}) merged into its base by `emend train export --to merged`.\n"
    (partial / "README.md").write_text("\n".join(lines) + "\n" + text, encoding="utf-8")


def merge(
    base: str | Path,
    adapter: str | Path,
    out: Path,
    dtype: str = "auto",
    *,
    shard_bytes: int = SHARD_BYTES,
    force: bool = False,
) -> None:
    """Write the plain safetensors directory `out` of `base` with `adapter` merged in.

    `dtype` is one of DTYPES, "auto" the base's own. `force` replaces what is at `out` and takes a base of another
    name than the adapter records. Raises InputError naming what does not fit, ModelError when the disk refuses.
    """
    if dtype not in DTYPES:
        raise InputError(f"{dtype}: the type of merged weights is one of {', '.join(DTYPES)}", field="dtype")
    source, directory = adapter_directory(adapter), base_directory(base)
    check_free(out, force=force, keep=(source, directory))  # before minutes of work
    if not force:
        _check_names(source, base, directory)
    _check_files(directory, source)
    _save(base, directory, source, out, dtype=dtype, shard_bytes=shard_bytes)


def _save(base: str | Path, directory: Path, adapter: Path, out: Path, *, dtype: str, shard_bytes: int) -> None:
    import torch
    from safetensors import SafetensorError

    stored = read_table(directory / "config.json", "base")
    if "quantization_config" in stored:
        raise InputError(f"{directory} is quantised: merge into the weights that it was made of", field="base")
    own = str(stored.get("dtype") or stored.get("torch_dtype") or "float32")
    model = _merged(_load(directory), adapter).to(getattr(torch, own if dtype == "auto" else dtype))
    with staged(out, force=True) as partial:
        partial.mkdir()
        try:
            model.save_pretrained(partial, max_shard_size=shard_bytes)
        except SafetensorError as error:
            raise ModelError(f"cannot write {out}: {error}; nothing was left there") from error
        for name in _COPIED:
            if (directory / name).is_file():
                shutil.copyfile(directory / name, partial / name)
        _write_card(base, directory, adapter, partial)
