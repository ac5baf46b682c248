"""The live table of a run on a terminal: progress, figures, the last sample repairs.

Owns what is remembered of the records (`Seen`, a value) and how it looks. Must not know where records come from.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import psutil
import torch
from rich.console import Console, ConsoleRenderable, Group
from rich.live import Live as RichLive
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from training.flops import Cost
from training.watch import figure

if TYPE_CHECKING:
    from rich.progress import TaskID

_KNOWN = ("step", "loss", "norm", "rate", "tokens", "seconds", "tokens_per_second")
_SMOOTHING = 0.95  # of the shown loss, about the last 20 steps
_SAMPLES, _SAMPLE_LINES = 2, 8


@dataclass(frozen=True, slots=True)
class Seen:
    """What the table shows, after some records."""

    step: int = 0
    last: Mapping[str, object] = field(default_factory=dict[str, object])
    smooth: float = math.nan
    weight: float = 0.0  # of all losses in `smooth`: without it the first ones would count too little
    heldout: tuple[float, ...] = ()
    samples: tuple[Mapping[str, object], ...] = ()
    skipped: int = 0
    reason: str = ""


def seen(before: Seen, record: Mapping[str, object]) -> Seen:
    """What is known after one more record."""
    now = replace(before, step=int(figure(record, "step")) if "step" in record else before.step)
    if "skipped" in record:
        return replace(now, skipped=now.skipped + 1, reason=str(record["skipped"]))
    if "heldout" in record:
        return replace(now, heldout=(*now.heldout, figure(record, "heldout")))
    if "sample" in record:
        sample = cast("Mapping[str, object]", record["sample"])
        return replace(now, samples=(*now.samples, sample)[-_SAMPLES:])
    if "loss" not in record:
        return now
    weight = _SMOOTHING * now.weight + 1 - _SMOOTHING
    kept = _SMOOTHING * now.weight * now.smooth if now.weight else 0.0
    return replace(
        now, last=record, weight=weight, smooth=(kept + (1 - _SMOOTHING) * figure(record, "loss")) / weight
    )  # fmt: skip


def rows(now: Seen, cost: Cost | None, memory: Sequence[tuple[str, float]]) -> Iterable[tuple[str, str]]:
    """Names and values of the table; memory is (name, bytes)."""
    yield "loss", f"{now.smooth:.4f}  (last {figure(now.last, 'loss'):.4f})"
    if now.heldout:
        yield "held-out loss", f"{now.heldout[-1]:.4f}  (best {min(now.heldout):.4f})"
    yield "learning rate", f"{figure(now.last, 'rate'):.3g}"
    yield "gradient norm", f"{figure(now.last, 'norm'):.3g}"
    speed = figure(now.last, "tokens_per_second")
    yield "tokens/s", f"{speed:,.0f}"
    if cost:
        yield "of peak FLOP/s", f"{100 * cost.utilisation(speed):.1f} %"
    yield "tokens", f"{figure(now.last, 'tokens'):,.0f}"
    for name, size in memory:
        yield name, f"{size / 2**30:.2f} GiB"
    for name in now.last:
        if name not in _KNOWN:
            yield name.replace("_", " "), f"{figure(now.last, name):.4g}"
    if now.skipped:
        yield "skipped steps", f"{now.skipped}  ({now.reason})"


def memory_in_use() -> tuple[tuple[str, float], ...]:
    """Resident memory of this process, and the most that was allocated on its GPU."""
    own = ("memory", float(psutil.Process().memory_info().rss))
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return (own, ("GPU memory", float(torch.cuda.max_memory_allocated())))
    return (own,)


def _lines(value: object) -> list[str]:
    if isinstance(value, str):
        return value.split("\n")
    return [str(each) for each in cast("Sequence[object]", value or ())]


def sample_text(sample: Mapping[str, object]) -> Text:
    """A sample repair as a small diff: what the model changed, and the reference where it is another."""
    right = bool(sample.get("right"))
    text = Text()
    text.append(f"{sample.get('id')}: ", "bold")
    text.append("right\n" if right else "not the reference\n", "green" if right else "yellow")
    changes = [
        each for each in difflib.ndiff(_lines(sample.get("buggy")), _lines(sample.get("proposed"))) if each[0] != "?"
    ]
    for change in changes[:_SAMPLE_LINES]:
        text.append(f"  {change}\n", {"+": "green", "-": "red"}.get(change[0], "dim"))
    if not right:
        for wanted in _lines(sample.get("reference"))[:_SAMPLE_LINES]:
            text.append(f"  = {wanted}\n", "dim")
    return text


class Live:
    """The display; it ends with the last state left on the screen."""

    def __init__(self, console: Console, total: int, cost: Cost | None = None) -> None:
        self._cost, self._total = cost, total
        self._seen = Seen()
        columns = (TextColumn("step"), MofNCompleteColumn(), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console)
        self._task: TaskID | None = None
        self._live = RichLive(console=console, get_renderable=self._render, refresh_per_second=4)

    def record(self, record: Mapping[str, object]) -> None:
        """Take one record; the screen follows at its own pace."""
        self._seen = seen(self._seen, record)
        if self._task is None:  # a run that goes on begins its bar, and the guess of its end, where it stands
            self._task = self._progress.add_task("", total=self._total, completed=self._seen.step)
            self._live.start()
        self._progress.update(self._task, completed=self._seen.step)

    def close(self) -> None:
        """Draw the end and give the terminal back."""
        if self._task is not None:
            self._live.stop()

    def _render(self) -> ConsoleRenderable:
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim")
        table.add_column()
        for name, value in rows(self._seen, self._cost, memory_in_use()):
            table.add_row(name, Text(value))
        return Group(self._progress, table, *(sample_text(sample) for sample in self._seen.samples))
