"""Figures of a search, as plotly's traces and layouts: plain values that go into the page as JSON.

Owns what is drawn and how it is scaled. Colours are names of the page's style. Parallel coordinates are drawn as lines,
not by plotly's own kind, which needs WebGL and compiles shaders at run time (a page's policy has to forbid that).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import cast

from data.charts import escaped
from training.study import Tried

Trace = Mapping[str, object]
_ACCENT, _SECOND, _SOFT, _LINE = "var(--accent)", "var(--second)", "var(--soft)", "var(--line)"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure; `least` is its width in pixels below which it scrolls, `height` 0 the page's own."""

    ident: str
    title: str
    note: str
    traces: Sequence[Trace]
    layout: Mapping[str, object] = field(default_factory=dict[str, object])
    size: str = ""
    least: int = 0
    height: int = 0


def shown(value: object) -> str:
    """A setting in a few letters."""
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _told(trial: Tried) -> str:
    """What is shown when a trial is pointed at."""
    lines = [f"trial {trial.number}, {trial.state}", *(f"{key} {shown(value)}" for key, value in trial.params.items())]
    return "<br>".join(escaped(line) for line in lines)


def _points(x: Sequence[object], y: Sequence[object], told: Sequence[str], **marker: object) -> Trace:
    return {
        "type": "scatter", "mode": "markers", "x": x, "y": y, "text": told,
        "hovertemplate": "%{text}<br><b>%{y:.5g}</b><extra></extra>", "marker": {"size": 8, "color": _ACCENT, **marker},
    }  # fmt: skip


def history(done: Sequence[Tried], goal: str, *, lower: bool) -> Figure:
    """The goal of each trial, and the best one so far."""
    numbers, values = [trial.number for trial in done], [trial.value or 0.0 for trial in done]
    better = min if lower else max
    so_far = [better(values[: n + 1]) for n in range(len(values))]
    steps: Trace = {
        "type": "scatter", "mode": "lines", "x": numbers, "y": so_far, "hoverinfo": "skip",
        "line": {"shape": "hv", "color": _SECOND, "width": 2},
    }  # fmt: skip
    whole = {"title": {"text": "trial"}, "dtick": max(1, round((numbers[-1] - numbers[0]) / 8))}
    layout = {"xaxis": whole, "yaxis": {"title": {"text": escaped(goal)}}}
    traces = (steps, _points(numbers, values, [_told(trial) for trial in done]))
    return Figure("history", "History", "Points: each trial. Line: the best so far.", traces, layout, "half")


def curves(trials: Iterable[Tried], best: Tried | None) -> Figure:
    """Held-out losses on the way; pruned trials pale and dashed."""
    traces: list[Trace] = []
    for trial in sorted((t for t in trials if t.curve), key=lambda t: t == best):  # the best is drawn last, on top
        whole = trial.value is not None
        style: dict[str, object] = {
            "color": _SECOND if trial == best else _ACCENT,
            "width": 3 if trial == best else 1.5,
        }
        if not whole:
            style |= {"dash": "dot", "color": _SOFT}
        traces.append({
            "type": "scatter", "mode": "lines+markers", "x": [step for step, _ in trial.curve],
            "y": [loss if math.isfinite(loss) else None for _, loss in trial.curve], "line": style,
            "marker": {"size": 4}, "opacity": 1.0 if trial == best else 0.7 if whole else 0.75,
            "text": _told(trial), "hovertemplate": "%{text}<br>step %{x}: <b>%{y:.5g}</b><extra></extra>",
        })  # fmt: skip
    layout = {"xaxis": {"title": {"text": "step"}}, "yaxis": {"title": {"text": "held-out loss"}}}
    note = "Orange: the best trial. Dotted: ended early, or failed."
    return Figure("curves", "Learning curves", note, traces, layout, "half")


@dataclass(frozen=True, slots=True)
class _Scale:
    """Puts the values of one axis between 0 and 1."""

    low: float
    high: float
    log: bool = False
    names: tuple[str, ...] = ()

    @staticmethod
    def of(values: Sequence[object], *, log: bool) -> _Scale:
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            numbers = cast("Sequence[float]", values)
            return _Scale(min(numbers), max(numbers), log)
        names = tuple(sorted({shown(value) for value in values}))
        return _Scale(0, len(names) - 1, names=names)

    def place(self, value: object) -> float:
        number = float(self.names.index(shown(value))) if self.names else cast(float, value)
        low, high = self.low, self.high
        if self.log:
            number, low, high = math.log(number), math.log(low), math.log(high)
        return (number - low) / (high - low) if high > low else 0.5

    def ticks(self) -> Iterable[tuple[float, str]]:
        if self.names:
            return [(self.place(name), name) for name in self.names]
        ends = (self.low, self.high) if self.high > self.low else (self.low,)
        return [(self.place(end), f"{end:.3g}") for end in ends]


