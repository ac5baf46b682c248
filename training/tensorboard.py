"""Event files of a run for TensorBoard: scalars, sample repairs as text, the recipe as hyper-parameters.

Owns the names under which TensorBoard groups the figures. Loads the package `tensorboard` only when it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import cast

from repair.errors import InputError
from training.config import Recipe

_NAMES = {
    "loss": "loss/train",
    "heldout": "loss/heldout",
    "rate": "optimizer/rate",
    "norm": "optimizer/norm",
    "tokens": "progress/tokens",
    "seconds": "progress/seconds",
    "tokens_per_second": "speed/tokens_per_second",
}
_SHOWN = ("data", "objective", "optim", "lora", "run")  # sections that are hyper-parameters


class EventFiles:
    """Writes below `folder`; a run that goes on from step `start` hides what the killed one wrote after it."""

    def __init__(self, folder: Path, recipe: Recipe, start: int = 0) -> None:
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError as error:
            message = "watch.tensorboard needs the package tensorboard: pip install 'emend[train]'"
            raise InputError(message, field="watch.tensorboard") from error
        self._writer = SummaryWriter(str(folder), purge_step=start + 1 if start else None)
        self._settings = settings(recipe)
        self._last: dict[str, float] = {}

    def record(self, record: Mapping[str, object]) -> None:
        """One scalar for each number, a text for a sample or a skipped step."""
        step = cast(int, record.get("step", 0))
        for name, value in record.items():
            if name != "step" and isinstance(value, int | float):
                self._writer.add_scalar(_NAMES.get(name, f"extra/{name}"), float(value), step)
                self._last[name] = float(value)
        for name in ("sample", "skipped"):
            if name in record:
                self._writer.add_text(name, _shown(record[name]), step)
        if "loss" not in record:
            self._writer.flush()  # at evaluations, not at each step

    def close(self) -> None:
        """Add the hyper-parameters with the last losses, and close the files."""
        reached = {f"final/{name}": self._last[name] for name in ("loss", "heldout") if name in self._last}
        if reached:
            self._writer.add_hparams(self._settings, reached, run_name=".")
        self._writer.close()


def settings(recipe: Recipe) -> dict[str, bool | int | float | str]:
    """Settings of a recipe by their dotted names, as TensorBoard takes them."""
    flat: dict[str, bool | int | float | str] = {}
    for section in _SHOWN:
        for name, value in cast("dict[str, object]", asdict(getattr(recipe, section))).items():
            flat[f"{section}.{name}"] = value if isinstance(value, bool | int | float | str) else str(value)
    return flat


def _shown(value: object) -> str:
    """As Markdown: code indented by four."""
    if not isinstance(value, Mapping):
        return str(value)
    parts: list[str] = []
    for name, inner in cast("Mapping[str, object]", value).items():
        whole = "\n".join(inner) if isinstance(inner, list | tuple) else str(inner)  # pyright: ignore[reportUnknownArgumentType]
        indented = "\n".join(f"    {line}" for line in whole.split("\n"))
        parts.append(f"**{name}**\n\n{indented}")
    return "\n\n".join(parts)
