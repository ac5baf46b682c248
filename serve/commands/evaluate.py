"""`emend eval run`: repair every case of the suites, show and store what came of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from eval.measurement import Conditions, Measurement, Status
from eval.results import open_results, read_results
from eval.run import Setup, measure_all
from eval.suites.rows import Suite, read_suite
from eval.summary import Summary, summarize, summary_json, summary_lines
from repair.errors import InputError
from serve.oracles import Judging
from serve.printing import stderr, stdout


@dataclass(frozen=True, slots=True)
class Settings:
    """Options of the command, as they were typed."""

    order: str
    candidates: int
    seconds: float
    jobs: int
    limit: int | None
    seed: int
    model: str | None
    adapter: Path | None
    sandbox_minimum: str
    unsafe_no_sandbox: bool


def run(paths: Sequence[Path], settings: Settings, *, output: Path | None, as_json: bool) -> int:
    """Exit code 0 when all suites were measured, whatever came of them."""
    suites = [read_suite(path) for path in paths]
    if len({suite.name for suite in suites}) != len(suites):
        raise InputError("two suites have the same file name; results could not be told apart", field="suite")
    conditions = _conditions(settings)
    known = read_results(output, conditions)
    summaries: list[Summary] = []
    for suite in suites:
        measured = _measured(suite, settings, conditions, known, output)
        summaries.append(summarize(suite.name, suite.sha256, conditions, measured))
        if not as_json:
            _print(summaries[-1])
    if as_json:
        sys.stdout.write(json.dumps([summary_json(s) for s in summaries], indent=2) + "\n")
    if output is not None:
        path = output.with_suffix(".summary.json")
        path.write_text(json.dumps([summary_json(s) for s in summaries], indent=2) + "\n", encoding="utf-8")
        stderr().print(f"results in {output}, summary in {path}", soft_wrap=True)
    return 0


def _conditions(settings: Settings) -> Conditions:
    tier = Judging(settings.sandbox_minimum, settings.unsafe_no_sandbox).sandbox().tier
    return Conditions(
        model=settings.model or "embedded",
        adapter=str(settings.adapter or ""),
        order=settings.order,
        seed=settings.seed,
        candidates=settings.candidates,
        seconds=settings.seconds,
        tier=tier.value,
    )


def _measured(
    suite: Suite,
    settings: Settings,
    conditions: Conditions,
    known: dict[tuple[str, str], Measurement],
    output: Path | None,
) -> list[Measurement]:
    """Measurements of a suite: those known already and those made now."""
    cases = suite.cases[: settings.limit]
    done = [known[suite.name, case.id] for case in cases if (suite.name, case.id) in known]
    left = [case for case in cases if (suite.name, case.id) not in known]
    setup = Setup(
        model=settings.model,
        adapter=str(settings.adapter) if settings.adapter else None,
        sandbox_minimum=settings.sandbox_minimum,
        unsafe_no_sandbox=settings.unsafe_no_sandbox,
        conditions=conditions,
    )
    columns = (
        TextColumn("{task.description}"),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[told]}"),
    )
    with open_results(output, conditions) as results, Progress(*columns, console=stderr()) as progress:
        task = progress.add_task(suite.name, total=len(cases), completed=len(done), told="")
        for measurement in measure_all(setup, left, jobs=settings.jobs):
            results.add(suite.name, measurement)
            done.append(measurement)
            plausible = sum(m.status is Status.REPAIRED for m in done)
            correct = sum(m.correct is True for m in done)
            progress.update(task, advance=1, told=f"plausible {plausible}, correct {correct}")
    return done


def _print(summary: Summary) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in summary_lines(summary):
        table.add_row(label, Text(text))
    stdout().print(table)
    for kind, cases in (("left out", summary.left_out), ("unscored", summary.unscored)):
        for identity, reason in cases:
            stdout().print(Text(f"{kind}: {identity}: {reason}"), soft_wrap=True)
