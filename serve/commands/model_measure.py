"""`emend model measure`: how good each method of attribution is for a model, on faults that it has not seen."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import track
from rich.table import Table

from repair.errors import InputError
from serve.printing import stderr, stdout

if TYPE_CHECKING:
    from eval.glassbox.quality import Row, Summary, Trial
    from repair.explain.glass import Glass


@dataclass(frozen=True, slots=True)
class Settings:
    """What to measure with. `sanity`: compare with random weights too, which doubles the time."""

    model: str | None = None
    adapter: Path | None = None
    count: int = 40
    methods: tuple[str, ...] = ()
    sanity: bool = True
    seed: int = 0


def run(
    path: Path, settings: Settings, *, output: Path | None = None, into: Path | None = None, as_json: bool = False
) -> int:
    """Measure, print a table, write rows to `output` (JSON lines) and the table into the reference file `into`.

    Raises InputError for cases or methods that cannot be used, ModelError when the model fails.
    """
    from eval.glassbox.quality import METHODS, summarize
    from repair.explain.glass import open_glass
    from repair.explain.values import Method

    unknown = sorted(set(settings.methods) - {m.value for m in Method})
    if unknown:
        raise InputError(f"no method {unknown[0]!r}; there are {', '.join(m.value for m in Method)}", field="method")
    methods = tuple(m for m in METHODS if not settings.methods or m.value in settings.methods)
    trials = _trials(path, settings)
    glass = open_glass(settings.model, adapter=settings.adapter)
    rows = list(_rows(trials, glass, methods, settings))
    if not rows:
        raise InputError(f"{path}: no case that can be measured", field="cases")
    if output is not None:
        output.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows), encoding="utf-8")
    summaries = summarize(rows, seed=settings.seed)
    if into is not None:
        _keep(into, summaries)
    _tell(summaries, as_json=as_json)
    return 0


def _trials(path: Path, settings: Settings) -> list[Trial]:
    """As many natural faults as planted ones: the latter know which line is evidence."""
    from eval.glassbox.planting import planted
    from eval.glassbox.quality import Trial
    from serve.commands.model_cases import read_cases

    cases = read_cases(path)
    natural = [Trial(case.id, case.subject) for case in cases if case.hunks][: settings.count]
    known = islice(planted(cases, seed=settings.seed), settings.count)
    return [*natural, *(replace(one, id=f"planted:{one.id}") for one in known)]


def _rows(trials: Sequence[Trial], glass: Glass, methods: Sequence[object], settings: Settings) -> Iterator[Row]:
    from eval.glassbox.quality import measure
    from repair.explain.values import Method

    chosen = tuple(m for m in methods if isinstance(m, Method))
    model = glass.local()
    blank = glass.blank(settings.seed) if settings.sanity else None
    for trial in track(trials, "measuring", console=stderr(), transient=True):
        yield from measure(trial, model, glass, blank, methods=chosen, seed=settings.seed)


def _keep(into: Path, summaries: Sequence[Summary]) -> None:
    from repair.explain.reference import write_reference
    from repair.explain.reference_file import load_reference

    reference = load_reference(into)
    write_reference(into, replace(reference, quality=tuple(one.quality for one in summaries)))


def _tell(summaries: Sequence[Summary], *, as_json: bool) -> None:
    from eval.glassbox.table import HEAD, cells

    if as_json:
        sys.stdout.write(json.dumps([asdict(one) | {"beats_random": one.beats_random} for one in summaries]) + "\n")
        return
    table = Table(*HEAD, box=None)
    for one in summaries:
        table.add_row(*cells(one))
    stdout().print(table)
