"""`emend data …`: read the recipe, run its stages, show progress on stderr and a summary on stdout."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rich.progress import MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from data.dataset import MARKS, build_dataset, collect_sources
from data.plans import CorpusPlan
from data.stages import Collected, Place, Progress
from data.toml import read_plan
from repair.errors import InputError
from repair.executors import executor
from serve.boundary import INTERRUPTED
from serve.printing import shown, stderr, stdout

if TYPE_CHECKING:
    from typing import Any

_KINDS = {
    "mine": ("commits",),
    "releases": ("releases",),
    "inject": ("inject", "rewrites"),
    "execute": ("executable",),
}
_REASONS = 12  # of a summary; all of them are in the files


@dataclass(frozen=True, slots=True)
class Asked:
    """The command's arguments, as they were typed."""

    recipe: Path
    overrides: tuple[str, ...]
    output: Path | None
    jobs: int | None
    ray: str
    as_json: bool


def run(command: str, asked: Asked) -> int:
    """Exit code 0 when it was built, 130 when it was interrupted; errors are the boundary's."""
    try:
        return _run(command, asked)
    except KeyboardInterrupt:
        stderr().print("interrupted; the same command goes on where it was")
        return INTERRUPTED


def _run(command: str, asked: Asked) -> int:
    plan = read_plan(asked.recipe, asked.overrides)
    out = _output(asked, plan.output)
    if isinstance(plan, CorpusPlan):
        if command != "build":
            raise InputError(f'a recipe of kind "corpus" can only be built: emend data build {asked.recipe}')
        if asked.ray:
            raise InputError("a corpus is built on this machine: leave --ray out", field="ray")
        return _corpus(plan, out, asked)
    with _reported() as report, executor(asked.jobs or plan.jobs, asked.ray) as chosen:
        place = Place(asked.recipe.resolve().parent, out, chosen, report)
        if command == "build":
            summary = _built(build_dataset(plan, place), out)
        else:
            summary = _collected(collect_sources(plan, place, _KINDS[command]), out)
    _print(summary, as_json=asked.as_json)
    return 0


def _output(asked: Asked, planned: str) -> Path:
    if asked.output is not None:
        return asked.output.resolve()
    if not planned:
        raise InputError(f'where to? Give -o OUT, or set output = "FOLDER" in {asked.recipe}', field="output")
    return asked.recipe.resolve().parent / planned


@contextmanager
def _reported() -> Generator[Callable[[Progress], None]]:
    """Bars for the stages on a terminal, a line for each finished stage elsewhere."""
    console = stderr()
    columns = (
        TextColumn("{task.description:8}"),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[n]}"),
    )
    with Bars(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks: dict[str, Any] = {}

        def report(progress: Progress) -> None:
            stage, total = progress.stage, progress.total
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total or None, n="")
            bars.update(tasks[stage], completed=progress.done, total=total or None, n=shown(progress.name)[-50:])
            if not console.is_terminal and progress.done == total:
                console.print(f"{stage}: {total} {'kept' if progress.kept else 'done'}", soft_wrap=True)

        yield report


def _built(manifest: Mapping[str, Any], out: Path) -> dict[str, Any]:
    return {
        "output": str(out),
        "counts": manifest["counts"],
        "packed": manifest["packed"],
        "left_out": manifest["dropped"],
        "decontaminated_against": manifest["decontaminated_against"],
        "recipe_digest": manifest["recipe_digest"],
    }


def _collected(collected: Sequence[Collected], out: Path) -> dict[str, Any]:
    left_out: Counter[str] = Counter()
    records: Counter[str] = Counter()
    for one in collected:
        left_out.update(one.counts["left_out"])
        records[str(one.about.get("name", one.shard.name))] += one.counts["records"]
    return {
        "output": str(out / "work" / "records"),
        "counts": {"records": dict(sorted(records.items()))},
        "left_out": {"read": dict(left_out.most_common())},
    }


def _print(summary: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("output", Text(str(summary["output"])))
    for name, counts in summary["counts"].items():
        table.add_row(name.replace("_", " "), Text(shown(_listed(counts))))
    if summary.get("packed"):
        table.add_row("packed", Text(_listed(summary["packed"])))
    for stage, reasons in summary["left_out"].items():
        table.add_row(f"left out: {stage}", Text(shown(_listed(reasons))))
    stdout().print(table)


def _listed(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    text = ", ".join(f"{name or 'none'} {number}" for name, number in ordered[:_REASONS])
    more = len(ordered) - _REASONS
    return f"{sum(counts.values())} ({text}{f', and {more} more' if more > 0 else ''})" if ordered else "0"


def _corpus(plan: CorpusPlan, out: Path, asked: Asked) -> int:
    from data.build import Guard, build_corpus

    root = asked.recipe.resolve().parent
    guard = Guard(root / plan.marks if plan.marks else MARKS, tuple(root / name for name in plan.suites))
    console = stderr()

    def report(stage: str, text: str) -> None:
        console.print(Text(shown(f"{stage}: {text}")), soft_wrap=True)

    with executor(asked.jobs or plan.jobs) as chosen:
        values = build_corpus(root / plan.wheels, out, plan.recipe, guard, report=report, executor=chosen)
    packages = cast("list[Mapping[str, Any]]", values["packages"])
    refused = Counter(str(p["reason"]) for p in packages if not p["accepted"])
    used = {str(p["name"]): int(p["files"]) for p in packages if p["accepted"]}
    summary = {"output": str(out), "counts": {"files": used}, "left_out": {"packages": dict(refused)}}
    _print(summary | ({"stages": values["stages"]} if asked.as_json else {}), as_json=asked.as_json)
    return 0


def profile(asked: Asked) -> int:
    """Write the profile of a dataset beside it."""
    plan = read_plan(asked.recipe, asked.overrides)
    folder = _output(asked, plan.output)
    path = folder / "profile.html"
    from data.profile import write_profile

    write_profile(folder, path)
    summary = {"output": str(path), "counts": {}, "left_out": {}}
    _print(summary, as_json=asked.as_json)
    return 0
