"""`emend train …`: runs a recipe, compares what came of it with what it began from, says whether it may be used.

The one place where training meets evaluation: the gate's fix rate with execution is measured by `eval`.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from repair.errors import InputError
from serve.boundary import INTERRUPTED
from serve.printing import stderr, stdout
from training.config import GateConfig, Recipe, read_recipe
from training.places import base_directory, start_adapter

if TYPE_CHECKING:
    from training.adapter import Trained
    from training.flops import Cost
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
        state = train_base(recipe, _watched)
    except KeyboardInterrupt:
        return _interrupted(recipe)
    _print({"checkpoint": str(recipe.run.out), "step": state.step, "tokens": state.tokens}, as_json=asked.as_json)
    return 0


def _interrupted(recipe: Recipe) -> int:
    stderr().print(f"interrupted; the same command goes on from the last checkpoint in {recipe.run.out}")
    return INTERRUPTED


def adapter(asked: Asked) -> int:
    """Train and gate; exit code 0 when the adapter passed or was forced, 1 when it was refused, 130 interrupted."""
    from training.adapter import train_adapter

    recipe = _recipe(asked)
    try:
        trained = train_adapter(recipe, _watched)
        if not trained.first:
            return 0  # the first of several processes goes on alone
        verdict = _gate(trained)
    except KeyboardInterrupt:
        return _interrupted(recipe)
    if verdict is not None and asked.force:
        from training.verdicts import force

        verdict = force(verdict)
    return _decided(trained, verdict, asked)


def _gate(trained: Trained) -> Verdict | None:
    """The verdict on a candidate; None where the recipe holds nothing out."""
    from training.gate import run_gate
    from training.heldout import named
    from training.measure import Checkpoint

    recipe, held = trained.recipe, trained.sources.heldout_corpus
    if held is None:
        return None
    stderr().print("comparing with what the run started from on held-out examples", soft_wrap=True)
    source, whole = base_directory(recipe), recipe.run.method == "full"
    before = Checkpoint(source, start_adapter(recipe))
    after = Checkpoint(trained.candidate) if whole else Checkpoint(source, trained.candidate)
    return run_gate(before, after, named(held.pairs), recipe.gate, fixer(recipe.gate))


def fixer(config: GateConfig) -> Fixer | None:
    """Repairs the first tasks of the gate's suite and runs their tests; None where there is no suite."""
    if not config.suite:
        return None
    from eval.measure import Conditions
    from eval.run import Setup, measure_all
    from eval.suites.rows import read_suite

    cases = read_suite(Path(config.suite)).cases[: config.tasks]
    if not cases:
        raise InputError(f"gate.suite {config.suite} has no rows", field="gate.suite")

    def fixed(checkpoint: Checkpoint) -> Mapping[str, bool]:
        conditions = Conditions(
            model=str(checkpoint.source), adapter=str(checkpoint.adapter or ""), candidates=config.candidates,
            seconds=config.seconds,
        )  # fmt: skip
        setup = Setup(conditions, str(checkpoint.source), str(checkpoint.adapter) if checkpoint.adapter else None)
        found = {m.id: m for m in measure_all(setup, cases, jobs=config.jobs)}
        return {name: m.first_plausible is not None and m.correct is not False for name, m in found.items() if m.scored}

    return fixed


def _decided(trained: Trained, verdict: Verdict | None, asked: Asked) -> int:
    """Write the card and the verdict; only what may be used comes to OUT/adapter."""
    from training.card import write_card

    from training.verdicts import render, write_verdict

    accepted = verdict is None or verdict.accepted
    write_card(trained, verdict)
    if verdict is not None:
        write_verdict(verdict, trained.candidate)
    place = trained.candidate
    if accepted:
        place = trained.recipe.run.out / ADAPTER
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(trained.candidate, place)
    if asked.as_json:
        told = {"adapter": str(place), "accepted": accepted, "gate": asdict(verdict) if verdict else None}
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return 0 if accepted else REFUSED
    for line in render(verdict) if verdict else ["nothing was held out: the adapter was compared with nothing"]:
        stdout().print(Text(line), soft_wrap=True)
    hint = "" if accepted else "; it is no better than what it started from. --force takes it all the same"
    stdout().print(Text(f"{'adapter' if accepted else 'refused candidate'}: {place}{hint}"), soft_wrap=True)
    return 0 if accepted else REFUSED


def _print(values: Mapping[str, object], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(values, indent=2) + "\n")
        return
    for name, value in values.items():
        stdout().print(Text(f"{name}: {value}"), soft_wrap=True)
