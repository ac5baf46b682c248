"""`emend improve`: evaluate, diagnose, build, train, evaluate again; one report that shows what changed.

Owns the order of the steps, the time they have and OUT/plan.json, by which the same command goes on where it stopped.
What a step does is `improve_real`'s; what is decided between them `eval.improvement`'s.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.text import Text

from data.shards import locked
from eval.clusters import clusters
from eval.failures import Pattern, Weakness
from eval.improvement import (
    Built,
    GateRow,
    Plan,
    Row,
    Tuned,
    fitting,
    halves,
    mingled,
    plan,
    same_program,
)
from eval.improvement_effect import compare
from eval.improvement_page import report_html
from eval.improvement_report import Report, Step, effect_of, percent, report_json, report_markdown
from eval.measurement import Measurement
from eval.stats import Share
from eval.suites.rows import read_suite
from repair.errors import InputError
from serve.boundary import INTERRUPTED
from serve.commands.improve_data import MIXTURE
from serve.commands.improve_journal import Journal, open_journal
from serve.commands.improve_real import RealSteps
from serve.commands.improve_steps import AFTER, BEFORE, DIAGNOSED, Asked, Steps
from serve.printing import stderr, stdout

NOT_TAKEN = 1
_LEAST_MINUTES = 2.0  # of training: a deadline is a minute of the clock
_GATE_SECONDS = 90.0  # of the gate without its programs, both models


def run(asked: Asked, steps: Steps | None = None) -> int:
    """Exit code 0 when an adapter was taken, 1 when none was, 130 when interrupted; errors are the boundary's."""
    try:
        with locked(asked.out):
            report = improve(asked, steps or RealSteps(asked))
            for name, text in (("report.json", report_json(report)), ("report.html", report_html(report))):
                (asked.out / name).write_text(text, encoding="utf-8")
    except KeyboardInterrupt:
        stderr().print(f"interrupted; the same command goes on where it was in {asked.out}", soft_wrap=True)
        return INTERRUPTED
    if asked.as_json:
        sys.stdout.write(report_json(report))
    else:
        stdout().print(Text(report_markdown(report)), soft_wrap=True)
        stderr().print(f"report: {asked.out / 'report.html'}", soft_wrap=True)
    return 0 if report.tuned and report.tuned.taken else NOT_TAKEN


def settings_of(asked: Asked) -> dict[str, str]:
    """What a loop depends on; minutes, jobs and --force may change from start to start."""
    suites = [f"{path.name} {read_suite(path).sha256[:12]}" for path in asked.suites]
    held = asked.held_out
    return {
        "suites": ", ".join(suites),
        "held-out": f"{held.name} {read_suite(held).sha256[:12]}" if held else "half of the suites",
        "code": ", ".join(str(path) for path in asked.code),
        "licence": asked.licence,
        "model": asked.model or "embedded",
        "adapter": str(asked.adapter or ""),
        "candidates": str(asked.candidates),
        "seconds": f"{asked.seconds:g}",
        "pairs": str(asked.pairs),
        "overrides": " ".join(asked.overrides),
    }


def choose(asked: Asked) -> tuple[dict[str, tuple[Row, ...]], tuple[tuple[str, str], ...]]:
    """The rows of both halves, as many as there is time for, and those left out with the reason.

    Raises SuiteError for an unreadable suite, InputError where a half is empty.
    """
    if len({path.stem for path in (*asked.suites, *_held(asked))}) != len(asked.suites) + len(_held(asked)):
        raise InputError("two suites have the same file name; rows could not be told apart", field="suite")
    rows = [row for path in asked.suites for row in _rows(path)]
    left: list[tuple[str, str]] = []
    if asked.held_out:
        known = {same_program(row) for row in rows}
        held = _rows(asked.held_out)
        left = [(r.name, "the same program steers the loop") for r in held if same_program(r) in known]
        diagnosis = mingled(rows)
        measured = mingled([r for r in held if same_program(r) not in known])
    else:
        diagnosis, measured = halves(rows)
    if not diagnosis or not measured:
        raise InputError(
            f"{len(diagnosis)} rows to diagnose and {len(measured)} to measure: give a larger suite, or --held-out",
            field="suite",
        )
    most = fitting(asked.seconds, asked.minutes, asked.jobs)
    left += [(r.name, f"no time: {most} rows of each half fit") for r in (*diagnosis[most:], *measured[most:])]
    return {"diagnosis": diagnosis[:most], "measured": measured[:most]}, tuple(left)


def _held(asked: Asked) -> tuple[Path, ...]:
    return (asked.held_out,) if asked.held_out else ()


@dataclass(frozen=True, slots=True)
class _Loop:
    """What every step needs."""

    asked: Asked
    steps: Steps
    journal: Journal
    diagnosis: tuple[Row, ...]
    measured: tuple[Row, ...]

    def training_minutes(self) -> float:
        """What is left for training when the gate and the last evaluation have had their time.

        Raises InputError when it is too little.
        """
        seconds = self.journal.seconds
        each = seconds.get("evaluate", 0.0) / len(self.diagnosis)
        later = 2 * each * len(self.measured) + 2 * each * min(len(self.diagnosis), 60) + _GATE_SECONDS
        left = (60 * self.asked.minutes - sum(seconds.values()) - later) / 60
        if left < _LEAST_MINUTES:
            wanted = math.ceil(self.asked.minutes + _LEAST_MINUTES - left + 1)
            raise InputError(
                f"no time left to train: {sum(seconds.values()) / 60:.1f} of {self.asked.minutes:g} minutes are spent "
                f"and the gate and the last evaluation want {later / 60:.1f}; the same command with --minutes {wanted} "
                "goes on",
                field="minutes",
            )
        return left


