"""Build a dataset: sources to labelled, cleaned, split Parquet with card and manifest, stage by stage.

Every stage writes shards under a key of all that they depend on and skips those that are there, so that a build
killed at any moment goes on and ends in the same bytes. Workers compute, this process alone writes. Composes the
other modules; owns the order of stages and the layout of the output folder:

    work/records, work/clean   shards of the stages          work/chosen   what is kept, and in which split
    data/SPLIT-00000.parquet   the dataset                   packed/       token rows for training
    dropped.jsonl  manifest.json  README.md
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from data.card import versions
from data.families import Families
from data.plans import Plan, Suite, source_choices
from data.records import from_row, to_row
from data.shards import Row, Shard, digest, locked, sha256_of
from data.sourcing import Work, produced, works
from data.splits import split_of
from data.stages import FORMAT, Collected, Made, Place, Progress, Report, dropped_row, sharded, tally
from data.steps import Beside, Outcome, Rejection, Step, standard_steps, through
from data.written import Stages, write_dataset
from repair.errors import InputError

if TYPE_CHECKING:
    from typing import Any

    from data.decontaminate import Forbidden

MARKS = Path(__file__).parent / "marks.txt"  # of every measured program; always on
_CLEANED = "work/clean"


def _sorted_out(outcomes: Iterable[Outcome | Beside]) -> Made:
    """Rows of records, rows of what a source left out, and what goes to other files."""
    rows: list[Row] = []
    dropped: list[Row] = []
    beside: list[Beside] = []
    for outcome in outcomes:
        match outcome:
            case Rejection():
                dropped.append(dropped_row(outcome))
            case Beside():
                beside.append(outcome)
            case _:
                rows.append(to_row(outcome))
    return rows, dropped, beside


def _produced(work: Work) -> Made:
    return _sorted_out(produced(work))


def collect(plan: Plan, place: Place, kinds: Collection[str] = ()) -> list[Collected]:
    """First stage: the records of the sources (of those `kinds`; of all without any), a shard for each piece of work.

    Raises InputError for a source that cannot be read, and when the recipe has none of these kinds.
    """
    folder, found = place.out / "work" / "records", list[tuple[Shard, Work]]()
    used = versions()
    for number, source in enumerate(plan.sources):
        if kinds and source.kind not in kinds:
            continue
        choices = source_choices(source)
        for work in works(source, place.root):
            key = digest(FORMAT, used, choices, work.key)
            found.append((Shard(folder, f"{number:02d}-{source.kind}/{work.name}", key), work))
            place.report(Progress("plan", len(found), 0, work.name))
    if not found:
        raise InputError(f"the recipe has no source of kind {' or '.join(sorted(kinds))}", field="sources")
    counts = sharded("records", place, found, _produced)
    return [
        Collected(shard, own, {"source": shard.name.split("/")[0], **work.about})
        for (shard, work), own in zip(found, counts, strict=True)
    ]


def _through(steps: Sequence[Step], shard: Shard) -> Made:
    rows: list[Row] = []
    dropped: list[Row] = []
    for row in shard.rows():
        record = from_row(row)
        outcome = through(record, steps)
        if isinstance(outcome, Rejection):
            dropped.append(dropped_row(outcome, record))
        else:
            rows.append(to_row(outcome))
    return rows, dropped, []


def cleaned(place: Place, collected: Sequence[Collected], steps: Sequence[Step]) -> list[Collected]:
    """Second stage: each record through all steps."""
    folder = place.out / _CLEANED
    known = [[step.name, step.key] for step in steps]
    pieces = [(Shard(folder, c.shard.name, digest(FORMAT, c.shard.key, known)), c.shard) for c in collected]
    counts = sharded("clean", place, pieces, partial(_through, steps))
    return [Collected(shard, own) for (shard, _), own in zip(pieces, counts, strict=True)]


def _chosen(plan: Plan, clean: Sequence[Collected], report: Report) -> Iterator[dict[str, object] | Row]:
    """For each clean shard its rows by split; then, for each record left out, its row (it has a "stage")."""
    families = Families()
    for number, one in enumerate(clean, 1):
        kept: dict[str, list[int]] = {}
        for at, row in enumerate(one.shard.rows()):
            record = from_row(row)
            reason = families.reason(record) if plan.clean.duplicates else ""
            split = Rejection("duplicates", reason) if reason else split_of(record, plan.split)
            if isinstance(split, Rejection):
                yield dropped_row(split, record)
            else:
                kept.setdefault(split, []).append(at)
        yield {"shard": one.shard.name, "rows": kept}
        report(Progress("choose", number, len(clean), one.shard.name))


def chosen(plan: Plan, place: Place, clean: Sequence[Collected]) -> Collected:
    """Third stage: no record twice, each in its split. In one process, in order: what is first is kept."""
    keys = [one.shard.key for one in clean]
    names = [one.shard.name for one in clean]
    choices = plan.choices()
    key = digest(FORMAT, keys, names, choices["split"], plan.clean.duplicates)
    shard = Shard(place.out / "work", "chosen", key)
    counts = shard.counts()
    if counts is None:
        found = list(_chosen(plan, clean, place.report))
        rows = [row for row in found if "stage" not in row]
        dropped = [row for row in found if "stage" in row]
        counts = tally(rows, dropped)
        shard.write(rows, dropped, counts)
    else:
        place.report(Progress("choose", len(clean), len(clean), shard.name, kept=True))
    return Collected(shard, counts)


def forbidden_of(plan: Plan, root: Path) -> tuple[Forbidden, dict[str, Any]]:
    """What no record may hold, and how the manifest tells it: the shipped marks, the recipe's, all suites."""
    from data.decontaminate import Forbidden, read_marks, suite_texts

    lists = [MARKS, *(root / name for name in plan.decontaminate.marks)]
    named = [one.path for one in plan.sources if isinstance(one, Suite)]
    suites = [root / name for name in dict.fromkeys([*plan.decontaminate.suites, *named])]
    missing = [path for path in suites if not path.is_file()]
    if missing:
        raise InputError(f"{missing[0]}: no such suite", field="decontaminate.suites")
    known = frozenset[str]().union(*(read_marks(path) for path in lists))
    forbidden = Forbidden.build(known, [text for suite in suites for text in suite_texts(suite)])
    hashes = {path.name: sha256_of(path) for path in (*lists, *suites)}
    told = {"marks": len(forbidden.marks), "runs": len(forbidden.grams), "files": dict(sorted(hashes.items()))}
    return forbidden, told


def build_dataset(plan: Plan, place: Place, steps: tuple[Step, ...] | None = None) -> dict[str, Any]:
    """Build everything under `place.out`; gives back the manifest, also in `manifest.json`.

    `steps` replaces the recipe's own cleaning of single records, decontamination excepted. Deterministic: the same
    sources, recipe and versions give the same bytes, whoever computes them. Raises InputError, SuiteError,
    BoundaryError.
    """
    with locked(place.out):
        forbidden, against = forbidden_of(plan, place.root)
        standard = standard_steps(plan.clean, forbidden, json.dumps(against, sort_keys=True))
        collected = collect(plan, place)
        clean = cleaned(place, collected, standard if steps is None else (*steps, standard[-1]))
        choice = chosen(plan, place, clean)
        return write_dataset(plan, place, Stages(collected, clean, choice), against)


def collect_sources(plan: Plan, place: Place, kinds: Collection[str]) -> list[Collected]:
    """The first stage alone, for some kinds of sources; `build_dataset` goes on from there."""
    with locked(place.out):
        return collect(plan, place, kinds)
