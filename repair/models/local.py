"""LocalModel: weights on this machine, any `AutoModelForCausalLM` directory or hub id, with an optional adapter.

Owns loading, device, number type and threads. A vocabulary with the special tokens of prompts.py gets the compact
format, every other one the numbered format. Import this module lazily: it brings torch and transformers.
"""

from __future__ import annotations

import json
import logging
import os
import time
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Protocol, cast

import torch
from safetensors import SafetensorError

from repair.candidates import Completion
from repair.errors import ModelError
from repair.model import Decoding, LineBelief, Usage
from repair.models.compact import CompactFormat
from repair.models.decoding import Engine, Network
from repair.models.lean import LeanLlama, read_lean
from repair.models.numbered import NumberedFormat
from repair.models.tokens import TokenEncoder, is_compact, read_tokenizer
from repair.views import Hunk, View

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

_LOADING = (OSError, ValueError, KeyError, RuntimeError, ImportError, AttributeError, TypeError, SafetensorError)
_ONE_THREAD = 60_000_000  # parameters; below, a second thread gains next to nothing
_QUICK = 1024  # width of a layer that is multiplied in less than a millisecond or so
_SMALL = 1_000_000_000  # parameters; up to here an fp32 copy for merging an adapter fits any machine


class Format(Protocol):
    """How a kind of model is asked; `compact.py` and `numbered.py`."""

    def fitted(self, view: View) -> View:
        """The view as it is read: auxiliary parts cut where it is too long. Raises ModelError when its code is."""
        ...

    def locate(self, view: View) -> LineBelief:
        """As `Model.locate`."""
        ...

    def score(self, view: View, changes: Sequence[tuple[Hunk, ...]]) -> list[float]:
        """As `Model.score`."""
        ...

    def propose(self, view: View, decoding: Decoding) -> Iterator[Completion]:
        """As `Model.propose`."""
        ...


class LocalModel:
    """A `repair.model.Model` over loaded weights. Threads may share it: one at a time computes."""

    def __init__(self, name: str, engine: Engine, answers: Format) -> None:
        self._name = name
        self._engine = engine
        self._format = answers
        self._lock = Lock()

    @property
    def name(self) -> str:
        """The directory or hub id, with the adapter."""
        return self._name

    @property
    def usage(self) -> Usage:
        """Tokens read (prompts and scored changes) and written."""
        return Usage(self._engine.read_tokens, self._engine.written_tokens)

    @property
    def engine(self) -> Engine:
        """What computes; `batching.py` puts another one over its network."""
        return self._engine

    @property
    def answers(self) -> Format:
        """How it is asked."""
        return self._format

    @property
    def compact(self) -> bool:
        """Whether the vocabulary has the special tokens of prompts.py."""
        return isinstance(self._format, CompactFormat)

    def beside(self) -> LocalModel | None:
        """Another one over the same weights that may compute while this one does; what it reads is not counted here.

        None where that gains nothing or must not be: a GPU, several threads already, one core, a shared tokenizer.
        """
        alone = self._engine.device.type != "cpu" or torch.get_num_threads() > 1 or (os.cpu_count() or 1) < 2
        if alone or not isinstance(self._format, CompactFormat):
            return None
        engine = Engine(self._engine.network)
        return LocalModel(self._name, engine, self._format.over(engine))

    def locate(self, view: View) -> LineBelief:
        """Where the fault is; sums to 1."""
        with self._lock:
            return self._format.locate(view)

    def propose(self, view: View, decoding: Decoding) -> Iterator[Completion]:
        """Replies, likeliest first. All are computed before the first comes, so that nobody waits for a reader."""
        with self._lock:
            found = list(self._format.propose(view, decoding))
        yield from found

    def score(self, view: View, changes: Sequence[tuple[Hunk, ...]]) -> list[float]:
        """Log P(change | view) of each; -inf for a change that does not lie in the view."""
        with self._lock:
            return self._format.score(view, changes)


def load_local(
    source: str | Path,
    *,
    adapter: str | Path | None = None,
    device: str | None = None,
    threads: int | None = None,
    dtype: str | None = None,
) -> LocalModel:
    """Load a checkpoint directory or hub id, and merge a LoRA adapter into it.

    `device` is a torch device (default: a GPU that is there, else the CPU), `threads` the number of CPU threads
    (default: see `_threads`), `dtype` "float32" or "bfloat16" (default: the faster one here).
    Raises ModelError when anything is missing, unreadable or does not fit together.
    """
    source = checked_source(source)
    where = torch_device(device)
    network = _network(source, None if adapter is None else Path(adapter), where, dtype)
    torch.set_num_threads(threads or _threads(network.parameters))
    engine = Engine(network)
    name = str(source) if adapter is None else f"{source}+{adapter}"
    return LocalModel(name, engine, _format(source, engine, adapted=adapter is not None))


