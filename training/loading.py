"""From a recipe to an engine: the base, its number type, device and attention, and what of it is trained.

Owns every way in which that can fail, each with what to do about it. Must not know batches or steps.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors import SafetensorError
from torch import nn

from repair.errors import InputError, ModelError
from training.attention import BLOCKS, arrives, choose, register
from training.config import LoraConfig, Recipe
from training.hub import HubEngine, Origin, memory_errors
from training.places import EMBEDDED, adapter_directory, base_directory

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_LOADING = (OSError, ValueError, KeyError, RuntimeError, ImportError, AttributeError, TypeError, SafetensorError)
_BYTES_FULL = 16  # a weight in fp32, its gradient and two moments


def load_hub(recipe: Recipe) -> HubEngine:
    """The engine that tunes `run.base` as the recipe says.

    Raises InputError: a setting that does not fit the model; ModelError: a base, adapter, device or library that is
    missing, unreadable or does not fit the others.
    """
    run = recipe.run
    logging.getLogger("bitsandbytes").setLevel(
        logging.ERROR
    )  # it would tell each user of kernels that it can do without
    source, device = _source(recipe), _device(run.device)
    tokenizer = _tokenizer(source)
    base = _base(source, recipe, device)
    if len(tokenizer) > int(base.config.get_text_config().vocab_size):
        raise ModelError(f"{source}: tokenizer and weights are not of one checkpoint: their vocabularies differ")
    return engine_on(base, recipe, Origin(source, tokenizer), str(source) if run.base else EMBEDDED)


def engine_on(base: PreTrainedModel, recipe: Recipe, origin: Origin, name: str) -> HubEngine:
    """The engine that tunes a base that is in its place already; an adapter will say that it is for the base `name`."""
    run, aim = recipe.run, recipe.objective
    choice = choose(base, recipe.data.row_length, run.attention, observed=aim.entropy > 0 or aim.locality > 0)
    _attend(base, choice.implementation, run.attention)
    model = _trained(base, recipe, name)
    if run.checkpointing:
        recompute(base)
    return HubEngine(model, base, aim, dtype=getattr(torch, run.dtype), origin=origin, compiled=run.compile)


def recompute(base: PreTrainedModel) -> None:
    """Compute activations again in the backward pass. Transformers 5.17 knows the old name alone."""
    enable = getattr(base, "activation_checkpointing_enable", None) or base.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def _first(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0]


@contextmanager
def _quiet() -> Generator[None]:
    """Transformers 5 and peft warn about each other's attributes; what matters comes as an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _source(recipe: Recipe) -> str | Path:
    """The directory of the base, or a hub id where there is none of that name."""
    named = base_directory(recipe)
    path = Path(named)
    if not path.is_dir():
        return named
    if not (path / "config.json").is_file():
        raise ModelError(f"{path} has no config.json: give the directory that holds a whole checkpoint")
    return path


def _device(device: str) -> torch.device:
    try:
        where = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
        torch.empty(1, device=where)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"run.device={device} does not work here ({_first(error)}): use cpu or auto") from error
    return where


def _tokenizer(source: str | Path) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (*_LOADING, json.JSONDecodeError) as error:
        raise ModelError(f"{source} has no tokenizer that can be read ({_first(error)}): copy it whole") from error


