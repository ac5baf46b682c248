"""The profile of a dataset: what is in it, how it is spread, what to doubt, as frozen values, JSON and an HTML page.

Owns the way from a directory to them. Reads Parquet shards in batches, so that memory does not grow with
the dataset beyond some bytes a record (see `doubts`). Counts: `gather`, values: `figures`, warnings: `cautions`,
pictures: `charts`, the page: `page`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from data.cautions import cautions
from data.doubts import MIXED_HUNKS, MIXED_SHARE
from data.figures import Counts, Doubt, Position, Profile
from data.gather import Gathered
from data.measures import chi_square, distribution, evenness, gini, share
from data.records import CLEAN, Record, from_row
from data.store import read_rows, write_text
from repair.errors import InputError

BATCH = 1024
TOP = 20
LINE_EDGES = (1, 3, 5, 10, 15, 20, 30, 40, 60, 100, 200)
TOKEN_EDGES = (0, 25, 50, 75, 100, 150, 200, 300, 400, 600, 1000, 2000)
FEW_EDGES = (0, 1, 2, 3, 4, 5, 10, 20)


def profile(records: Iterable[Record], *, name: str = "") -> Profile:
    """The profile of records, without anything that only a directory tells."""
    gathered = Gathered()
    for record in records:
        gathered.add(record)
    return _settled(gathered, name)


def write_profile(dataset_dir: Path, out: Path) -> Profile:
    """Read `dataset_dir/data/*.parquet`, write the page to `out` and the figures as JSON beside it.

    `out` may be a directory. `manifest.json` and `dropped.jsonl` are read where they are. Raises InputError: no
    shards, a shard or row that cannot be read, a full disk.
    """
    from data.page import render  # the template is read when a page is made, not by those who only count

    gathered = Gathered()
    for split, record in _read(dataset_dir):
        gathered.add(record, split)
    made = _settled(gathered, dataset_dir.resolve().name)
    made = replace(made, dropped=_dropped(dataset_dir), manifest=_manifest(dataset_dir))
    page = out / "profile.html" if out.is_dir() or not out.suffix else out
    write_text(page, render(made))
    write_text(page.with_suffix(".json"), to_json(made))
    return made


def to_json(made: Profile) -> str:
    """All figures, without the examples' texts."""
    values = asdict(replace(made, examples=()))
    values["examples"] = {name: [r.id for r in records] for name, records in made.examples}
    return json.dumps(values, indent=1, ensure_ascii=False) + "\n"


def _read(dataset_dir: Path) -> Iterator[tuple[str, Record]]:
    """All records with their split: the column of that name, else what the shard's name begins with."""
    import pyarrow as pa
    from pyarrow import parquet

    shards = sorted((dataset_dir / "data").glob("*.parquet"))
    if not shards:
        raise InputError(f"{dataset_dir}/data has no *.parquet; name the directory of a dataset", field="dataset")
    for shard in shards:
        named = shard.stem.partition("-")[0]
        try:
            with parquet.ParquetFile(shard) as file:
                for batch in file.iter_batches(batch_size=BATCH):
                    for row in batch.to_pylist():
                        yield str(row.get("split") or named), from_row(row)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{shard}: cannot be read ({error}); build it again", field=str(shard)) from error
        except InputError as error:
            raise InputError(f"{shard}: {error}", field=error.field) from error


def _dropped(dataset_dir: Path) -> tuple[tuple[str, str, int], ...]:
    path = dataset_dir / "dropped.jsonl"
    if not path.is_file():
        return ()
    counts = Counter((str(row.get("stage", "")), str(row.get("reason", ""))) for row in read_rows(path))
    return tuple((stage, reason, count) for (stage, reason), count in counts.most_common())


