"""`emend model audit`: what a model remembers of the records that it was trained on, as a card for each release."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import track
from rich.table import Table
from rich.text import Text

from data.records import Origin, Record
from data.secrets import secret_type, without_secrets
from data.steps import Rejection
from data.store import write_text
from eval.glassbox.audit import (
    CANARY_HEAD,
    DETECTOR_HEAD,
    MEANINGS,
    MEMBERSHIP_HEAD,
    Audit,
    Detector,
    audit_json,
    audit_page,
    canary_rows,
    detector_rows,
    membership_rows,
)
from eval.glassbox.canaries import (
    CANARIES,
    RECORDS,
    REPETITIONS,
    Canary,
    alternatives,
    made,
    read_canaries,
    write_canaries,
)
from eval.glassbox.privacy import Exposure, exposed, exposure, membership
from repair.errors import InputError, ModelError
from serve.printing import shown, stderr, stdout
from serve.security.redaction import redact

if TYPE_CHECKING:
    from repair.explain.cases import Case
    from repair.model import Model

_BATCH = 64  # alternatives scored at a time
_FEW = 30  # of members or others; below, the interval says more about the sample than about the model


@dataclass(frozen=True, slots=True)
class Settings:
    """Options of the command, as they were typed."""

    model: str | None = None
    adapter: Path | None = None
    members: Path | None = None
    others: Path | None = None
    canaries: Path | None = None
    records: int = 400
    alternatives: int = 255
    seed: int = 0


def plant(count: int, folder: Path, seed: int) -> int:
    """Write records with random numbers to train on, and their list. Raises InputError."""
    if count < len(REPETITIONS):
        raise InputError(f"--plant takes {len(REPETITIONS)} or more, one for each repetition", field="plant")
    rows = write_canaries(folder, made(count, seed), seed)
    told = ", ".join(f"{n}" for n in REPETITIONS)
    stderr().print(
        f"{rows} records in {folder / RECORDS} (train on them beside your data: data.dataset), {count} canaries in "
        f"{folder / CANARIES}, repeated {told} times in turn; keep the list secret from the training",
        soft_wrap=True,
    )
    return 0


def run(settings: Settings, *, output: Path, html: Path | None) -> int:
    """Audit and write the card. Exit code 0 whatever was found. Raises InputError, ModelError."""
    if (settings.members is None) != (settings.others is None):
        raise InputError("--members and --others go together: one alone has no comparison", field="others")
    if settings.members is None and settings.canaries is None:
        raise InputError("nothing to audit: give --members and --others, or --canaries, or both", field="members")
    planted = read_canaries(settings.canaries) if settings.canaries else ()
    groups = [_cases(path, settings.records) for path in (settings.members, settings.others) if path is not None]
    model = _model(settings.model, settings.adapter)
    audit = _audited(model, planted, groups, settings)
    write_text(output, json.dumps(audit_json(audit), indent=2) + "\n")
    if html is not None:
        write_text(html, audit_page(audit))
    _print(audit)
    stderr().print(f"written to {output}{f', {html}' if html else ''}", soft_wrap=True)
    return 0


def _audited(model: Model, planted: Sequence[Canary], groups: Sequence[tuple[Case, ...]], settings: Settings) -> Audit:
    notes: list[str] = []
    tested, calibrated = None, None
    if groups:
        scores = [_scores(model, cases, name) for cases, name in zip(groups, ("members", "others"), strict=True)]
        notes += _left_out(groups, scores)
        tested = membership(_known(scores[0]), _known(scores[1]), seed=settings.seed)
        if settings.adapter is not None:
            plain = _model(settings.model, None)
            bare = [_scores(plain, cases, f"{n} bare") for cases, n in zip(groups, ("members", "others"), strict=True)]
            gains = [[a - b for a, b in zip(*pair, strict=True)] for pair in zip(scores, bare, strict=True)]
            calibrated = membership(_known(gains[0]), _known(gains[1]), seed=settings.seed)
    exposures = [_exposure(model, one, settings) for one in track(planted, "canaries", console=stderr())]
    return Audit(
        model=_name(settings),
        members=f"{settings.members}",
        others=f"{settings.others}",
        membership=tested,
        calibrated=calibrated,
        canaries=exposed(exposures),
        detectors=detectors(),
        notes=tuple(notes),
    )


def _left_out(groups: Sequence[Sequence[Case]], scores: Sequence[Sequence[float]]) -> Iterator[str]:
    for name, cases, found in zip(("members", "others"), groups, scores, strict=True):
        known = _known(found)
        if len(known) < len(cases):
            yield f"{len(cases) - len(known)} of {len(cases)} {name} do not fit the model's prompt and were left out"
        if not known:
            raise InputError(f"none of the {name} fits the model's prompt", field=name)
        if len(known) < _FEW:
            yield f"only {len(known)} {name}: the interval is wide"
    if len(_known(scores[1])) < 100:
        yield "fewer than 100 others: 1 % of them is none, so the threshold lies above all of them"


def _cases(path: Path, count: int) -> tuple[Case, ...]:
    from serve.commands.model_cases import read_cases

    return read_cases(path, count)


def _model(spec: str | None, adapter: Path | None) -> Model:
    from repair.models.select import load_model

    if spec is not None and spec.startswith(("http://", "https://")):
        raise InputError("a model server gives no log-probability of a given repair: give weights", field="model")
    found = load_model(spec, adapter=None if adapter is None else str(adapter))
    if found is None:
        raise InputError("there is no model to audit: give a directory or a hub id", field="model")
    return found


def _name(settings: Settings) -> str:
    return (settings.model or "embedded") + (f" with {settings.adapter}" if settings.adapter else "")


def _scores(model: Model, cases: Sequence[Case], what: str) -> list[float]:
    """Log P(repair | prompt) a character of the repair, nats; nan where it cannot be said.

    A character and not a repair: long repairs are unlikely whether they were seen or not.
    """
    return [_score(model, case) for case in track(cases, what, console=stderr())]


def _score(model: Model, case: Case) -> float:
    found = model.score(case.view, [case.hunks])
    if found is None:
        raise ModelError("this model gives no log-probabilities: nothing can be told of what it remembers")
    length = 1 + sum(len(hunk.text) for hunk in case.hunks)
    return found[0] / length if math.isfinite(found[0]) else math.nan


def _known(scores: Sequence[float]) -> list[float]:
    return [score for score in scores if math.isfinite(score)]


def _exposure(model: Model, canary: Canary, settings: Settings) -> Exposure:
    numbers = iter((canary.number, *alternatives(canary, settings.alternatives, settings.seed)))
    found: list[float] = []
    while batch := list(islice(numbers, _BATCH)):
        scores = model.score(canary.view, [canary.hunks(number) for number in batch])
        if scores is None:
            raise ModelError("this model gives no log-probabilities: the exposure of canaries cannot be told")
        found += scores
    return exposure(canary.name, canary.repeated, found[0], found[1:])


# Put together, so that no scanner takes this file for one that leaks
_SAMPLE = "ghp_" + "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xY1zA2"


def detectors() -> tuple[Detector, ...]:
    """Who looks for secrets where text comes in, tried with a sample of one just now."""
    line = f'token = "{_SAMPLE}"\n'
    record = Record("python", "token = None\n", line, Origin.FEEDBACK)
    data = isinstance(without_secrets(record), Rejection)
    kept = _SAMPLE not in redact(line)
    both = bool(secret_type(line)) and kept
    return (
        Detector("emend data build (step clean.secrets, on unless the recipe turns it off)", "data/secrets.py", data),
        Detector("files of records given straight to emend train adapter", "data/secrets.py", data),
        Detector("the journal (requests, answers, summaries, labels)", "serve/security/redaction.py", kept),
        Detector("feedback: comments when they come, patches as the journal has them", "serve/security/redaction.py",
                 kept),
        Detector("feedback that becomes training data (journal export, then emend data build)", "both", both),
    )  # fmt: skip


def _print(found: Audit) -> None:
    console = stdout()
    tables = (
        ("membership", MEMBERSHIP_HEAD, membership_rows(found)),
        ("canaries", CANARY_HEAD, canary_rows(found)),
        ("secrets on intake", DETECTOR_HEAD, detector_rows(found)),
    )
    for title, head, rows in tables:
        listed = list(rows)
        if not listed:
            continue
        told = Table(*head, title=title, title_justify="left", box=None, pad_edge=False)
        for row in listed:
            told.add_row(*(Text(shown(cell)) for cell in row))
        console.print(told)
    for text in (*found.notes, *MEANINGS):
        console.print(Text(shown(f"- {text}"), style="dim"), soft_wrap=True)
