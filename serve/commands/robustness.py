"""`emend eval robustness`: how much repair suffers when faults are written and reported differently."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from eval.measurement import GIVEN, NOT_GIVEN, Conditions
from eval.robustness.pairs import Paired
from eval.robustness.report import Robustness, robustness_json, summarize
from eval.robustness.results import open_trials, read_trials
from eval.robustness.run import try_all
from eval.robustness.search import Method, SearchPlan
from eval.robustness.trials import Plan, Trial
from eval.run import Setup
from eval.suites.rows import Suite, read_suite
from repair.errors import InputError
from serve.oracles import Judging
from serve.printing import shown, stderr, stdout

_SHOWN = 3  # examples


@dataclass(frozen=True, slots=True)
class Settings:
    """Options of the command, as they were typed."""

    search: str
    queries: int
    candidates: int
    seconds: float
    jobs: int
    limit: int | None
    seed: int
    model: str | None
    adapter: Path | None
    without_tests: bool
    locate_only: bool
    sandbox_minimum: str
    unsafe_no_sandbox: bool


def run(paths: Sequence[Path], settings: Settings, *, output: Path | None, as_json: bool) -> int:
    """Exit code 0 when all suites were tried, whatever came of them."""
    suites = [read_suite(path) for path in paths]
    if len({suite.name for suite in suites}) != len(suites):
        raise InputError("two suites have the same file name; results could not be told apart", field="suite")
    plan = _plan(settings)
    known = read_trials(output, plan)
    summaries: list[Robustness] = []
    for suite in suites:
        trials = _trials(suite, settings, plan, known, output)
        summaries.append(summarize(suite.name, suite.sha256, plan, trials))
        if not as_json:
            _print(summaries[-1])
    text = json.dumps([robustness_json(s) for s in summaries], indent=2) + "\n"
    if as_json:
        sys.stdout.write(text)
    if output is not None:
        path = output.with_suffix(".summary.json")
        path.write_text(text, encoding="utf-8")
        stderr().print(f"results in {output}, summary in {path}", soft_wrap=True)
    return 0


def _plan(settings: Settings) -> Plan:
    tier = Judging(settings.sandbox_minimum, settings.unsafe_no_sandbox).sandbox().tier
    conditions = Conditions(
        model=settings.model or "embedded",
        adapter=str(settings.adapter or ""),
        seed=settings.seed,
        candidates=settings.candidates,
        seconds=settings.seconds,
        tier=tier.value,
        tests=NOT_GIVEN if settings.without_tests else GIVEN,
    )
    search = SearchPlan(Method(settings.search), settings.queries, seed=settings.seed)
    return Plan(conditions, search, settings.locate_only)


def _trials(
    suite: Suite, settings: Settings, plan: Plan, known: dict[tuple[str, str], Trial], output: Path | None
) -> list[Trial]:
    """Trials of a suite: those known already and those made now."""
    cases = suite.cases[: settings.limit]
    done = [known[suite.name, case.id] for case in cases if (suite.name, case.id) in known]
    left = [case for case in cases if (suite.name, case.id) not in known]
    setup = Setup(
        model=settings.model,
        adapter=str(settings.adapter) if settings.adapter else None,
        sandbox_minimum=settings.sandbox_minimum,
        unsafe_no_sandbox=settings.unsafe_no_sandbox,
        conditions=plan.conditions,
    )
    columns = (
        TextColumn("{task.description}"),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[told]}"),
    )
    with open_trials(output, plan) as results, Progress(*columns, console=stderr()) as progress:
        task = progress.add_task(suite.name, total=len(cases), completed=len(done), told="")
        for trial in try_all(setup, plan, left, jobs=settings.jobs):
            results.add(suite.name, trial)
            done.append(trial)
            harmed = sum(t.worst is not None for t in done)
            progress.update(task, advance=1, told=f"harmed {harmed}, questions {sum(t.queries for t in done)}")
    return done


def _print(summary: Robustness) -> None:
    plan = summary.plan
    tests = f"tests {plan['tests']}, location {plan['location']}"
    console = stdout()
    console.print(
        f"{summary.suite}: {summary.tried} of {summary.total} cases tried, {summary.queries} questions; "
        f"{plan['search']} search, model {plan['model']}, {tests}, {plan['candidates']} candidates, "
        f"{plan['seconds']:g} s, seed {plan['seed']}",
        soft_wrap=True,
    )
    if summary.worst.plausible.before.total:
        console.print(_repair_table(summary))
    console.print(_location_table(summary))
    console.print("shares: clean > attacked, drop in points [95 %]; lost: right before, not after", soft_wrap=True)
    console.print(f"worst case: each case's attack chosen by {summary.selected_by}, a bound in that", soft_wrap=True)
    for one in summary.examples[:_SHOWN]:
        ranks = f"rank {one.clean_rank or 'none'} > {one.attacked_rank or 'none'}"
        repairs = f", repair {_repair(one.clean_repair)} > {_repair(one.attacked_repair)}"
        told = ranks + (repairs if one.attacked_repair is not None else "")
        console.print(Text(shown(f"{one.id}: {' + '.join(one.attacks)}: {told}")), soft_wrap=True)
    for kind, cases in (("left out", summary.left_out), ("unscored", summary.unscored)):
        for identity, reason in cases:
            console.print(Text(shown(f"{kind}: {identity}: {reason}")), soft_wrap=True)


def _repair(level: int | None) -> str:
    return "unmeasured" if level is None else ("none", "plausible and wrong", "right")[level]


def _repair_table(summary: Robustness) -> Table:
    """What became of repairs that were measured for real."""
    table = _table("repair", "cases", "plausible", "correct", "lost")
    for row in (*summary.attacks, summary.worst):
        if total := row.plausible.before.total:
            table.add_row(row.name, str(total), _told(row.plausible), _told(row.correct), _lost(row.correct))
    return table


def _location_table(summary: Robustness) -> Table:
    """Where the model sees the fault by the error alone."""
    table = _table("fault among the", "cases", "n/a", "first line", "first 5 lines")
    for row in (*summary.attacks, summary.worst):
        if row.applied or row.not_applicable:
            located = dict(row.located)
            counts = (str(row.applied), str(row.not_applicable))
            table.add_row(row.name, *counts, _told(located[1]), _told(located[5]))
    return table


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for number, name in enumerate(names):  # the wide texts may fold: no figure is ever cut
        table.add_column(name, no_wrap=number == 0, overflow="fold")
    return table


def _told(pair: Paired) -> str:
    if pair.drop is None or pair.interval is None:
        return ""
    low, high = pair.interval
    shares = f"{100 * (pair.before.value or 0):.0f} > {100 * (pair.after.value or 0):.0f}"
    return f"{shares}, {100 * pair.drop:.0f} [{100 * low:.0f}, {100 * high:.0f}]"


def _lost(pair: Paired) -> str:
    return f"{pair.lost.count} of {pair.lost.total}" if pair.before.total else ""
