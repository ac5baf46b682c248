"""Writes a tuned model as a directory that others load: PEFT's for adapters, Hugging Face's for whole models.

Owns that the directory is replaced whole or not at all. Must not know how the model was trained.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from safetensors import SafetensorError
from torch import nn

from repair.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@contextmanager
def replaced(out: Path) -> Generator[Path]:
    """A new directory beside `out` that takes its place at the end.

    Raises ModelError when the disk refuses; what was there is then kept.
    """
    partial, old = (out.with_name(f".{out.name}.{kind}-{os.getpid()}") for kind in ("partial", "old"))
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        if out.exists():
            out.rename(old)
        partial.rename(out)
    except (OSError, SafetensorError) as error:
        if old.exists() and not out.exists():
            old.rename(out)
        raise ModelError(
            f"cannot save the model in {out}: {error}; what was there is kept. Make room, then the same command goes on"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def save_model(model: nn.Module, tokenizer: PreTrainedTokenizerBase | None, out: Path) -> None:
    """Write a model to `out`, whole or not at all. Raises ModelError as `replaced`."""
    with replaced(out) as partial:
        _write(model, tokenizer, partial)


def _write(model: nn.Module, tokenizer: PreTrainedTokenizerBase | None, out: Path) -> None:
    from peft import PeftModel

    if isinstance(model, PeftModel):
        # "auto" would ask the hub whether the vocabulary has grown; ours never does
        model.save_pretrained(str(out), save_embedding_layers=False)
        (out / "README.md").unlink(missing_ok=True)  # peft's empty form; the card is ours
        _steady(out / "adapter_config.json")
        return
    cast(Any, model).save_pretrained(out)
    if tokenizer is not None:
        tokenizer.chat_template = None  # it was tuned on the plain prompt, and is to be asked by it
        tokenizer.save_pretrained(out)


def _steady(path: Path) -> None:
    """Put names in order: peft writes sets as they lie in memory, and files are told apart by their content."""
    settings: dict[str, Any] = json.loads(path.read_text("utf-8"))
    for name in ("target_modules", "modules_to_save", "exclude_modules"):
        if isinstance(settings.get(name), list):
            settings[name] = sorted(settings[name])
    path.write_text(json.dumps(settings, indent=2, sort_keys=True), encoding="utf-8")
