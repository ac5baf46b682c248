"""`emend eval run` and `emend eval check`: repair every case of the suites, show and store what came of it."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from eval.fairness import gaps_of
from eval.measurement import EXTRA, GIVEN, NOT_GIVEN, Conditions, Measurement, Status
from eval.results import open_results, read_results
from eval.run import Setup, Task, check_all, measure_all
from eval.slices import TOO_FEW
from eval.suites.rows import Suite, read_suite
from eval.summary import Summary, summarize
from eval.summary_text import summary_json, summary_lines
from eval.weights import weights_digest
from repair.errors import InputError
from serve.oracles import Judging
from serve.printing import stderr, stdout

SHOWN = 10  # patches that are decided afterwards where the repair has no tests: as many as a user is shown
_COLUMNS = (
    TextColumn("{task.description}"),
    MofNCompleteColumn(),
    TimeElapsedColumn(),
    TextColumn("{task.fields[told]}"),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Options of the command, as they were typed. `candidates` None: as many as the setting is wont to have."""

    order: str = "model"
    candidates: int | None = None
    seconds: float = 60.0
    jobs: int = 1
    ray: str = ""
    limit: int | None = None
    layout: str = "auto"
    seed: int = 0
    model: str | None = None
    adapter: Path | None = None
    tests: bool = True
    location: bool = False
    exhaustive: bool = False
    sandbox_minimum: str = "B"
    unsafe_no_sandbox: bool = False


def run(paths: Sequence[Path], settings: Settings, *, output: Path | None, as_json: bool) -> int:
    """Exit code 0 when all suites were measured, whatever came of them."""
    suites = _suites(paths, settings.layout)
    setup = setup_of(settings)
    known = read_results(output, setup.conditions)
    summaries: list[Summary] = []
    for suite in suites:
        measured = _measured(suite, settings, setup, known, output)
        summaries.append(summarize(suite.name, suite.sha256, setup.conditions, measured))
        if not as_json:
            _print(summaries[-1], measured)
    if as_json:
        sys.stdout.write(json.dumps([summary_json(s) for s in summaries], indent=2) + "\n")
    if output is not None:
        path = output.with_suffix(".summary.json")
        path.write_text(json.dumps([summary_json(s) for s in summaries], indent=2) + "\n", encoding="utf-8")
        stderr().print(f"results in {output}, summary in {path}", soft_wrap=True)
    return 0


def check(paths: Sequence[Path], settings: Settings, *, as_json: bool) -> int:
    """The self-check alone; exit code 0 when every case is sound, 1 when some are not."""
    told: list[dict[str, str]] = []
    total = 0
    for suite in _suites(paths, settings.layout):
        cases = tasks_of(suite)[: settings.limit]
        total += len(cases)
        with Progress(*_COLUMNS, console=stderr()) as progress:
            task = progress.add_task(suite.name, total=len(cases), told="")
            for case, reason in zip(cases, check_all(setup_of(settings), cases, jobs=settings.jobs), strict=True):
                if reason:
                    told.append({"suite": suite.name, "id": case.id, "reason": reason})
                progress.update(task, advance=1, told=f"left out {len(told)}")
    if as_json:
        sys.stdout.write(json.dumps({"cases": total, "left_out": told}, indent=2) + "\n")
    else:
        stdout().print(f"{total - len(told)} of {total} cases are sound")
        for row in told:
            stdout().print(Text("left out: {suite}: {id}: {reason}".format(**row)), soft_wrap=True)
    return 1 if told else 0


def _suites(paths: Sequence[Path], layout: str) -> list[Suite]:
    suites = [read_suite(path, layout=layout) for path in paths]
    if len({suite.name for suite in suites}) != len(suites):
        raise InputError("two suites have the same file name; results could not be told apart", field="suite")
    for suite in suites:
        for name, reason in suite.skipped:
            stderr().print(Text(f"{suite.name}: {name} is no task: {reason}"), soft_wrap=True)
    return suites


def tasks_of(suite: Suite) -> tuple[Task, ...]:
    """Programs or repository tasks: a suite has one kind."""
    return (*suite.cases, *suite.tasks)


def setup_of(settings: Settings) -> Setup:
    """What each process needs. Raises SandboxError where tests cannot be run here, InputError for odd settings."""
    tier = Judging(settings.sandbox_minimum, settings.unsafe_no_sandbox).sandbox().tier
    adapter = str(settings.adapter) if settings.adapter else None
    candidates = settings.candidates or (400 if settings.tests else SHOWN)
    conditions = Conditions(
        model=settings.model or "embedded",
        adapter=adapter or "",
        weights=weights_digest(settings.model, adapter),
        order=settings.order,
        seed=settings.seed,
        candidates=candidates,
        seconds=settings.seconds,
        tier=tier.value,
        location=GIVEN if settings.location else NOT_GIVEN,
        tests=GIVEN if settings.tests else NOT_GIVEN,
        extra=candidates if settings.exhaustive else EXTRA,
    )
    return Setup(conditions, settings.model, adapter, settings.sandbox_minimum, settings.unsafe_no_sandbox)


def _measured(
    suite: Suite,
    settings: Settings,
    setup: Setup,
    known: Mapping[tuple[str, str], Measurement],
    output: Path | None,
) -> list[Measurement]:
    """Measurements of a suite in its order: those known already and those made now."""
    cases = tasks_of(suite)[: settings.limit]
    done = {case.digest: known[suite.name, case.digest] for case in cases if (suite.name, case.digest) in known}
    left = [case for case in cases if case.digest not in done]
    if known:
        stderr().print(_goes_on(suite, len(cases), len(done), known), soft_wrap=True)
    found = measure_all(setup, left, jobs=settings.jobs, ray=settings.ray)
    with open_results(output, setup.conditions) as results, Progress(*_COLUMNS, console=stderr()) as progress:
        task = progress.add_task(suite.name, total=len(cases), completed=len(done), told=_told(done.values()))
        for measurement in found:
            results.add(suite.name, measurement)
            done[measurement.digest] = measurement
            progress.update(task, advance=1, told=_told(done.values()))
    return [done[case.digest] for case in cases]


def _goes_on(suite: Suite, cases: int, done: int, known: Mapping[tuple[str, str], Measurement]) -> str:
    """What is there already, and whether the suite has changed since."""
    ids = {case.id for case in tasks_of(suite)}
    digests = {case.digest for case in tasks_of(suite)}
    changed = sum(m.id in ids and m.digest not in digests for (name, _), m in known.items() if name == suite.name)
    told = f"{suite.name}: {done} of {cases} cases are measured already"
    return told + (f"; {changed} rows have changed since and are measured anew" if changed else "")


def _told(done: Iterable[Measurement]) -> str:
    counts = Counter((m.status is Status.REPAIRED, m.correct is True) for m in done)
    plausible = counts[True, True] + counts[True, False]
    return f"plausible {plausible}, correct {counts[True, True] + counts[False, True]}"


def _print(summary: Summary, measured: Sequence[Measurement]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in summary_lines(summary):
        table.add_row(label, Text(text))
    stdout().print(table)
    for kind, cases in (("left out", summary.left_out), ("unscored", summary.unscored)):
        for identity, reason in cases:
            stdout().print(Text(f"{kind}: {identity}: {reason}"), soft_wrap=True)
    for figure, gaps in gaps_of(measured).items():
        for gap in gaps:
            if gap.warning not in ("", TOO_FEW):
                stdout().print(Text(f"significant gap, {figure} by {gap.attribute}: {gap.warning}"), soft_wrap=True)
