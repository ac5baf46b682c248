"""`emend train …`: runs a recipe, compares what came of it with what it began from, says whether it may be used.

The one place where training meets evaluation: the gate's fix rate with execution is measured by `eval`.
"""

from __future__ import annotations

import errno
import json
import math
import shutil
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from rich.text import Text

from repair.errors import InputError, ModelError
from serve.boundary import INTERRUPTED
from serve.printing import stderr, stdout
from training.config import GateConfig, Recipe, read_recipe
from training.places import base_directory, start_adapter

if TYPE_CHECKING:
    from eval.run import Setup
    from training.adapter import Trained
    from training.card import CardFacts, DataUsed
    from training.flops import Cost
    from training.judged import Judging
    from training.measure import Checkpoint, Fixer
    from training.verdicts import Verdict
    from training.watch import Observer

ADAPTER = "adapter"  # folder of a result that passed, or was forced
REFUSED = 1


@dataclass(frozen=True, slots=True)
class Asked:
    """The command's arguments, as they were typed."""

    recipe: Path
    overrides: tuple[str, ...]
    force: bool = False
    profile: bool = False
    as_json: bool = False


def _recipe(asked: Asked) -> Recipe:
    extra = ("watch.profile=true",) if asked.profile else ()
    return read_recipe(asked.recipe, (*asked.overrides, *extra))


def _watched(recipe: Recipe, start: int, cost: Cost | None) -> Observer:
    from training.watch import observers

    return observers(recipe, recipe.run.steps, cost=cost, console=stderr(), start=start)


def base(asked: Asked) -> int:
    """Pre-train; exit code 0 when the recipe's end was reached or its `stop` file found, 130 when interrupted."""
    from training.pretrain import train_base

    recipe = _recipe(asked)
    try:
        with _room(recipe):
            state = train_base(recipe, _watched)
    except KeyboardInterrupt:
        return _interrupted(recipe)
    _print({"checkpoint": str(recipe.run.out), "step": state.step, "tokens": state.tokens}, as_json=asked.as_json)
    return 0


def _interrupted(recipe: Recipe) -> int:
    told = f"interrupted; the same command goes on from the last checkpoint in {recipe.run.out}"
    stderr().print(Text(told), soft_wrap=True)
    return INTERRUPTED


def adapter(asked: Asked) -> int:
    """Train and gate; exit code 0 when the adapter passed or was forced, 1 when it was refused, 130 interrupted."""
    from training.adapter import train_adapter

    recipe = _recipe(asked)
    try:
        with _room(recipe):
            fixes = fixer(recipe.gate)  # before the training, not after it: the suite may be unreadable
            trained = train_adapter(recipe, _watched)
            if not trained.first:
                return 0  # the first of several processes goes on alone
            verdict = _gate(trained, fixes)
            if verdict is not None and asked.force:
                from training.verdicts import force

                verdict = force(verdict)
            return _decided(trained, verdict, asked)
    except KeyboardInterrupt:
        return _interrupted(recipe)


@contextmanager
def _room(recipe: Recipe) -> Generator[None]:
    """The full disk as an error of the user's: what is kept beside checkpoints (figures, cards) may meet it first."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise ModelError(
            f"cannot write to {recipe.run.out} ({error.strerror}): make room, then the same command goes on from the "
            "last checkpoint, which is whole"
        ) from error


def _gate(trained: Trained, fixes: Fixer | None) -> Verdict | None:
    """The verdict on a candidate; None where the recipe holds nothing out."""
    from training.gate import run_gate
    from training.heldout import named
    from training.measure import Checkpoint

    recipe, held = trained.recipe, trained.sources.heldout_corpus
    if held is None:
        return None
    stderr().print("comparing with what the run started from on held-out examples", soft_wrap=True)
    before = Checkpoint(base_directory(recipe), start_adapter(recipe))
    return run_gate(before, _after(trained), named(held.pairs), recipe.gate, fixes)


def _after(trained: Trained) -> Checkpoint:
    """What was trained: an adapter of the base, or whole weights."""
    from training.measure import Checkpoint

    if trained.recipe.run.method == "full":
        return Checkpoint(trained.candidate)
    return Checkpoint(base_directory(trained.recipe), trained.candidate)


def fixer(config: GateConfig) -> Fixer | None:
    """Repairs the first tasks of the gate's suite with each model in turn; None where there is no suite."""
    if not config.suite:
        return None
    from eval.run import alternating, measure_each
    from eval.suites.rows import read_suite

    cases = read_suite(Path(config.suite)).cases[: config.tasks]
    if not cases:
        raise InputError(f"gate.suite {config.suite} has no rows", field="gate.suite")

    def fixed(checkpoints: Sequence[Checkpoint]) -> Sequence[Mapping[str, bool]]:
        setups = [_setup(one, config) for one in checkpoints]
        order = alternating(range(len(setups)), cases)
        found: list[dict[str, bool]] = [{} for _ in setups]
        work = [(setups[number], case) for number, case in order]
        for (number, case), one in zip(order, measure_each(work, jobs=config.jobs), strict=True):
            if one.scored:
                found[number][case.id] = one.first_plausible is not None and one.correct is not False
        known = set(found[0]).intersection(*found)  # where a sandbox failed for one of them, the task compares nothing
        return [{name: by_id[name] for name in by_id if name in known} for by_id in found]

    return fixed