def _base(source: str | Path, recipe: Recipe, device: torch.device) -> PreTrainedModel:
    """The weights on their device. Trained ones are fp32, else steps smaller than bf16's rounding would be lost."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging as reports

    run = recipe.run
    dtype = torch.float32 if run.method == "full" else getattr(torch, run.dtype)
    settings: dict[str, Any] = {"dtype": dtype, "trust_remote_code": False, "output_loading_info": True}
    if run.quantise:
        settings |= {"quantization_config": _quantisation(run.quantise, dtype), "device_map": {"": device}}
    reports.disable_progress_bar()
    try:
        with memory_errors(), _quiet():
            loaded = AutoModelForCausalLM.from_pretrained(source, **settings)
    except _LOADING as error:
        raise ModelError(_why_not(source, error, run.quantise)) from error
    network, report = cast("tuple[PreTrainedModel, dict[str, set[str]]]", loaded)
    missing = sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"])
    if missing:
        raise ModelError(f"{source} lacks weights ({', '.join(missing[:3])}, ...): copy the whole checkpoint again")
    for module in network.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            # bitsandbytes would repack 4-bit weights at the first evaluation, for a kernel without a backward pass
            setattr(module, "support_avx512bf16_for_cpu", False)  # noqa: B010 - a module has no such attribute for types
    with memory_errors():
        return network if run.quantise else cast("PreTrainedModel", nn.Module.to(network, device))


def _why_not(source: str | Path, error: Exception, quantise: str) -> str:
    if quantise:
        return f"{source} could not be loaded with run.quantise={quantise} ({_first(error)}): leave run.quantise empty"
    if isinstance(source, str):
        return (
            f"{source} could not be loaded from the hub or its cache ({_first(error)}): check the name and the network"
        )
    return f"{source} is not a causal language model that transformers can load ({_first(error)})"


def _quantisation(kind: str, dtype: torch.dtype) -> Any:  # noqa: ANN401 - transformers' configuration
    """Settings of bitsandbytes (Dettmers et al. 2022: int8; 2023: nf4 with its scales quantised again)."""
    from transformers import BitsAndBytesConfig

    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(f"run.quantise={kind} needs bitsandbytes: install it, or leave run.quantise empty")
    if kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )


def _attend(base: PreTrainedModel, implementation: str, wanted: str) -> None:
    register()
    try:
        base.set_attn_implementation(implementation)
        if implementation == BLOCKS and wanted == "auto" and not arrives(base):
            base.set_attn_implementation("sdpa")
    except (ImportError, ValueError) as error:
        raise ModelError(f"run.attention={wanted} does not work here ({_first(error)}): use auto") from error


def _trained(base: PreTrainedModel, recipe: Recipe, name: str) -> nn.Module:
    run = recipe.run
    if run.method == "full":
        _warn_of_size(base)
        base.requires_grad_(requires_grad=True)
        return base
    base.requires_grad_(requires_grad=False)
    if run.adapter:
        return _with_adapter(base, adapter_directory(run.adapter), name)
    return put_lora(base, recipe.lora, seed=run.seed, name=name)


def _warn_of_size(base: PreTrainedModel) -> None:
    need, there = base.num_parameters() * _BYTES_FULL, _memory(base.device)
    if need > there:
        warnings.warn(
            f"full fine-tuning needs about {need >> 20:,} MB, this machine has {there >> 20:,}: use run.method=lora",
            stacklevel=2,
        )


def _memory(device: torch.device) -> int:
    """Bytes of the device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _with_adapter(base: PreTrainedModel, directory: Path, name: str) -> nn.Module:
    """The base with a LoRA that is trained on. Raises ModelError where the two do not fit."""
    from peft import PeftModel

    try:
        kind = json.loads((directory / "adapter_config.json").read_text(encoding="utf-8"))["peft_type"]
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{directory} has no adapter_config.json that can be read: give a PEFT directory") from error
    if kind != "LORA":
        raise ModelError(f"{directory} is a {kind} adapter: only LORA ones are trained")
    try:
        with _quiet():
            warnings.filterwarnings("error", message="Found missing adapter keys")
            model = PeftModel.from_pretrained(base, str(directory), is_trainable=True)
    except (*_LOADING, UserWarning) as error:
        detail = " ".join(str(error).split())[:300]
        raise ModelError(
            f"the adapter {directory} does not fit the base {name}: use the base it was made for ({detail})"
        ) from error
    model.peft_config["default"].base_model_name_or_path = name
    return model


def put_lora(base: PreTrainedModel, config: LoraConfig, *, seed: int, name: str) -> nn.Module:
    """A fresh LoRA on the base; its first factor follows from `seed`.

    The factors are fp32 also on a bf16 base (peft's `autocast_adapter_dtype`): Adam's steps would vanish in bf16.
    Raises InputError naming the modules that exist when a target does not.
    """
    from peft import LoraConfig as PeftConfig
    from peft import get_peft_model

    linear = linear_modules(base)
    missing = [target for target in config.targets if target not in linear]
    if missing:
        raise InputError(f"no module {', '.join(missing)}; there are {', '.join(linear)}", field="lora.targets")
    settings = PeftConfig(
        r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout, use_rslora=config.rslora,
        use_dora=config.dora, target_modules=list(config.targets) or "all-linear", task_type="CAUSAL_LM",
    )  # fmt: skip
    with _quiet(), torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        model = get_peft_model(base, settings)
    model.peft_config["default"].base_model_name_or_path = name
    return cast("nn.Module", model)


def linear_modules(base: PreTrainedModel) -> list[str]:
    """Names of the layers that LoRA can be put on, without the head."""
    from transformers.pytorch_utils import Conv1D

    head = base.get_output_embeddings()
    found = {name for name, m in base.named_modules() if isinstance(m, (nn.Linear, Conv1D)) and m is not head}
    return sorted({name.rsplit(".", 1)[-1] for name in found})
