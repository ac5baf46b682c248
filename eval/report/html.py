"""The page of a report: one HTML file, complete without a network and without scripts.

Owns the order and the words of the page. Settings stand before any figure. Everything that comes from results is
escaped; the one script has its hash in the page's policy, so that no other can run.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib import resources
from string import Template

from data.charts import bars, escaped
from data.sheet import Section, card, style, table, tile
from eval.clusters import clusters, needs
from eval.failures import FAILED, WORDS, Pattern, pattern, weaknesses
from eval.fairness import gaps_of
from eval.forest import gap_rows
from eval.measurement import Measurement
from eval.report.charts import pictures, share_text, shares_picture
from eval.report.failing import clusters_html
from eval.report.figures import correct_share, located, overfitting, plausible, settings, share, title, unknown
from eval.report.forest import forest_card
from eval.report.patterns import pattern_cards
from eval.report.runs import Run
from eval.report.tasks import SCRIPT, diff_budget, tasks
from eval.stats import Share

SLICES = ("attribute", "group", "tasks", "share [95 %]", "gap to the best", "warning")
"""Columns of the rows in `slices`."""
_REASONS = 20

Rows = Sequence[Sequence[str]]


def render_report(runs: Sequence[Run], slices: Sequence[Rows] = ()) -> str:
    """The whole page. `slices`: for each run its rows of the gap table, as texts under `SLICES`.

    Below 5 MB for a thousand tasks: longer diffs are cut, and say so.
    """
    budget = diff_budget(runs)
    told = [*slices, *([()] * (len(runs) - len(slices)))]
    parts = [_run(run, f"r{n}", rows, budget) for n, (run, rows) in enumerate(zip(runs, told, strict=False), 1)]
    template = Template(resources.files("eval.report").joinpath("page.html").read_text("utf-8"))
    names = ", ".join(dict.fromkeys(run.suite for run in runs))
    return template.substitute(
        title=escaped(f"Repair report: {names}"),
        heading=f"Repair report: {escaped(names)}",
        lead="Plausible: passes the tests that the repair saw. Correct: right by held-out tests or the reference. "
        "Shares carry 95 % Wilson intervals and count scored tasks only.",
        style=style(),
        links="".join(_links(runs)),
        runs="".join(parts),
        footer="Written by <code>emend eval report</code>.",
        script=SCRIPT,
        script_hash=base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode(),
    )


_SECTIONS = (("figures", "Figures"), ("slices", "Slices"), ("failures", "Failures"), ("tasks", "Tasks"))


def _links(runs: Sequence[Run]) -> Iterable[str]:
    for n, run in enumerate(runs, 1):
        if len(runs) > 1:
            yield f'<a href="#r{n}"><b>{escaped(title(run))}</b></a>'
        yield from (f'<a href="#r{n}-{ident}">{name}</a>' for ident, name in _SECTIONS)


def _run(run: Run, ident: str, slices: Rows, budget: int) -> str:
    sections = (
        Section(
            f"{ident}-figures",
            "Figures",
            "Each picture has its figures below it.",
            (_shares(run.measurements, ident), *pictures(run, ident), *_not_scored(run.measurements)),
        ),
        Section(
            f"{ident}-slices",
            "Slices",
            "Whether some groups of tasks are served worse.",
            (_slices(slices), *_forest(run, ident)),
            "",
        ),
        Section(
            f"{ident}-failures",
            "Failure patterns",
            "Why tasks failed, in groups that call for the same cure: what to train or build next.",
            tuple(_failures(run.measurements, ident, budget)),
            "clusters",
        ),
        Section(
            f"{ident}-tasks",
            "Tasks",
            "Ranks count from 1; open a task for the chosen patch beside the reference.",
            (tasks(run, ident, budget),),
            "",
        ),
    )
    return _head(run, ident) + "".join(s.html() for s in sections)


def _head(run: Run, ident: str) -> str:
    told = [("suite", f"{run.suite}{f', sha256 {run.sha256[:12]}' if run.sha256 else ''}")]
    listed = "".join(
        f"<div><dt>{escaped(name)}</dt><dd>{escaped(text)}</dd></div>"
        for name, text in (*settings(run.conditions), *told)
    )
    return (
        f'<h2 class="run" id="{ident}">{escaped(title(run))}</h2><dl class="settings">{listed}</dl>'
        f'<div class="tiles below">{"".join(tile(v, n) for v, n in _tiles(run.measurements))}</div>'
    )


def _shares(measured: Sequence[Measurement], ident: str) -> str:
    rows = _headline(measured)
    cells = [(name, f"{s.count}", f"{s.total}", share_text(s)) for name, s in rows]
    picture = shares_picture(rows, "Headline shares", f"{ident}-headline")
    return card("Shares", picture, table(("", "count", "of", "share [95 %]"), cells))


def _headline(rows: Sequence[Measurement]) -> tuple[tuple[str, Share], ...]:
    return (
        ("plausible", share(rows, plausible)),
        ("correct", correct_share(rows)),
        ("overfitting, of the plausible ones", share(rows, overfitting)),
        ("fault located, top 1", share(rows, located(1))),
        ("fault located, top 5", share(rows, located(5))),
    )


def _tiles(rows: Sequence[Measurement]) -> Iterable[tuple[str, str]]:
    for name, found in (("plausible", share(rows, plausible)), ("correct", correct_share(rows))):
        value = "-" if found.value is None else f"{100 * found.value:.1f} %"
        low, high = found.interval or (0.0, 1.0)
        yield value, f"{name}, {found.count} of {found.total} [{100 * low:.1f}, {100 * high:.1f}]"
    yield f"{unknown(rows)}", "plausible, not known to be right or wrong"
    for kind, name in ((Pattern.BROKEN_ROW, "left out by the self-check"), (Pattern.UNSCORED, "not scored")):
        yield f"{sum(pattern(m) is kind for m in rows)}", name


def _not_scored(rows: Sequence[Measurement]) -> Iterable[str]:
    reasons = Counter(f"{m.status}: {m.reason[:200]}" for m in rows if not m.scored)
    if reasons:
        cells = [(reason, f"{count}") for reason, count in reasons.most_common(_REASONS)]
        yield card("Not scored", "", table(("reason", "tasks"), cells), open_=True)


def _forest(run: Run, ident: str) -> Iterable[str]:
    """Drawn from the measurements themselves: the table's texts have no numbers any more."""
    picture = forest_card(
        gap_rows(gaps_of(run.measurements)["correct"]), "Gaps in correct patches, by group", f"{ident}-forest"
    )
    if picture:
        yield f'<div class="overview">{picture}</div>'