def answering(source: str | Path, network: Network, *, adapted: bool) -> LocalModel:
    """A model around a network that is loaded already; `source` has its tokenizer. Raises ModelError."""
    engine = Engine(network)
    return LocalModel(
        str(source), engine, _format(Path(source) if Path(source).is_dir() else source, engine, adapted=adapted)
    )


def _network(source: str | Path, adapter: Path | None, where: torch.device, dtype: str | None) -> Network:
    """A small plain Llama without transformers, anything else by it."""
    try:
        lean = read_lean(source, adapter) if isinstance(source, Path) and where.type == "cpu" else None
    except (OSError, SafetensorError):
        lean = None  # transformers and peft say better what is wrong with a file
    if lean is not None:
        shape, weights = lean
        return LeanLlama(shape, weights, _dtype(where, dtype, shape.heads * shape.size))
    from repair.models.huggingface import HuggingFaceNetwork

    model = _read_model(source)
    if adapter is not None:
        model = _merge(model, adapter)
    width = int(getattr(model.config.get_text_config(), "hidden_size", 1024))
    torch.nn.Module.to(model, where, _dtype(where, dtype, width))
    return HuggingFaceNetwork(model.eval().requires_grad_(requires_grad=False))


def _threads(parameters: int) -> int:
    """One thread for a small network, all cores for a large one; OMP_NUM_THREADS goes before.

    A step of a small network takes less than a millisecond: where another process (the tests that are being
    judged) has the second core, two threads wait for each other and were measured 40 times slower than one.
    """
    if os.environ.get("OMP_NUM_THREADS", "").isdigit():
        return max(1, int(os.environ["OMP_NUM_THREADS"]))
    return 1 if parameters < _ONE_THREAD else os.cpu_count() or 1


def checked_source(source: str | Path) -> str | Path:
    """The directory, or the hub id when there is none of that name. Raises ModelError for a path that holds none."""
    path = Path(source).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(f"{path} has no config.json: give the directory that holds a whole checkpoint")
        return path
    if path.exists() or str(source).startswith((".", "/", "~")) or str(source).count("/") > 1:
        raise ModelError(f"{path} is not a directory: give a checkpoint directory or a hub id like org/name")
    return str(source)


def torch_device(device: str | None) -> torch.device:
    """A device by name; None: a GPU that is there, else the CPU. Raises ModelError for one that does not work."""
    try:
        where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(1, device=where)
    except (RuntimeError, AssertionError) as error:
        first = str(error).split("\n", 1)[0]
        raise ModelError(f"device {device!r} does not work here ({first}): use cpu, or cuda with a GPU") from error
    return where


def _read_model(source: str | Path) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = AutoModelForCausalLM.from_pretrained(
                source, dtype="auto", trust_remote_code=False, output_loading_info=True
            )
    except _LOADING as error:
        raise ModelError(_why_not(source, error)) from error
    network, report = cast("tuple[PreTrainedModel, dict[str, set[str]]]", loaded)
    missing = sorted(report["missing_keys"]) + sorted(str(k) for k in report["mismatched_keys"])
    if missing:
        raise ModelError(f"{source} lacks weights ({', '.join(missing[:3])}, ...): copy the whole checkpoint again")
    return network


def _why_not(source: str | Path, error: Exception) -> str:
    first = str(error).strip().split("\n", 1)[0]
    if isinstance(source, str):
        return (
            f"{source} could not be loaded from the hub or its cache ({first}): check the name and the network, "
            "or download it elsewhere and give its directory"
        )
    return f"{source} is not a causal language model that transformers can load ({first})"


def _merge(network: PreTrainedModel, adapter: Path) -> PreTrainedModel:
    """The network with a LoRA adapter added to its weights. Raises ModelError when they do not belong together."""
    with _fitting_adapter(adapter):
        return _adapted(network, adapter).merge_and_unload(safe_merge=True)


