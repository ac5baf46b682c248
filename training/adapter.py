"""`train adapter`: LoRA on any Hugging Face causal LM, the embedded base included, through the one loop.

Owns two engines: `HubEngine` puts peft's LoRA on a transformers model (block-diagonal attention over packed rows,
hidden states gathered at the labels before the head); `MergedEngine` trains the same factors on the lean Llama by
merging them into its weights and projecting its gradients, which is exact and lets the native engine do the work.
Both leave a directory in PEFT's format. LoRA: Hu et al. 2021; rank-stabilised scale: Kalajdzievski 2023.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from repair.errors import InputError, ModelError
from training.batches import Batch, Batches, Shards, heldout_batches
from training.checkpoint import State
from training.config import LoraConfig, ModelConfig, Recipe
from training.loop import Engine, Log, Trainer
from training.memory import keep_memory
from training.model import Llama

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PREFIX = "base_model.model."
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
HELDOUT_BATCHES = 8
_MASKED = -1e9  # finite: a row of padding must not become NaN


def positions_of(segments: Tensor) -> Tensor:
    """Position of each token (rows, length) in its own example, from segment numbers of the same shape."""
    index = torch.arange(segments.shape[1]).expand_as(segments)
    begins = torch.ones_like(segments, dtype=torch.bool)
    begins[:, 1:] = segments[:, 1:] != segments[:, :-1]
    return index - torch.where(begins, index, 0).cummax(dim=1).values


class HubEngine:
    """A transformers causal LM in fp32 or bf16; what has `requires_grad` is trained."""

    def __init__(self, model: nn.Module, base: PreTrainedModel) -> None:
        self.model, self._base = model, base
        self._decoder = cast("nn.Module", base.get_decoder())
        self._head = cast("nn.Module", base.get_output_embeddings())

    @property
    def parameters(self) -> Mapping[str, nn.Parameter]:
        """Trainable parameters."""
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def _sums(self, batch: Batch) -> tuple[Tensor, Tensor]:
        segments, weights = torch.from_numpy(batch.segments), torch.from_numpy(batch.weights).flatten()
        length = segments.shape[1]
        seen = (segments[:, :, None] == segments[:, None, :]) & torch.ones(length, length, dtype=torch.bool).tril()
        mask = torch.where(seen, 0.0, _MASKED).unsqueeze(1).to(self._base.dtype)
        ids = torch.from_numpy(batch.ids)
        states = self._decoder(input_ids=ids, attention_mask=mask, position_ids=positions_of(segments), use_cache=False)
        at = weights.nonzero().squeeze(1)
        hidden = states.last_hidden_state.flatten(0, 1)[at]
        labels = torch.from_numpy(batch.labels).flatten()[at]
        losses = functional.cross_entropy(self._head(hidden).float(), labels, reduction="none")
        return (losses * weights[at]).sum(), weights.sum()

    def gradients(self, batch: Batch) -> float:
        """As `Engine.gradients`."""
        total, count = self._sums(batch)
        loss = total / count.clamp(min=1e-6)
        loss.backward()
        return loss.item()

    @torch.no_grad()
    def loss(self, batch: Batch) -> tuple[float, float]:
        """As `Engine.loss`."""
        total, count = self._sums(batch)
        return total.item(), count.item()


class MergedEngine:
    """LoRA factors of a lean Llama whose engine only knows whole weights.

    The loss of W + s B A has the gradients dB = s dW A' and dA = s B' dW, so each step merges, asks the inner
    engine for dW and projects. Worth it where merging is cheap against a step, that is for small models.
    """

    def __init__(self, inner: Engine, config: LoraConfig, seed: int) -> None:
        self._inner = inner
        self._base = {name: p.detach().clone() for name, p in inner.parameters.items()}
        self._scale = config.alpha / (math.sqrt(config.rank) if config.rslora else config.rank)
        targets = config.targets or LINEAR
        self.modules = [n.removesuffix(".weight") for n in self._base if n.split(".")[-2] in targets]
        if not self.modules:
            raise InputError(f"no module is called {', '.join(targets)}; there are {', '.join(LINEAR)}", field="lora")
        generator = torch.Generator().manual_seed(seed)
        self._factors: dict[str, nn.Parameter] = {}
        for module in self.modules:
            rows, columns = self._base[f"{module}.weight"].shape
            bound = 1 / math.sqrt(columns)  # peft's: Kaiming uniform with a = sqrt(5)
            low = torch.empty(config.rank, columns).uniform_(-bound, bound, generator=generator)
            self._factors[f"{module}.lora_A.weight"] = nn.Parameter(low)
            self._factors[f"{module}.lora_B.weight"] = nn.Parameter(torch.zeros(rows, config.rank))

    @property
    def parameters(self) -> Mapping[str, nn.Parameter]:
        """The factors."""
        return self._factors

    def _pair(self, module: str) -> tuple[nn.Parameter, nn.Parameter]:
        return self._factors[f"{module}.lora_A.weight"], self._factors[f"{module}.lora_B.weight"]

    @torch.no_grad()
    def _merge(self) -> None:
        for module in self.modules:
            low, high = self._pair(module)
            name = f"{module}.weight"
            self._inner.parameters[name].copy_(self._base[name] + self._scale * (high @ low))

    @torch.no_grad()
    def _project(self) -> None:
        for module in self.modules:
            low, high = self._pair(module)
            whole = self._inner.parameters[f"{module}.weight"].grad
            if whole is None:
                raise ModelError(f"the engine gave no gradient of {module}")
            low.grad, high.grad = self._scale * (high.T @ whole), self._scale * (whole @ low.T)

    def gradients(self, batch: Batch) -> float:
        """As `Engine.gradients`; replaces the gradients of the step before."""
        self._merge()
        for parameter in self._inner.parameters.values():
            if parameter.grad is not None:
                parameter.grad.zero_()
        loss = self._inner.gradients(batch)
        self._project()
        return loss

    def loss(self, batch: Batch) -> tuple[float, float]:
        """As `Engine.loss`."""
        self._merge()
        return self._inner.loss(batch)


def write_adapter(factors: Mapping[str, Tensor], config: LoraConfig, base: str, out: Path) -> None:
    """A PEFT directory of factors named `MODULE.lora_A.weight` and `MODULE.lora_B.weight`."""
    out.mkdir(parents=True, exist_ok=True)
    tensors = {PREFIX + name: t.detach().contiguous() for name, t in factors.items()}
    save_file(tensors, out / "adapter_model.safetensors", metadata={"format": "pt"})
    settings = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base, "r": config.rank,
        "lora_alpha": config.alpha, "lora_dropout": config.dropout, "use_rslora": config.rslora, "use_dora": False,
        "target_modules": sorted(config.targets or LINEAR), "bias": "none", "inference_mode": True,
        "fan_in_fan_out": False,
    }  # fmt: skip
    (out / "adapter_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def put_lora(model: PreTrainedModel, config: LoraConfig) -> nn.Module:
    """Peft's LoRA on a model. Raises InputError naming the modules that exist when a target does not."""
    from peft import LoraConfig as PeftConfig
    from peft import get_peft_model

    linear = {name.split(".")[-1] for name, m in model.named_modules() if isinstance(m, nn.Linear)} - {"lm_head"}
    missing = [target for target in config.targets if target not in linear]
    if missing:
        raise InputError(f"no module {', '.join(missing)}; there are {', '.join(sorted(linear))}", field="lora.targets")
    settings = PeftConfig(
        r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout, use_rslora=config.rslora,
        use_dora=config.dora, target_modules=list(config.targets) or "all-linear", task_type="CAUSAL_LM",
    )  # fmt: skip
    return cast("nn.Module", get_peft_model(model, settings))