def _setup(checkpoint: Checkpoint, config: GateConfig) -> Setup:
    """What a process needs to repair a task of the gate."""
    from eval.measurement import Conditions
    from eval.run import Setup, threads_each

    model, adapter = str(checkpoint.source), str(checkpoint.adapter) if checkpoint.adapter else None
    conditions = Conditions(
        model=model, adapter=adapter or "", candidates=config.candidates, seconds=config.seconds
    )  # fmt: skip
    return Setup(conditions, model, adapter, threads=threads_each(config.jobs))


def _decided(trained: Trained, verdict: Verdict | None, asked: Asked) -> int:
    """Write the card and the verdict; only what may be used comes to OUT/adapter."""
    from training.card import write_card
    from training.verdicts import render, to_json, write_verdict

    accepted = verdict is None or verdict.accepted
    write_card(_facts(trained, verdict), trained.candidate)
    if verdict is not None:
        write_verdict(verdict, trained.candidate)
    place = trained.candidate
    if accepted:
        from training.saving import replaced

        place = trained.recipe.run.out / ADAPTER
        with replaced(place) as partial:
            shutil.copytree(trained.candidate, partial, dirs_exist_ok=True)
    if asked.as_json:
        told = {"adapter": str(place), "accepted": accepted, "gate": json.loads(to_json(verdict)) if verdict else None}
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return 0 if accepted else REFUSED
    for line in render(verdict) if verdict else ["nothing was held out: the adapter was compared with nothing"]:
        stdout().print(Text(line), soft_wrap=True)
    hint = "" if accepted else "; --force takes it all the same"
    stdout().print(Text(f"{'adapter' if accepted else 'candidate, not taken'}: {place}{hint}"), soft_wrap=True)
    return 0 if accepted else REFUSED


def _facts(trained: Trained, verdict: Verdict | None) -> CardFacts:
    from training.card import CardFacts, Spent
    from training.environment import hardware, versions

    recipe, state = trained.recipe, trained.state
    spent = Spent(state.seconds, state.step, state.tokens, hardware(), versions())
    base, date = recipe.run.base or "emend-embedded", datetime.now(UTC).date().isoformat()
    return CardFacts(recipe.run.out.name, base, recipe, _data_used(trained), spent, verdict=verdict, date=date)


def _data_used(trained: Trained) -> tuple[DataUsed, ...]:
    from training.card import DataUsed

    corpus = trained.sources.corpus
    if corpus is None:
        return ()
    counts, alone = corpus.counts, len(corpus.origins) == 1
    return tuple(
        DataUsed(
            one.name,
            one.sha256,
            len(corpus) if alone else one.records,
            _licences(Path(one.path)),
            0 if number else counts.too_long,
        )
        for number, one in enumerate(corpus.origins)
    )


def _licences(dataset: Path) -> Mapping[str, int]:
    """Records by licence, as the dataset's manifest counts them; nothing for a loose file."""
    try:
        return json.loads((dataset / "manifest.json").read_text(encoding="utf-8"))["counts"]["licence"]
    except (OSError, ValueError, KeyError):
        return {}