def read_adapted(source: str | Path, adapter: Path | None) -> PreTrainedModel:
    """A checkpoint by transformers with a LoRA adapter beside its weights, not merged. Raises ModelError."""
    network = _read_model(source)
    return network if adapter is None else add_adapter(network, adapter)


def add_adapter(network: PreTrainedModel, adapter: Path) -> PreTrainedModel:
    """The network with a LoRA adapter beside its weights, by peft. Raises ModelError when it does not fit."""
    with _fitting_adapter(adapter):
        return cast("PreTrainedModel", _adapted(network, adapter).get_base_model())


def _adapted(network: PreTrainedModel, adapter: Path) -> PeftModel:
    # bitsandbytes, which peft imports, warns of a kernel that nothing here uses
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    from peft import PeftModel

    if not (adapter / "adapter_config.json").is_file():
        raise ModelError(f"{adapter} has no adapter_config.json: give the directory of a PEFT adapter")
    if network.num_parameters() <= _SMALL:
        network = network.float()  # a small change added in bf16 would be rounded away
    return PeftModel.from_pretrained(network, str(adapter))


@contextmanager
def _fitting_adapter(adapter: Path) -> Generator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", message="Found missing adapter keys")
            yield
    except (*_LOADING, UserWarning) as error:
        detail = " ".join(str(error).split())[:300]  # the first line alone says only that there is an error
        raise ModelError(
            f"the adapter {adapter} does not fit the model ({detail}): use the base it was made for"
        ) from error


def _dtype(where: torch.device, wanted: str | None, width: int) -> torch.dtype:
    if wanted is not None:
        if wanted not in ("float32", "bfloat16", "float16"):
            raise ModelError(f"number type {wanted!r} is not known: use float32, bfloat16 or float16")
        return getattr(torch, wanted)
    if where.type != "cpu":
        return torch.bfloat16 if where.type != "cuda" or torch.cuda.is_bf16_supported() else torch.float16
    return faster_dtype(width)


@lru_cache(maxsize=8)
def faster_dtype(width: int) -> torch.dtype:
    """bf16 or fp32, whichever multiplies a layer of this width faster on this CPU (some emulate bf16).

    In turns and in CPU time: on a busy machine two processes must not choose differently, for their answers would.
    """
    best = {torch.bfloat16: float("inf"), torch.float32: float("inf")}
    layers = {dtype: (torch.ones(64, width, dtype=dtype), torch.ones(3 * width, width, dtype=dtype)) for dtype in best}
    for _ in range(24 if width <= _QUICK else 5):
        for dtype, layer in layers.items():
            best[dtype] = min(best[dtype], _layer_seconds(*layer))
    return min(best, key=lambda dtype: best[dtype])


def _layer_seconds(rows: torch.Tensor, weight: torch.Tensor) -> float:
    start = time.thread_time()
    torch.nn.functional.linear(rows, weight)
    return time.thread_time() - start


def _format(source: str | Path, engine: Engine, *, adapted: bool) -> Format:
    if isinstance(source, Path) and (source / "tokenizer.json").is_file():
        tokenizer = read_tokenizer(source)
        if is_compact(tokenizer):
            return CompactFormat(engine, _fitting(TokenEncoder(tokenizer), engine, source))
    from transformers import AutoTokenizer, GenerationConfig

    try:
        plain = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (*_LOADING, json.JSONDecodeError) as error:
        raise ModelError(f"the tokenizer of {source} cannot be read ({error}): copy the checkpoint again") from error
    backend = getattr(plain, "backend_tokenizer", None)
    if backend is not None and is_compact(backend):
        return CompactFormat(engine, _fitting(TokenEncoder(backend), engine, source))
    try:
        ends = GenerationConfig.from_pretrained(source).eos_token_id
    except OSError:  # a checkpoint need not have one
        ends = None
    ends = [*(ends if isinstance(ends, list) else [ends]), plain.eos_token_id]
    chat = plain.chat_template is not None and not adapted  # adapters are trained on the numbered prompt
    return NumberedFormat(engine, plain, (e for e in ends if e is not None), chat=chat)


def _fitting(encoder: TokenEncoder, engine: Engine, source: str | Path) -> TokenEncoder:
    if encoder.vocabulary > engine.vocabulary:
        raise ModelError(
            f"{source}: the tokenizer has {encoder.vocabulary} tokens, the model {engine.vocabulary}: "
            "tokenizer and weights are not of one checkpoint"
        )
    return encoder