def _slices(rows: Rows) -> str:
    if not rows:
        return '<p class="soft">No gap table was given.</p>'
    return f'<div class="card">{table(SLICES, rows, numbers=(2, 3, 4))}</div>'


def _failures(rows: Sequence[Measurement], ident: str, budget: int) -> Iterable[str]:
    kinds = Counter(pattern(m) for m in rows)
    counted = [(str(kind), kinds[kind]) for kind in Pattern if kinds[kind]]
    meanings = table(
        ("pattern", "tasks", "meaning"), [(n, f"{c}", WORDS[Pattern(n)]) for n, c in counted], numbers=(1,)
    )
    picture = bars(counted, "What became of the tasks", whole=len(rows), ident=f"{ident}-patterns")
    weak = weaknesses(rows)
    cards = [card("What became of the tasks", picture, meanings)]
    if weak:
        drawn = shares_picture([(w.bug_type, w.share) for w in weak[:12]], "Failed, by bug type", f"{ident}-weak")
        cells = [(w.bug_type, f"{w.failed}", f"{w.total}", str(w.pattern)) for w in weak]
        listed = table(("bug type", "failed", "of", "mostly"), cells, numbers=(1, 2))
        wanted = ", ".join(f"{name} ({count})" for name, count in needs(clusters(rows)))
        note = "Those that would gain most first." + (f" More training data of: {escaped(wanted)}." if wanted else "")
        cards.append(card("Failed, by bug type", drawn, listed, note))
    cards += pattern_cards(rows, ident)
    yield f'<div class="overview">{"".join(cards)}</div>'
    yield from clusters_html(clusters(rows), budget)
    if not FAILED & set(kinds):
        yield '<p class="soft">No task failed.</p>'
