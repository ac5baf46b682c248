"""Held-out figures of a model without running any test: location, no-fault, exact fix, bits per byte.

    python -m training.measure MODEL HELDOUT [--adapter DIR] [--candidates N] [--searched N] [--limit N]
                               [--scores FILE]

prints one JSON object. MODEL is a directory or hub id, of the compact or the numbered format; HELDOUT what
`training.heldout` reads. Definitions: `training.scores`. Owns loading; must not know how a model was trained.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from repair.errors import InputError, ModelError
from repair.models.tokens import TokenEncoder, is_compact
from training.heldout import Held, read_heldout
from training.meter import NONE, Effort, Meter, inner, serving
from training.probes import CompactProbe, Limits, NumberedProbe
from training.reading import hub_logits, lean_logits
from training.scores import Score, summarise

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from repair.model import Model

COMPACT_PROMPT = 1024  # tokens: the longest example that the embedded model was trained on
NUMBERED_PROMPT = 4096
_SMALL = 1_000_000_000  # parameters: up to here an fp32 copy fits any machine
_LOADING = (OSError, ValueError, KeyError, RuntimeError, ImportError, AttributeError, TypeError)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Weights by place: a directory or hub id, and an adapter for it."""

    source: str | Path
    adapter: Path | None = None

    def __str__(self) -> str:
        return str(self.source) if self.adapter is None else f"{self.source} + {self.adapter}"


class Fixer(Protocol):
    """Repairs programs with tests and runs these; injected, for running programs is no business of training."""

    def __call__(self, checkpoints: Sequence[Checkpoint]) -> Sequence[Mapping[str, bool]]:
        """For each checkpoint, whether each task, by its id, was repaired. All answer the same tasks.

        Each task in all of them, one right after the other: a task has seconds of a clock, and a machine that is
        busier for one of them must not look like a worse model.
        """
        ...


@dataclass(frozen=True, slots=True)
class Measured:
    """What a model made of held-out examples; `fixed` says of each task with tests whether it was repaired."""

    name: str
    scores: tuple[Score, ...]
    too_long: int = 0  # examples that exceed the context: left out
    fixed: Mapping[str, bool] = field(default_factory=dict[str, bool])

    @property
    def figures(self) -> dict[str, float]:
        """As `training.scores` defines them."""
        return summarise(self.scores)


def measure_model(checkpoint: Checkpoint, heldout: Sequence[Held], *, effort: Effort = NONE) -> Measured:
    """Load a model and measure it. Raises ModelError: it cannot be loaded, or does not fit its adapter."""
    scores = load_meter(checkpoint).score(heldout, effort)
    return Measured(str(checkpoint), tuple(scores), len(heldout) - len(scores))


def load_meter(checkpoint: Checkpoint) -> Meter:
    """A Meter of weights on disk. Raises ModelError as `measure_model` does."""
    meter = meter_of(load_network(checkpoint), checkpoint.source)
    if not isinstance(meter.probe, CompactProbe):
        return meter
    return replace(meter, answers=lru_cache(maxsize=1)(lambda: _lean(checkpoint)))


def _lean(checkpoint: Checkpoint) -> Model:
    """A small model through the engine that serves it, which is several times faster than transformers' classes."""
    import torch

    from repair.models.local import load_local

    return load_local(checkpoint.source, adapter=checkpoint.adapter, dtype="float32", threads=torch.get_num_threads())


def measure_network(
    network: nn.Module, source: str | Path, heldout: Sequence[Held], *, effort: Effort = NONE, name: str = ""
) -> Measured:
    """Measure a network in memory (transformers', peft's, or the lean Llama); it is left as it was.

    `source` is the checkpoint whose tokenizer it has: for a network between two steps of training, the base.
    Raises ModelError where there is no tokenizer.
    """
    with serving(network):
        scores = meter_of(network, source).score(heldout, effort)
    return Measured(name or str(source), tuple(scores), len(heldout) - len(scores))