def _batches(recipe: Recipe, log: Log) -> tuple[Batches, Sequence[Batch]]:
    shards = Shards(recipe.data.shards, recipe.data)
    log.write({"examples": len(shards), "too_long": shards.too_long})
    heldout = ()
    if recipe.data.heldout:
        heldout = heldout_batches(Shards(recipe.data.heldout, recipe.data), recipe.data, HELDOUT_BATCHES)
    return Batches(shards, recipe.data, recipe.run.seed), heldout


def _vocabulary_check(batches: Batches, vocabulary: int) -> None:
    highest = batches.shards.highest
    if highest >= vocabulary:
        raise InputError(f"the shards hold token {highest}, the base has {vocabulary}: other tokenizer", field="data")


def train_adapter(recipe: Recipe, echo: Callable[[str], None] | None = None) -> State:
    """Train a LoRA adapter of `run.base` and leave it in `run.out/adapter`. Raises InputError, ModelError."""
    keep_memory()
    torch.set_num_threads(recipe.run.threads)
    torch.manual_seed(recipe.run.seed)
    log = Log(recipe.run.out / "log.jsonl", echo)
    try:
        batches, heldout = _batches(recipe, log)
        if recipe.run.engine == "native":
            return _train_merged(recipe, batches, heldout, log)
        return _train_hub(recipe, batches, heldout, log)
    finally:
        log.close()


