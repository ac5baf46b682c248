"""`watch.profile`: torch.profiler over steps 3 to 6 of a run, as a trace and as a table of the hot spots.

Owns which steps are measured and how operators are grouped. Knows no model: the head is found by the size of the
vocabulary (and other parts by sizes of their own, where they are given), the optimizer by the mark that torch sets
around its steps, data by `DATA`, which the loop sets. On a GPU an operator's time is that of the kernels it started.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, schedule

if TYPE_CHECKING:
    from torch.autograd.profiler_util import FunctionEvent

FIRST, LAST = 3, 6
DATA = "emend::data"  # of a `record_function` around what makes the next batch
GROUPS = ("matmul", "attention", "head+loss", "optimizer", "data", "other")
LORA = "lora"
_TABLE = 30
_PRODUCTS = re.compile(r"aten::(mm|addmm_?|bmm|baddbmm|matmul|linear|_int_mm|_scaled_mm)$|mkldnn_linear")
_ATTENTION = re.compile(r"attention|flash|softmax(?!.*log)|flex", re.I)
_LOSS = re.compile(r"log_softmax|nll_loss|cross_entropy", re.I)
_OPTIMIZER = re.compile(r"^Optimizer\.|_foreach_|_fused_adam|clip_grad")


@dataclass(frozen=True, slots=True)
class Spot:
    """Time of one operator, in microseconds on the device that did the work, without what it called."""

    group: str
    name: str
    calls: int
    micros: float


def group_of(
    name: str, above: Iterable[str], shapes: Iterable[object], vocabulary: int, parts: Mapping[int, str] | None = None
) -> str:
    """The group of an operator by its name, those that called it and the shapes of its inputs.

    `parts` are names of groups by a size that only their operators see; that of LORA, a rank, counts in products only,
    for small numbers are found in many places.
    """
    callers = tuple(above)
    if name == DATA or DATA in callers:
        return "data"
    if _OPTIMIZER.search(name) or any(_OPTIMIZER.search(caller) for caller in callers):
        return "optimizer"
    if _LOSS.search(name):
        return "head+loss"
    sizes = {size for shape in shapes if isinstance(shape, list | tuple) for size in cast("list[object]", shape)}
    if vocabulary and vocabulary in sizes:
        return "head+loss"
    if _ATTENTION.search(name) or any("scaled_dot_product" in caller for caller in callers):
        return "attention"
    product = bool(_PRODUCTS.search(name))
    named = {part for size, part in (parts or {}).items() if size in sizes and (product or part != LORA)}
    return LORA if LORA in named else min(named, default="matmul" if product else "other")


def spots(events: Iterable[FunctionEvent], vocabulary: int, parts: Mapping[int, str] | None = None) -> list[Spot]:
    """Operators by their time, the most first.

    A kernel of a GPU is an event of its own as well; it counts once, with the operator that started it.
    """
    events, sums = list(events), dict[tuple[str, str], tuple[int, float]]()
    on_device = any(event.device_type != DeviceType.CPU for event in events)
    for event in events:
        micros = float(event.self_device_time_total if on_device else event.self_cpu_time_total)
        if event.device_type != DeviceType.CPU or event.name.startswith("ProfilerStep") or micros <= 0:
            continue
        shapes = cast("Iterable[object]", event.input_shapes or ())
        key = group_of(event.name, _callers(event), shapes, vocabulary, parts), event.name
        calls, before = sums.get(key, (0, 0.0))
        sums[key] = calls + 1, before + micros
    found = [Spot(group, name, calls, micros) for (group, name), (calls, micros) in sums.items()]
    return sorted(found, key=lambda spot: -spot.micros)


def idle(events: Iterable[FunctionEvent]) -> float:
    """Microseconds between the first and the last kernel of a GPU in which none ran; 0 where there is no GPU."""
    spans = sorted(
        (float(event.time_range.start), float(event.time_range.end))
        for event in events
        if event.device_type != DeviceType.CPU and not event.is_user_annotation
    )
    gaps, reached = 0.0, spans[0][0] if spans else 0.0
    for start, end in spans:
        gaps += max(0.0, start - reached)
        reached = max(reached, end)
    return gaps


def _callers(event: FunctionEvent) -> Iterable[str]:
    above = event.cpu_parent
    while above is not None:
        yield above.name
        above = above.cpu_parent


def by_group(found: Iterable[Spot]) -> Mapping[str, float]:
    """Microseconds of each group."""
    sums: dict[str, float] = {group: 0.0 for group in GROUPS}  # noqa: C420 - the checker takes the names for literals
    for spot in found:
        sums[spot.group] = sums.get(spot.group, 0.0) + spot.micros
    return sums


def render(found: list[Spot], steps: int, gaps: float = 0.0) -> str:
    """The table as text, milliseconds a step; `gaps` are microseconds in which the device had nothing to do."""
    groups = by_group(found)
    whole = sum(groups.values()) or 1.0
    lines = [f"steps {FIRST} to {FIRST + steps - 1}: milliseconds a step, share, without what an operator calls", ""]
    for group, micros in sorted(groups.items(), key=lambda item: -item[1]):
        lines.append(f"{group:<12}{micros / steps / 1000:>12.2f}{100 * micros / whole:>9.1f} %")
    if gaps:
        lines += ["", f"the device stood idle for {gaps / steps / 1000:.2f} ms a step, which no share counts"]
    lines += ["", f"{'group':<12}{'ms a step':>12}{'share':>11}{'calls':>9}  operator"]
    for spot in found[:_TABLE]:
        share = 100 * spot.micros / whole
        lines.append(f"{spot.group:<12}{spot.micros / steps / 1000:>12.2f}{share:>9.1f} %{spot.calls:>9}  {spot.name}")
    return "\n".join(lines) + "\n"


class Profiler:
    """Counts steps and writes `folder`/trace.json and hotspots.txt after the last one, or what there is at the end."""

    def __init__(self, folder: Path, vocabulary: int = 0, parts: Mapping[int, str] | None = None) -> None:
        """`vocabulary` and `parts` as in `group_of`."""
        self._folder, self._vocabulary, self._parts = folder, vocabulary, parts
        self._steps = 0
        activities = [ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(ProfilerActivity.CUDA)
        plan = schedule(wait=FIRST - 2, warmup=1, active=LAST - FIRST + 1, repeat=1)
        self._profile = profile(
            activities=activities, schedule=plan, on_trace_ready=self._write, record_shapes=True, acc_events=True
        )

    def __enter__(self) -> Self:
        self._profile.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._profile.stop()

    def step(self) -> None:
        """A step of the run is done."""
        self._steps += 1
        if self._steps <= LAST:
            self._profile.step()

    def _write(self, done: Any) -> None:  # noqa: ANN401 - the profile, or the part of it that recorded
        steps = min(self._steps, LAST) - FIRST + 1
        if steps < 1:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        done.export_chrome_trace(str(self._folder / "trace.json"))
        events = list(done.events())
        text = render(spots(events, self._vocabulary, self._parts), steps, idle(events))
        (self._folder / "hotspots.txt").write_text(text, encoding="utf-8")