def meter_of(network: nn.Module, source: str | Path) -> Meter:
    """A Meter of a network with the tokenizer of `source`. Raises ModelError where that cannot be read."""
    from training.model import Llama

    tokenizer = _tokenizer(source)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    lean = isinstance(network, Llama)
    logits = lean_logits(network) if isinstance(network, Llama) else hub_logits(network)
    context = network.config.positions if isinstance(network, Llama) else _context(inner(network))
    if backend is not None and is_compact(backend):
        encoder = TokenEncoder(backend)
        probe = CompactProbe(encoder, Limits(min(COMPACT_PROMPT, context), context))
    else:
        encoder = None
        probe = NumberedProbe(tokenizer, Limits(min(NUMBERED_PROMPT, context), context))

    @lru_cache(maxsize=1)
    def answers() -> Model:
        if lean:
            raise InputError("the lean Llama makes no proposals: save it and measure the directory", field="candidates")
        return _served(network, tokenizer, encoder)

    return Meter(logits, probe, answers)


def _served(network: nn.Module, tokenizer: PreTrainedTokenizerBase, encoder: TokenEncoder | None) -> Model:
    """The network as `repair` asks it."""
    from repair.models.compact import CompactFormat
    from repair.models.decoding import Engine
    from repair.models.huggingface import HuggingFaceNetwork
    from repair.models.local import LocalModel
    from repair.models.numbered import NumberedFormat

    engine = Engine(HuggingFaceNetwork(cast("PreTrainedModel", inner(network))))
    if encoder is not None:
        return LocalModel("", engine, CompactFormat(engine, encoder))
    end = tokenizer.eos_token_id
    ends = [end] if isinstance(end, int) else []
    return LocalModel("", engine, NumberedFormat(engine, tokenizer, ends, chat=False))


def _context(network: nn.Module) -> int:
    config = cast("Any", network).config.get_text_config()
    return int(getattr(config, "max_position_embeddings", None) or NUMBERED_PROMPT)


def _tokenizer(source: str | Path) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (*_LOADING, json.JSONDecodeError) as error:
        raise ModelError(f"{source} has no tokenizer that can be read ({_first(error)}): copy it again") from error


def _first(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]


def load_network(checkpoint: Checkpoint) -> nn.Module:
    """The network with its adapter merged: fp32 on a CPU, bf16 on a GPU that is there. Raises ModelError."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    cuda = torch.cuda.is_available()
    try:
        network: nn.Module = AutoModelForCausalLM.from_pretrained(
            checkpoint.source, dtype="auto", trust_remote_code=False
        )
    except _LOADING as error:
        raise ModelError(f"{checkpoint.source} is no causal language model that loads ({_first(error)})") from error
    if not cuda or sum(p.numel() for p in network.parameters()) <= _SMALL:
        network = network.float()  # a small change merged in bf16 would be rounded away
    if checkpoint.adapter is not None:
        network = _merged(network, checkpoint.adapter)
    network = torch.nn.Module.to(network, "cuda", torch.bfloat16) if cuda else network
    return network.eval().requires_grad_(requires_grad=False)


def _merged(network: nn.Module, adapter: Path) -> nn.Module:
    from peft import PeftModel

    if not (adapter / "adapter_config.json").is_file():
        raise ModelError(f"{adapter} has no adapter_config.json: give the directory of a PEFT adapter")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", message="Found missing adapter keys")
            return cast("Any", PeftModel.from_pretrained(cast("Any", network), str(adapter))).merge_and_unload()
    except (*_LOADING, UserWarning) as error:
        raise ModelError(f"the adapter {adapter} does not fit the model ({_first(error)}): use its own base") from error


def write_scores(path: Path, scores: Sequence[Score]) -> None:
    """One JSON line an example."""
    path.write_text("".join(json.dumps(asdict(score)) + "\n" for score in scores), encoding="utf-8")


def main(arguments: Sequence[str]) -> None:
    """The command of the module docstring."""
    parser = argparse.ArgumentParser(prog="training.measure")
    parser.add_argument("model")
    parser.add_argument("heldout", type=Path)
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--candidates", type=int, default=0, help="proposals asked for each faulty example: exact@k")
    parser.add_argument("--searched", type=int, default=0, help="candidates of the search, mutations too: searched@k")
    parser.add_argument("--limit", type=int, default=0, help="examples, the first ones")
    parser.add_argument("--scores", type=Path, help="write one JSON line an example")
    options = parser.parse_args(arguments)
    heldout = read_heldout(options.heldout, options.limit)
    effort = Effort(options.candidates, options.searched)
    measured = measure_model(Checkpoint(options.model, options.adapter), heldout, effort=effort)
    if options.scores:
        write_scores(options.scores, measured.scores)
    figures = {
        name: None if math.isnan(value) else value for name, value in measured.figures.items()
    }  # JSON has no NaN
    sys.stdout.write(json.dumps({**figures, "too_long": measured.too_long}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