def trial(recipe: Recipe, report: Callable[[int, float], None]) -> float:
    """One trial of a search: train, then the figure that `tune.goal` names. Runs in a process of its own."""
    from training.adapter import train_adapter
    from training.heldout import choose, named
    from training.measure import measure_model

    goal, fixes = recipe.tune.goal, None
    if goal.startswith("fix@"):
        fixes = fixer(replace(recipe.gate, candidates=int(goal[4:])))
        if fixes is None:
            raise InputError(f"tune.goal={goal} wants programs with tests in gate.suite", field="gate.suite")
    trained = train_adapter(recipe, lambda known, _start, _cost: Reporting(known.run.out, report))
    held = trained.sources.heldout_corpus
    if goal == "loss":
        if not math.isfinite(trained.state.best):
            raise InputError(
                "tune.goal=loss wants held-out examples: data.heldout or data.heldout_split", field="tune.goal"
            )
        return trained.state.best
    if fixes is not None:
        (found,) = fixes([_after(trained)])
        if not found:
            raise InputError(f"gate.suite {recipe.gate.suite}: no program could be used", field="gate.suite")
        return fmean(found.values())
    if held is None:
        raise InputError(f"tune.goal={goal} wants data.dataset with a held-out split", field="tune.goal")
    return measure_model(_after(trained), choose(named(held.pairs), recipe.gate.examples)).figures[goal]


class Reporting:
    """Keeps the metrics of a trial and tells the search its held-out losses."""

    def __init__(self, out: Path, report: Callable[[int, float], None]) -> None:
        from training.watch import METRICS, JsonLines

        self._lines, self._report = JsonLines(out / METRICS), report

    def record(self, record: Mapping[str, object]) -> None:
        """Keep one record; the search may end the trial here."""
        self._lines.record(record)
        step, heldout = record.get("step"), record.get("heldout")
        if isinstance(step, int) and step > 0 and isinstance(heldout, float):  # all trials begin alike
            self._report(step, heldout)

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


def tune(asked: Asked, *, ray: str) -> int:
    """Search settings; exit code 0 when trials or time are spent, 130 when interrupted (the study is kept)."""
    from training.tune import tune as search

    recipe = _recipe(asked)
    found = search(recipe, trial, ray=ray, tell=lambda text: stderr().print(Text(text), soft_wrap=True))
    _print(
        {
            "trials": len(found.trials), "best": found.best.value if found.best else None,
            "recipe": str(found.best_recipe or ""), "report": str(found.page),
        },
        as_json=asked.as_json,
    )  # fmt: skip
    return INTERRUPTED if found.ended == "interrupted" else 0


def export(source: str, to: str, out: Path, *, base: str, dtype: str, force: bool) -> int:
    """Write a model or an adapter in another form."""
    from training.export import export_model

    done = export_model(source, to, out, base=base, dtype=dtype, force=force)
    error = f", relative weight error {done.weight_error:.2%}" if done.weight_error is not None else ""
    stdout().print(Text(f"{done.out}: {done.dtype}, {done.bytes / 1e6:.1f} MB{error}"), soft_wrap=True)
    return 0


def judging(candidates: int, seconds: float, each: int) -> Judging:
    """What is spent on each program."""
    from training.judged import Judging

    return Judging(candidates, seconds, each)


def pairs(suite: Path, out: Path, judging: Judging, *, model: str | None, adapter: Path | None, minimum: str) -> int:
    """Repair programs with tests and keep passing candidates against failing ones, for `objective.preference`."""
    from repair.models.select import load_model
    from repair.sandbox import Tier
    from repair.sandboxes.select import find_sandbox
    from training.judged import judge_programs, read_programs
    from training.preference import write_pairs

    programs = read_programs(suite)
    asked = load_model(model, adapter=str(adapter) if adapter else None)
    found = []
    for number, one in enumerate(judge_programs(programs, asked, find_sandbox(Tier(minimum)), judging), 1):
        found += one.pairs
        note = one.reason or f"{len(one.pairs)} pairs"
        stderr().print(Text(f"{number} of {len(programs)}: {one.id}: {note}"), soft_wrap=True)
    if not found:
        raise InputError(f"{suite}: no program has both a passing and a failing candidate", field="suite")
    _print({"pairs": write_pairs(out, found), "output": str(out)}, as_json=False)
    return 0


def _print(values: Mapping[str, object], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(values, indent=2) + "\n")
        return
    for name, value in values.items():
        stdout().print(Text(f"{name}: {value}"), soft_wrap=True)
