"""The report of a search: one HTML file that needs nothing from elsewhere; plotly.js lies in it once.

Owns the order and the words of the page. Must not know Optuna or how trials run; what figures look like is
`study_charts`, colours are the template's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from string import Template

from data.charts import escaped
from training import study_charts
from training.study import Tried
from training.study_charts import Figure


@dataclass(frozen=True, slots=True)
class View:
    """What the page shows: `keys` are the searched settings, `logs` those on a logarithmic scale."""

    name: str
    goal: str
    minimised: bool
    keys: tuple[str, ...]
    logs: frozenset[str]
    trials: tuple[Tried, ...]
    importances: Mapping[str, float]
    best_toml: str

    @property
    def best(self) -> Tried | None:
        """The finished trial with the best goal."""
        done = [trial for trial in self.trials if trial.value is not None]
        return min(done, key=lambda t: (t.value or 0.0) * (1 if self.minimised else -1), default=None)


def render(view: View) -> str:
    """The whole page; the package plotly must be installed."""
    script = resources.files("plotly").joinpath("package_data/plotly.min.js").read_text("utf-8")
    figures = tuple(_figures(view))
    cards = [*(_card(figure) for figure in figures), _recipe(view), _table(view)]
    content = json.dumps([{"id": f.ident, "traces": f.traces, "layout": f.layout} for f in figures], allow_nan=False)
    template = Template(resources.files("training").joinpath("templates/study.html").read_text("utf-8"))
    return template.substitute(
        title=escaped(f"Search in {view.name}"),
        heading=f"Search in {escaped(view.name)}",
        lead=f"{'Lowest' if view.minimised else 'Highest'} {escaped(view.goal)} over "
        f"{len(view.keys)} setting{'s' if len(view.keys) != 1 else ''}: {escaped(', '.join(view.keys))}.",
        tiles="".join(f'<div class="tile"><b>{value}</b><span>{label}</span></div>' for value, label in _tiles(view)),
        cards="".join(cards),
        figures=content.replace("<", "\\u003c"),  # nothing in it can end the script element
        plotly=script,
    )


def _tiles(view: View) -> Iterable[tuple[str, str]]:
    counts = {state: sum(t.state == state for t in view.trials) for state in ("finished", "pruned", "failed")}
    if view.best:
        yield f"{view.best.value:.4g}", f"best {escaped(view.goal)}"
        yield f"{view.best.number}", "the best trial"
    for state, count in counts.items():
        yield f"{count}", state
    yield duration(sum(trial.seconds or 0.0 for trial in view.trials)), "spent in trials"


def duration(seconds: float) -> str:
    """Seconds in the largest unit that reads well."""
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _figures(view: View) -> Iterable[Figure]:
    done = [trial for trial in view.trials if trial.value is not None]
    if done:
        yield study_charts.history(done, view.goal, lower=view.minimised)
    if any(len(trial.curve) for trial in view.trials):
        yield study_charts.curves(view.trials, view.best)
    if done and len(view.keys) > 1:
        yield study_charts.parallel(done, view.keys, view.logs, view.goal, lower=view.minimised)
    if view.importances:
        yield study_charts.importance(view.importances)
    if done:
        for number, key in enumerate(view.keys):
            scale = "log" if key in view.logs else "linear"
            drawn = study_charts.slice_of(done, key, f"slice-{number}", scale, view.goal, view.best)
            yield replace(drawn, size={1: "", 2: "half", 4: "half"}.get(len(view.keys), "third"))


def _card(figure: Figure) -> str:
    style = f"min-width: {figure.least}px;" if figure.least else ""
    style += f"height: {figure.height}px;" if figure.height else ""
    return (
        f'<section class="card {figure.size}"><h2>{escaped(figure.title)}</h2><p>{escaped(figure.note)}</p>'
        f'<div class="scroll"><div class="figure" id="{figure.ident}" role="img" '
        f'aria-label="{escaped(figure.title)}" style="{style}"></div></div></section>'
    )


def _recipe(view: View) -> str:
    if not view.best:
        return ""
    return (
        '<section class="card"><h2>The best recipe</h2><p>It lies beside this page as best.toml, for '
        f'<code>emend train adapter</code>.</p><pre tabindex="0">{escaped(view.best_toml)}</pre></section>'
    )


def _table(view: View) -> str:
    """All trials, the best first, those without a result at the end."""
    sign = 1 if view.minimised else -1
    rows = sorted(view.trials, key=lambda t: (t.value is None, sign * (t.value or 0.0), t.number))
    names = "".join(f"<th>{escaped(key).replace('.', '.<wbr>')}</th>" for key in view.keys)
    head = f'<tr><th>trial</th><th class="t">state</th><th>{escaped(view.goal)}</th><th>time</th>{names}'
    failed = any(trial.error for trial in rows)
    head += '<th class="t">error</th></tr>' if failed else "</tr>"
    body = "".join(_row(trial, view, errors=failed) for trial in rows)
    note = "A pruned trial has no result; its last held-out loss stands in the learning curves."
    return (
        f'<section class="card"><h2>All trials</h2><p>{note}</p>'
        f'<div class="scroll"><table><thead>{head}</thead><tbody>{body}</tbody></table></div></section>'
    )


def _row(trial: Tried, view: View, *, errors: bool) -> str:
    kind = "best" if trial == view.best else "" if trial.value is not None else "dim"
    value = "–" if trial.value is None else f"{trial.value:.5g}"
    spent = "–" if trial.seconds is None else duration(trial.seconds)
    cells = "".join(f"<td>{escaped(study_charts.shown(trial.params.get(key)))}</td>" for key in view.keys)
    error = f'<td class="error">{escaped(trial.error)}</td>' if errors else ""
    return (
        f'<tr class="{kind}"><td>{trial.number}</td><td class="t">{trial.state}</td><td>{value}</td>'
        f"<td>{spent}</td>{cells}{error}</tr>"
    )