def _manifest(dataset_dir: Path) -> tuple[tuple[str, str], ...]:
    """The manifest's plain values; what it lists is only counted."""
    path = dataset_dir / "manifest.json"
    if not path.is_file():
        return ()
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not JSON ({error}); build the dataset again", field="manifest") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: not an object; build the dataset again", field="manifest")
    return tuple((str(key), _shown(value)) for key, value in sorted(values.items()))


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return f"{len(value)} entries"
    text = str(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _settled(gathered: Gathered, name: str) -> Profile:
    """The values, then the warnings that follow from them."""
    projects = gathered.projects
    clashes = gathered.pairs.clashes()
    total, faulty = gathered.total, gathered.faulty
    made = Profile(
        name=name,
        records=total,
        faulty=faulty,
        splits=tuple((s, o, c) for (s, o), c in sorted(gathered.splits.items())),
        languages=_counts(gathered.languages),
        classes=_counts(gathered.classes),
        projects=_counts(projects)[:TOP],
        project_count=len(projects),
        project_gini=gini(projects.values()),
        project_evenness=evenness(projects.values()),
        licences=_counts(gathered.licences),
        error_types=_counts(gathered.error_types),
        error_origins=_counts(gathered.error_origins),
        years=tuple(sorted(gathered.years.items())),
        missing_months=_missing_months(gathered.months),
        lines=distribution(gathered.lines, LINE_EDGES),
        tokens=distribution(gathered.tokens, TOKEN_EDGES),
        hunks=distribution(gathered.hunks, FEW_EDGES),
        touched=distribution(gathered.touched, FEW_EDGES),
        difficulty=tuple(gathered.difficulty),
        position=_position(gathered),
        exact_duplicates=share(clashes.exact, total),
        near_duplicates=share(clashes.near, clashes.near_of),
        doubts=_doubts(gathered, clashes.contradicting, clashes.undoing),
        foreign_names=share(gathered.foreign_names, gathered.names),
        foreign_texts=share(gathered.foreign_texts, total),
        english_words=share(gathered.english_words, gathered.name_words),
        examples=tuple((c, gathered.samples[c].records) for c in _shown_classes(gathered)),
    )
    return replace(made, warnings=tuple(cautions(made)))


def _counts(counter: Mapping[str, int]) -> Counts:
    return tuple(sorted(counter.items(), key=lambda item: (-item[1], item[0])))


def _shown_classes(gathered: Gathered) -> list[str]:
    names = [name for name, _ in _counts(gathered.classes)][:TOP]
    return names + [CLEAN] * (CLEAN in gathered.samples)


def _position(gathered: Gathered) -> Position:
    statistic = chi_square(gathered.position, gathered.even)
    count = sum(gathered.position)
    effect = (statistic / count) ** 0.5 if count else 0.0
    return Position(tuple(gathered.position), tuple(gathered.even), statistic, effect)


def _missing_months(months: Mapping[str, int]) -> int:
    known = sorted(12 * int(m[:4]) + int(m[5:7]) for m in months if m[:4].isdigit() and m[5:7].isdigit())
    return known[-1] - known[0] + 1 - len(known) if known else 0


def _doubts(gathered: Gathered, contradicting: int, undoing: int) -> tuple[Doubt, ...]:
    seen, natural, total = gathered.doubts, gathered.natural, gathered.total
    of_people = "Of faulty records from commits, releases and feedback (injected faults are right by construction):"
    return (
        Doubt(
            "looks cosmetic",
            share(seen["cosmetic"], natural),
            f"{of_people} both texts are equal but for comments and insides of strings, or names change throughout.",
        ),
        Doubt(
            "looks mixed",
            share(seen["mixed"], natural),
            f"{of_people} {MIXED_HUNKS} or more separate changes, or over {MIXED_SHARE:.0%} of the lines replaced.",
        ),
        Doubt(
            "rests on one reason",
            share(seen["weak"], gathered.commits),
            "Of faulty records from commits: fewer than two reasons for taking the commit for a fix were recorded.",
        ),
        Doubt(
            "contradicts another",
            share(contradicting, total),
            "Of all records: another has the same buggy text (token by token) and another fix, or calls it clean.",
        ),
        Doubt(
            "undoes another",
            share(undoing, gathered.faulty),
            "Of faulty records: the fixed text is the buggy text of another record.",
        ),
    )
