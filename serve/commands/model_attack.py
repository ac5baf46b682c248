"""`emend model attack`: the smallest edits that keep a program's meaning and make the model answer otherwise.

A suite is measured; the records of a dataset may be trained on, too. Owns which of the two a path is, the flip table
as text and the folder of training data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from data.records import Origin, Record, to_row
from data.sources.adversarial import adversarial_record
from data.store import write_rows, write_text
from eval.report.flips import flips_page
from eval.robustness.flipping import Attacked, End, FlipPlan, attack_all
from eval.robustness.flips import Flip, Flipped, Seen, write_flips
from eval.robustness.runnable import is_suite, runnable_all
from eval.robustness.smallest import SmallestPlan
from eval.stats import Share
from eval.suites.rows import Case, read_suite
from repair.errors import InputError
from serve.printing import shown, stderr, stdout

TRAIN_FILE = "adversarial.jsonl"
_TRAIN = "train"
_SHOWN = 20  # rows of the table
_REASONS = 6
_LINES, _WIDE = 6, 60  # of a diff in the table: lines, characters of one


@dataclass(frozen=True, slots=True)
class Settings:
    """Options of the command, as they were typed."""

    goal: str
    split: str
    cases: int
    queries: int
    seed: int
    jobs: int
    model: str | None
    adapter: Path | None
    sandbox_minimum: str
    unsafe_no_sandbox: bool


@dataclass(frozen=True, slots=True)
class _Source:
    """What is attacked: cases, the records that they are of (none: a suite), and why others were left out."""

    cases: tuple[Case, ...]
    records: Mapping[str, Record]
    left_out: Mapping[str, int]


def run(path: Path, settings: Settings, *, output: Path, html: Path | None, train_set: Path | None) -> int:
    """Exit code 0 when all cases were attacked, whatever came of it. Raises InputError for what is refused."""
    suite = is_suite(path)
    if suite and train_set is not None:
        raise InputError(
            f"{path}: a suite measures and may not be trained on; --train-set takes a dataset of `emend data build`",
            field="train-set",
        )
    if train_set is not None and settings.split != _TRAIN:
        raise InputError(
            f"--train-set takes the split {_TRAIN!r} alone: {settings.split!r} measures what was trained", field="split"
        )
    source = _suite(path, settings) if suite else _dataset(path, settings)
    plan = FlipPlan(Flipped(settings.goal), SmallestPlan(queries=settings.queries, seed=settings.seed))
    attacked = _attacked(source.cases, plan, settings)
    flips = tuple(one.flip for one in attacked if one.flip is not None)
    write_flips(output, flips)
    before, after = shares(attacked)
    _print(flips, attacked, source.left_out, (before, after), settings)
    if html is not None:
        write_text(html, flips_page(flips, before, after, _facts(path, settings, len(attacked))))
    if train_set is not None:
        _write_train_set(train_set, path, flips, source.records, settings)
    told = "".join(f", {what}" for what in (html, train_set) if what is not None)
    stderr().print(f"{len(flips)} flips in {output}{told}", soft_wrap=True)
    return 0


def shares(attacked: Iterable[Attacked]) -> tuple[Share, Share]:
    """How often the model is right as it was, and under the smallest edit, of the cases that say it."""
    known = [one for one in attacked if one.right_before is not None]
    before, after = (sum(bool(right) for right in rights) for rights in (
        [one.right_before for one in known], [one.right_after for one in known]
    ))  # fmt: skip
    return Share(before, len(known)), Share(after, len(known))


def _suite(path: Path, settings: Settings) -> _Source:
    cases = read_suite(path).cases
    if not cases:
        raise InputError(f"{path}: no program is there to attack (tasks of repositories are not)", field="suite")
    return _Source(cases[: settings.cases], {}, {})


def _dataset(path: Path, settings: Settings) -> _Source:
    """The first records of the split that run alone."""
    from training.records import open_dataset

    records = [record for _, record in open_dataset((str(path),), settings.split).records()]
    left_out: Counter[str] = Counter()
    wanted = (record for record in records if record.origin is not Origin.SUITE)
    found = list(islice(_runnable(wanted, settings.seed, left_out), settings.cases))
    if not found:
        told = ", ".join(f"{count} {reason}" for reason, count in left_out.most_common(_REASONS))
        raise InputError(f"{path}: no record can be run, so no edit could be tested ({told})", field="dataset")
    cases = tuple(case for _, case in found)
    return _Source(cases, {case.id: record for record, case in found}, left_out)


def _runnable(records: Iterable[Record], seed: int, left_out: Counter[str]) -> Iterator[tuple[Record, Case]]:
    for record, case in runnable_all(records, seed):
        if isinstance(case, str):
            left_out[case] += 1
        else:
            yield record, case


def _attacked(cases: Sequence[Case], plan: FlipPlan, settings: Settings) -> list[Attacked]:
    columns = (
        TextColumn("{task.description}"),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[told]}"),
    )
    adapter = str(settings.adapter) if settings.adapter else None
    place = settings.sandbox_minimum, settings.unsafe_no_sandbox
    done: list[Attacked] = []
    with Progress(*columns, console=stderr()) as progress:
        task = progress.add_task("attack", total=len(cases), told="")
        for one in attack_all(cases, plan, model=settings.model, adapter=adapter, sandbox=place, jobs=settings.jobs):
            done.append(one)
            progress.update(task, advance=1, told=f"flipped {sum(a.flip is not None for a in done)}")
    return done


def _write_train_set(
    out: Path, path: Path, flips: Sequence[Flip], records: Mapping[str, Record], settings: Settings
) -> None:
    """`adversarial.jsonl`, rows of the split "train", and a page that says what they are."""
    left_out: Counter[str] = Counter()
    made: list[Record] = []
    for flip in flips:
        how = " + ".join(flip.attacks)
        record = adversarial_record(records[flip.id], flip.buggy, flip.fixed, error=flip.error, how=how)
        if isinstance(record, str):
            left_out[record] += 1
        else:
            made.append(record)
    try:
        write_rows(out / TRAIN_FILE, (to_row(record) | {"split": _TRAIN} for record in made))
        write_text(out / "README.md", _readme(path, made, left_out, settings))
    except OSError as error:
        raise InputError(f"{out}: {error.strerror or error}", field="train-set") from error


def _readme(path: Path, made: Sequence[Record], left_out: Mapping[str, int], settings: Settings) -> str:
    licences = Counter(record.licence or "unknown" for record in made)
    told = ", ".join(f"{name} {count}" for name, count in licences.most_common()) or "none"
    lost = "; ".join(f"{count} {reason}" for reason, count in left_out.items()) or "none"
    return (
        f"# Adversarial records\n\n{len(made)} records of `{path}` (split {settings.split}), written so that "
        f"{_model(settings)} is wrong on them ({settings.goal}), the same faults with the same repairs.\n\n"
        f"Licences, carried over: {told}. Left out: {lost}.\n\n"
        f'`data.dataset = ["SET", "{TRAIN_FILE}"]` of `emend train adapter` takes them beside a dataset, '
        '`[[sources]]` of kind "adversarial" of `emend data build` into one.\n'
    )


def _model(settings: Settings) -> str:
    return (settings.model or "embedded") + (f" with {settings.adapter}" if settings.adapter else "")


def _facts(path: Path, settings: Settings, count: int) -> tuple[tuple[str, str], ...]:
    return (
        ("model", _model(settings)),
        ("cases", f"{count} of {path.name}"),
        ("flipped is", settings.goal),
        ("questions a case", f"{settings.queries} at most"),
        ("seed", f"{settings.seed}"),
    )


def _print(
    flips: Sequence[Flip],
    attacked: Sequence[Attacked],
    left_out: Mapping[str, int],
    rights: tuple[Share, Share],
    settings: Settings,
) -> None:
    console = stdout()
    ends = Counter(one.end for one in attacked)
    told = ", ".join(f"{end} {ends[end]}" for end in End if ends[end])
    console.print(f"{len(attacked)} cases, {settings.goal}, model {_model(settings)}: {told}", soft_wrap=True)
    console.print(f"right as it was {rights[0]}", soft_wrap=True)
    console.print(f"right under the smallest edit {rights[1]}", soft_wrap=True)
    if flips:
        console.print(flip_table(flips[:_SHOWN]))
    if len(flips) > _SHOWN:
        console.print(f"and {len(flips) - _SHOWN} more")
    reasons = Counter(dict(left_out)) + Counter(f"{one.end}: {one.reason}" for one in attacked if one.reason)
    for reason, count in reasons.most_common(_REASONS):
        console.print(Text(shown(f"not attacked: {count} {reason}")), soft_wrap=True)


def flip_table(flips: Sequence[Flip]) -> Table:
    """The flip table: what was said before and after, and the changed lines of the edit."""
    table = Table(box=None, pad_edge=False)
    for name in ("case", "edit", "before", "after", "changed lines"):
        table.add_column(name, overflow="fold")
    for flip in flips:
        size = f"{flip.size.lines} lines, {flip.size.tokens} tokens"
        cells = (flip.id, f"{' + '.join(flip.attacks)}\n{size}", _seen(flip.before), _seen(flip.after), _changed(flip))
        table.add_row(*(Text(shown(cell)) for cell in cells))
    return table


def _seen(seen: Seen) -> str:
    return f"line {seen.line}, {100 * seen.probability:.0f} %\n{seen.text[:_WIDE]}"


def _changed(flip: Flip) -> str:
    lines = [line[:_WIDE] for line in flip.diff.split("\n")[2:] if line[:1] in ("+", "-")]
    more = len(lines) - _LINES
    return "\n".join((*lines[:_LINES], *((f"and {more} more",) if more > 0 else ())))