def improve(asked: Asked, steps: Steps) -> Report:
    """The whole loop; raises InputError, SuiteError, BoundaryError, KeyboardInterrupt."""
    chosen, not_chosen = choose(asked)
    names = {half: [row.name for row in rows] for half, rows in chosen.items()}
    journal = open_journal(asked.out, settings_of(asked), names)
    kept = {row.name: row for path in (*asked.suites, *_held(asked)) for row in _rows(path)}
    halved = [tuple(kept[name] for name in journal.rows[half]) for half in ("diagnosis", "measured")]
    loop = _Loop(asked, steps, journal, *halved)
    report = _diagnosed(loop, _evaluated(loop), not_chosen)
    return _trained(loop, report) if report.plan.trains else report


def _rows(path: Path) -> Sequence[Row]:
    return [Row(path.stem, case) for case in read_suite(path).cases]


def _evaluated(loop: _Loop) -> list[Measurement]:
    """The diagnosis half. Raises InputError where none of its rows is sound."""
    with loop.journal.timed("evaluate"):
        found = loop.steps.evaluate(loop.diagnosis, {DIAGNOSED: None})[DIAGNOSED]
    if not any(one.scored for one in found):
        told = f"{found[0].id}: {found[0].reason or found[0].status}"
        raise InputError(f"no sound row in the diagnosis half, the first: {told}", field="suite")
    loop.journal.done.setdefault("evaluate", {})
    loop.journal.save()
    return found


def _diagnosed(loop: _Loop, steering: Sequence[Measurement], not_chosen: tuple[tuple[str, str], ...]) -> Report:
    """The report as far as the plan, which is made once: a row that is tried again must not change what was built."""
    value = dict(loop.journal.once("diagnose", lambda: True, lambda: plan(steering)))
    weak = (Weakness(**one) for one in value["weaknesses"])
    value["weaknesses"] = tuple(replace(one, pattern=Pattern(one.pattern)) for one in weak)
    made = Plan(**value)
    known = [m for m in steering if m.scored and m.correct is not None]
    share = Share(sum(m.correct is True for m in known), len(known))
    unsound = tuple((m.id, m.reason) for m in steering if not m.scored)
    seconds = loop.journal.seconds
    told = f"{len(steering)} rows to diagnose, {len(unsound)} of them unsound; {len(loop.measured)} kept to measure"
    steps = (
        Step("evaluate", seconds.get("evaluate", 0.0), told),
        Step("diagnose", seconds.get("diagnose", 0.0), f"{percent(share)} correct; {made.reason}"),
    )
    settings = {**loop.journal.settings, "minutes": f"{loop.asked.minutes:g}", "jobs": str(loop.asked.jobs)}
    return Report(settings, steps, share, (*unsound, *not_chosen), made, clusters=clusters(steering))


def _trained(loop: _Loop, report: Report) -> Report:
    """The rest of the loop: build, train, evaluate again."""
    journal, out = loop.journal, loop.asked.out
    there = (out / MIXTURE / "manifest.json").is_file
    built = Built(**journal.once("build", there, lambda: loop.steps.build(report.plan)))
    tuned = _tuned(loop)
    with journal.timed("evaluate again"):
        found = loop.steps.evaluate(loop.measured, {BEFORE: None, AFTER: Path(tuned.candidate)})
    journal.done.setdefault("evaluate again", {})
    journal.save()
    unsound = tuple((m.id, m.reason) for m in found[BEFORE] if not m.scored)
    compared = compare(found[BEFORE], found[AFTER])
    parts = {
        "build": f"{built.injected:,} records injected, {sum(built.train.values())} pairs drawn to train on",
        "train": f"{tuned.losses[-1][0] if tuned.losses else 0} steps; the gate: {tuned.outcome}",
        "evaluate again": effect_of(compared),
    }
    steps = (*report.steps, *(Step(name, journal.seconds.get(name, 0.0), told) for name, told in parts.items()))
    left_out = (*unsound, *report.left_out)
    return replace(report, steps=steps, left_out=left_out, built=built, tuned=tuned, comparison=compared)


def _tuned(loop: _Loop) -> Tuned:
    """The training and its gate; asked again where --force is to take what was refused."""
    known = loop.journal.done.get("train")
    again = loop.asked.force and known is not None and not known["adapter"]

    def there() -> bool:
        return not again and Path(known["candidate"]).is_dir() if known else False

    def train() -> Tuned:
        return loop.steps.train(0.0 if again else loop.training_minutes(), loop.diagnosis)

    value = dict(loop.journal.once("train", there, train))
    for name in ("losses", "heldout"):
        value[name] = tuple((int(step), float(loss)) for step, loss in value[name])
    value["rows"] = tuple(GateRow(**row) for row in value["rows"])
    value["reasons"] = tuple(value["reasons"])
    return Tuned(**value)
