"""From a recipe's sources to pieces of work: what each reads, the key of what it reads, and how to read it.

The one module that knows every source. A piece of work is a value that can be sent to another process; its result
is the same wherever it runs. Must not know what becomes of the records.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from data import plans
from data.executable import ExecuteOptions, execute
from data.repositories import is_address, open_repository
from data.shards import digest, sha256_of
from data.sources import commits
from data.sources.adversarial import adversarial_records
from data.sources.feedback import feedback_records
from data.sources.injected import Injection, injected
from data.sources.lots import Cut, Lot, read_lots
from data.sources.releases import ReleaseOptions, ReleaseTally, archives, releases
from data.sources.rewrites import rewritten
from data.sources.suites import suite_records
from data.steps import Beside, Outcome, Rejection
from repair.errors import InputError, ModelError

if TYPE_CHECKING:
    from typing import Any

    from repair.model import Model

About = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Work:
    """One piece: a `name` that is unique in its source, the key of its inputs, a call that can be pickled."""

    name: str
    key: str
    produce: Callable[[], tuple[Outcome | Beside, ...]]
    about: About = field(default_factory=dict[str, object])  # for the manifest: name, version, licence, sha256


def produced(work: Work) -> tuple[Outcome | Beside, ...]:
    """Do it."""
    return work.produce()


def works(source: plans.Source, root: Path) -> Iterator[Work]:
    """The pieces of a source, in an order that never changes; `root` is what its paths are relative to.

    Raises InputError for what is missing or of another kind than the recipe says.
    """
    if isinstance(source, plans.Inject):
        return _inject(source, root)
    if isinstance(source, plans.Rewrites):
        return _rewrites(source, root)
    if isinstance(source, plans.Commits):
        return _commits(source, root)
    if isinstance(source, plans.Releases):
        return _releases(source, root)
    if isinstance(source, plans.Executable):
        return _executable(source, root)
    return iter([_file_work(source, root)])


def _collected(make: Callable[..., Iterable[Outcome]], *arguments: Any, **named: Any) -> tuple[Outcome, ...]:  # noqa: ANN401
    return tuple(make(*arguments, **named))


def _lot_about(lot: Lot) -> About:
    return lot.package.told


def _inject(source: plans.Inject, root: Path) -> Iterator[Work]:
    cut = Cut(source.cap, source.test_share, source.seed)
    chosen = Injection(source.each, source.clean_share, source.second_share, source.seed)
    for lot in read_lots(root / source.path, name=source.repository, licence=source.licence):
        yield Work(lot.name, lot.key, partial(_collected, injected, lot, cut, chosen), _lot_about(lot))


@lru_cache(maxsize=1)
def _model(spec: str) -> Model:
    from repair.models.select import load_model

    model = load_model(spec or None)
    if model is None:
        raise ModelError('rewrites need a model: "none" is not one')
    return model


def _rewritten(lot: Lot, cut: Cut, source: plans.Rewrites) -> tuple[Outcome, ...]:
    model = _model(source.model)
    return tuple(rewritten(lot, cut, model, asked=source.asked, each=source.each, functions=source.functions))


def _rewrites(source: plans.Rewrites, root: Path) -> Iterator[Work]:
    cut = Cut(source.cap, source.test_share, source.seed)
    for lot in read_lots(root / source.path, name=source.repository, licence=source.licence):
        yield Work(lot.name, lot.key, partial(_rewritten, lot, cut, source), _lot_about(lot))


def _file_work(source: plans.Feedback | plans.Suite | plans.Adversarial, root: Path) -> Work:
    path = root / source.path
    try:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}", field="path") from error
    if isinstance(source, plans.Adversarial):
        run = partial(_collected, adversarial_records, path)
        return Work(path.stem, content, run, {"name": path.stem, "sha256": content})
    if isinstance(source, plans.Suite):
        run = partial(_collected, suite_records, path, source.role)
        return Work(path.stem, content, run, {"name": path.stem, "sha256": content, "role": source.role})
    run = partial(_collected, feedback_records, path, licence=source.licence, repository=source.repository)
    return Work(path.stem, content, run, {"name": path.stem, "sha256": content, "licence": source.licence})


def _file_name(text: str) -> str:
    """A text as a file name, different for different texts."""
    plain = re.sub(r"[^\w.-]+", "-", text).strip("-.")[-60:]
    return f"{plain}-{digest(text)[:6]}"


def _mined(unit: commits.Unit, licence: str) -> tuple[Outcome, ...]:
    outcomes: list[Outcome] = []
    for findings in commits.work(unit):
        outcomes += [replace(r, licence=licence) if licence else r for r in findings.records]
        outcomes += [Rejection("read", reason, findings.commit) for reason in findings.skipped]
    return tuple(outcomes)


def _counted(counts: Mapping[str, int], where: str) -> tuple[Rejection, ...]:
    return tuple(Rejection("read", reason, where, n) for reason, n in sorted(counts.items()))


def _commits(source: plans.Commits, root: Path) -> Iterator[Work]:
    own = commits.Options()
    options = replace(own, functions=source.functions, threshold=source.threshold or own.threshold)
    for place in source.repositories:
        cache = root / source.cache if source.cache else None
        repository = open_repository(place if is_address(place) else str(root / place), cache=cache)
        tally = commits.Tally()
        about: dict[str, object] = {"name": repository.name, "licence": source.licence}
        for number, unit in enumerate(commits.units(repository, repository.tips(), options, commits.Cursor(), tally)):
            about = {**about, "licence": source.licence or unit.licence}
            key = digest(repository.name, unit.licence, [task.commit for task in unit.tasks], str(options))
            name = f"{_file_name(repository.name)}-{number:05d}"
            yield Work(name, key, partial(_mined, unit, source.licence), about)
        left = _counted(tally.skipped, f"{repository.name}: commits")
        yield Work(f"{_file_name(repository.name)}-history", digest(str(left)), partial(tuple, left), about)


def _released(paths: tuple[Path, ...], level: str, licence: str) -> tuple[Outcome, ...]:
    tally = ReleaseTally()
    with tempfile.TemporaryDirectory() as folder:  # the releases of one package, as it were
        for path in paths:
            (Path(folder) / path.name).symlink_to(path)
        records = list(releases(Path(folder), ReleaseOptions(level=level), tally))
    told = [replace(record, licence=licence) if licence else record for record in records]
    return (*told, *_refused(tally), *_counted(tally.skipped, paths[0].name))


def _refused(tally: ReleaseTally) -> tuple[Rejection, ...]:
    return tuple(
        Rejection("read", "archive: it was refused", f"{n}: {why}") for n, why in sorted(tally.refused.items())
    )


def _releases(source: plans.Releases, root: Path) -> Iterator[Work]:
    tally = ReleaseTally()
    packages: dict[str, list[Path]] = {}
    for archive in archives(root / source.path, tally):
        packages.setdefault(archive.name, []).append(archive.path.resolve())
    for name, paths in packages.items():
        hashes = {path.name: sha256_of(path) for path in paths}
        about = {"name": name, "licence": source.licence, "sha256": digest(hashes)}
        run = partial(_released, tuple(paths), source.level, source.licence)
        yield Work(_file_name(name), digest(hashes), run, about)
    left = (*_refused(tally), *_counted(tally.skipped, source.path))
    yield Work("archives-left", digest(str(left)), partial(tuple, left), {"name": source.path})


def _executed(project: Path, source: plans.Executable) -> tuple[Outcome | Beside, ...]:
    options = ExecuteOptions(
        project=project,
        command=source.command,
        python=Path(source.python) if source.python else None,
        sources=source.sources,
        mutants=source.mutants,
        attempts=source.attempts,
        seed=source.seed,
        whole=source.whole,
        repository=project.name,
        licence=source.licence,
    )
    result = execute(options)
    counts = {f"mutant: {reason}": n for reason, n in result.counts.items() if reason != "kept"}
    tasks = (Beside("tasks", kept.task) for kept in result.kept)
    rows = (Beside("suite", kept.suite) for kept in result.kept if kept.suite is not None)
    return (*(kept.record for kept in result.kept), *_counted(counts, project.name), *tasks, *rows)


def _executable(source: plans.Executable, root: Path) -> Iterator[Work]:
    for place in source.projects:
        project = (root / place).resolve()
        key = digest([lot.key for lot in read_lots(project, name="", licence=source.licence)])
        about = {"name": project.name, "licence": source.licence, "sha256": key}
        yield Work(_file_name(project.name), key, partial(_executed, project, source), about)