def parallel(done: Sequence[Tried], keys: Sequence[str], logs: Set[str], goal: str, *, lower: bool) -> Figure:
    """A line for each trial through all its settings to its goal; the better, the stronger."""
    whole = [trial for trial in done if all(key in trial.params for key in keys)]
    columns: list[list[object]] = [[trial.params[key] for trial in whole] for key in keys]
    columns.append([trial.value for trial in whole])
    scales = [_Scale.of(column, log=key in logs) for column, key in zip(columns, (*keys, ""), strict=True)]
    order = sorted(whole, key=lambda t: (t.value or 0.0) * (-1 if lower else 1))  # the worst first, the best on top
    traces: list[Trace] = []
    for rank, trial in enumerate(order):
        row = (*(trial.params[key] for key in keys), trial.value)
        last = trial is order[-1]
        traces.append({
            "type": "scatter", "mode": "lines", "x": list(range(len(row))),
            "y": [scale.place(value) for scale, value in zip(scales, row, strict=True)],
            "line": {"color": _SECOND if last else _ACCENT, "width": 3.5 if last else 1.5},
            "opacity": 1.0 if last else 0.08 + 0.72 * ((rank + 1) / len(order)) ** 2,
            "text": f"{_told(trial)}<br>{escaped(goal)} {shown(trial.value)}",
            "hovertemplate": "%{text}<extra></extra>",
        })  # fmt: skip
    names = [escaped(key).replace(".", ".<br>") for key in keys] + [f"<b>{escaped(goal)}</b>"]
    layout = {
        "xaxis": {"visible": False, "range": [-0.55, len(keys) + 0.45]},
        "yaxis": {"visible": False, "range": [-0.06, 1.22]},
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "shapes": [
            {"type": "line", "x0": n, "x1": n, "y0": 0, "y1": 1, "layer": "below", "line": {"color": _SOFT, "width": 1}}
            for n in range(len(names))
        ],
        "annotations": [*_names(names), *(label for n, scale in enumerate(scales) for label in _labels(n, scale))],
    }
    note = "One line a trial, from setting to setting to its goal. The stronger, the better; orange: the best."
    return Figure("parallel", "All settings together", note, traces, layout, "", 110 * len(names))


def _names(names: Sequence[str]) -> Iterable[Mapping[str, object]]:
    for n, name in enumerate(names):
        yield {"x": n, "y": 1.06, "yanchor": "bottom", "text": name, "showarrow": False, "font": {"size": 12}}


def _labels(n: int, scale: _Scale) -> Iterable[Mapping[str, object]]:
    for place, name in scale.ticks():
        yield {
            "x": n, "y": place, "xanchor": "right", "xshift": -4, "text": escaped(name), "showarrow": False,
            "font": {"size": 11, "color": _SOFT}, "bgcolor": "var(--card)", "borderpad": 1,
        }  # fmt: skip


def importance(shares: Mapping[str, float]) -> Figure:
    """How much each setting matters."""
    rows = sorted(shares.items(), key=lambda item: item[1])
    trace: Trace = {
        "type": "bar", "orientation": "h", "y": [escaped(key) for key, _ in rows], "x": [share for _, share in rows],
        "marker": {"color": _ACCENT}, "text": [f"{100 * share:.0f} %" for _, share in rows], "textposition": "auto",
        "hovertemplate": "%{y}: %{x:.1%}<extra></extra>",
    }  # fmt: skip
    layout = {"xaxis": {"tickformat": ".0%", "rangemode": "tozero"}, "bargap": 0.35}
    note = "Share in what tells the best trials from the others (PED-ANOVA). With few trials a hint, no more."
    return Figure("importances", "What matters", note, (trace,), layout, "", 0, 70 + 34 * len(rows))


def _log_ticks(values: Sequence[float]) -> list[float]:
    """Powers of ten; where there would be fewer than three, also twice and five times these."""
    low, high = min(values), max(values)
    powers = [10.0**n for n in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    if high / low >= 100:
        return powers
    return [factor * power for power in powers for factor in (1, 2, 5)]


def slice_of(done: Sequence[Tried], key: str, ident: str, scale: str, goal: str, best: Tried | None) -> Figure:
    """The goal against one setting."""
    here = [trial for trial in done if key in trial.params]
    raw = [trial.params[key] for trial in here]
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in raw)
    x = raw if numeric else [escaped(shown(value)) for value in raw]
    colours = [_SECOND if trial == best else _ACCENT for trial in here]
    ages = [0.35 + 0.6 * (n + 1) / len(here) for n in range(len(here))]
    points = _points(
        x, [trial.value for trial in here], [_told(trial) for trial in here], color=colours, opacity=ages
    )  # fmt: skip
    axis: dict[str, object] = {"type": scale if numeric else "category", "nticks": 6}
    if numeric and scale == "log":
        axis |= {"tickmode": "array", "tickvals": _log_ticks(cast("Sequence[float]", raw)), "exponentformat": "power"}
    layout = {"xaxis": axis, "yaxis": {"title": {"text": escaped(goal)}, "nticks": 6}}
    return Figure(ident, key, "Later trials stronger; orange: the best.", (points,), layout)
