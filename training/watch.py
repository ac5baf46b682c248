"""Watching a run: what is told of each step, as JSON lines on disk and as a few lines or a live table on the terminal.

Owns the form of records and the choice of observers. Knows no model; the loop must not know what becomes of a record.
A record is a flat JSON object with its `step`, and one of

    loss norm rate tokens seconds tokens_per_second ...   a step; `tokens` and `seconds` are totals, the rest is extra
    heldout                                               held-out loss, nats a token
    sample                                                {id, buggy, proposed, reference, right}: texts, and a bool
    skipped batch                                         why a step was left out, and where its batch lies
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from training.config import Recipe
from training.flops import Cost

if TYPE_CHECKING:
    from rich.console import Console

EVERY = 10.0  # seconds between plain lines
METRICS = "metrics.jsonl"


class Observer(Protocol):
    """Something that is told every record of a run."""

    def record(self, record: Mapping[str, object]) -> None:
        """Take one record."""
        ...

    def close(self) -> None:
        """The run is over, or has failed."""
        ...


Watch = Callable[[Recipe, int, Cost | None], Observer]
"""The recipe with its steps, the step that a run goes on from, what a token costs -> who is told of the run."""


def figure(record: Mapping[str, object], name: str) -> float:
    """A number of a record, NaN where it has none of that name."""
    value = record.get(name)
    return float(value) if isinstance(value, int | float) else math.nan


def _finite(value: object) -> object:
    """A value as JSON knows it: it has no infinity, and other readers than Python's refuse one."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in cast("Mapping[str, object]", value).items()}
    return value


class JsonLines:
    """One line a record, flushed at once, appended to what a killed run has left."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        torn = _torn(path)
        self._file = path.open("a", encoding="utf-8")
        if torn:
            self._file.write("\n")  # its half line stays alone

    def record(self, record: Mapping[str, object]) -> None:
        """Append one record; a number that is not finite becomes null."""
        self._file.write(json.dumps(_finite(record), allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _torn(path: Path) -> bool:
    """Whether a file ends within a line."""
    if not path.exists() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read() != b"\n"


class Lines:
    """A short line now and then, for logs; evaluations, samples and skipped steps at once."""

    def __init__(
        self, write: Callable[[str], None], every: float = EVERY, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write, self._every, self._clock = write, every, clock
        self._next = -math.inf
        self._held: Mapping[str, object] | None = None

    def record(self, record: Mapping[str, object]) -> None:
        """Write the line of a record, or hold a step's back until its time has come."""
        if "loss" not in record:
            self._write(line(record))
        elif self._clock() < self._next:
            self._held = record
        else:
            self._write(line(record))
            self._next, self._held = self._clock() + self._every, None

    def close(self) -> None:
        """Tell the last step."""
        if self._held:
            self._write(line(self._held))
        self._held = None


def line(record: Mapping[str, object]) -> str:
    """A record in one line."""
    start = f"step {record.get('step')}"
    if "skipped" in record:
        return f"{start} skipped: {record['skipped']}; its batch is in {record.get('batch', '-')}"
    if "heldout" in record:
        return f"{start} held-out loss {figure(record, 'heldout'):.4f}"
    if "sample" in record:
        sample = cast("Mapping[str, object]", record["sample"])
        return f"{start} sample {sample.get('id')}: {'right' if sample.get('right') else 'not the reference'}"
    loss, norm, rate = (figure(record, name) for name in ("loss", "norm", "rate"))
    speed = figure(record, "tokens_per_second")
    return f"{start} loss {loss:.4f} norm {norm:.3g} rate {rate:.3g} {speed:,.0f} tokens/s"


class Several:
    """Tells each of some observers."""

    def __init__(self, those: Sequence[Observer]) -> None:
        self._those = tuple(those)

    def record(self, record: Mapping[str, object]) -> None:
        """Tell all, in their order."""
        for observer in self._those:
            observer.record(record)

    def close(self) -> None:
        """Close all; the first error is raised after the last was closed."""
        failed: Exception | None = None
        for observer in self._those:
            try:
                observer.close()
            except OSError as error:
                failed = failed or error
        if failed:
            raise failed


def observers(
    recipe: Recipe, total: int, *, cost: Cost | None = None, console: Console | None = None, start: int = 0
) -> Several:
    """What the recipe asks for: JSON lines always; the live table or lines on `console`; event files for TensorBoard.

    `total` is the number of steps of the run and `start` the step from which it goes on; without a console nothing is
    shown. Raises InputError when TensorBoard is asked for and not installed.
    """
    chosen: list[Observer] = []
    if recipe.watch.tensorboard:
        from training.tensorboard import EventFiles  # first: it may refuse

        chosen.append(EventFiles(recipe.run.out / "tensorboard", recipe, start))
    chosen.append(JsonLines(recipe.run.out / METRICS))
    if console and console.is_terminal and recipe.watch.live:
        from training.live import Live

        chosen.append(Live(console, total, cost))
    elif console:
        chosen.append(Lines(lambda text: console.print(text, markup=False, highlight=False, soft_wrap=True)))
    return Several(chosen)