def _base_directory(recipe: Recipe) -> str:
    if recipe.run.base:
        return recipe.run.base
    from repair.embedded.expander import embedded_directory

    return str(embedded_directory())


def _train_hub(recipe: Recipe, batches: Batches, heldout: Sequence[Batch], log: Log) -> State:
    from transformers import AutoModelForCausalLM

    try:
        loaded = AutoModelForCausalLM.from_pretrained(
            _base_directory(recipe), dtype=getattr(torch, recipe.run.dtype), attn_implementation="sdpa"
        )
    except (OSError, ValueError) as error:
        raise ModelError(f"{recipe.run.base}: {error}") from error
    base = cast("PreTrainedModel", loaded)
    _vocabulary_check(batches, base.config.vocab_size)
    model = put_lora(base, recipe.lora)
    state = Trainer(HubEngine(model, base), recipe, batches, heldout, log).run()
    cast(Any, model).save_pretrained(recipe.run.out / "adapter")
    return state


def _train_merged(recipe: Recipe, batches: Batches, heldout: Sequence[Batch], log: Log) -> State:
    from training.native import NativeEngine

    directory = Path(_base_directory(recipe))
    model = load_lean(directory)
    _vocabulary_check(batches, model.config.vocabulary)
    engine = MergedEngine(NativeEngine(model), recipe.lora, recipe.run.seed)
    state = Trainer(engine, recipe, batches, heldout, log).run()
    write_adapter(engine.parameters, recipe.lora, "emend-embedded", recipe.run.out / "adapter")
    return state


def load_lean(directory: Path) -> Llama:
    """A Hugging Face Llama directory with tied embeddings as the lean model, fp32. Raises ModelError: another kind."""
    from safetensors.torch import load_file

    try:
        raw = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        rope = raw.get("rope_parameters") or raw
        config = ModelConfig(
            raw["vocab_size"], raw["hidden_size"], raw["num_hidden_layers"], raw["num_attention_heads"],
            raw["num_key_value_heads"], raw["intermediate_size"], raw["max_position_embeddings"],
            float(rope["rope_theta"]), raw["rms_norm_eps"],
        )  # fmt: skip
        weights = load_file(directory / "model.safetensors")
    except (OSError, KeyError, ValueError) as error:
        raise ModelError(f"{directory} is no Llama that the lean model can read: {error!r}") from error
    model = Llama(config)
    wrong = model.load_state_dict(
        {k: v.float() for k, v in weights.items() if not re.match("lm_head", k)}, strict=False
    )
    if wrong.missing_keys or wrong.unexpected_keys:
        raise ModelError(f"{directory}: weights do not fit: {wrong}")
    return model
