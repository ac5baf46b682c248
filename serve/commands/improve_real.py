"""The steps of `emend improve` as they are: what each does with evaluation, data and training.

Owns the files of each step in OUT. Must not know their order nor which are done already (`improve`).
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from eval.improvement import Built, GateRow, Plan, Row, Tuned, labelled
from eval.measurement import Conditions, Measurement
from repair.errors import InputError
from serve.boundary import INTERRUPTED
from serve.commands.improve_data import FAULTS, MIXTURE, faults_toml, mixed, permissive
from serve.commands.improve_steps import AFTER, BEFORE, Asked, Runs
from serve.oracles import Judging
from serve.printing import stderr

if TYPE_CHECKING:
    from eval.run import Setup
    from training.config import Recipe
    from training.verdicts import Row as VerdictRow

TRAINING = "train"  # folder in OUT
DIAGNOSIS = "diagnosis.jsonl"  # the gate's programs: they steered, they neither train nor measure
_OURS = ("run.out", "run.base", "run.adapter", "data.dataset")  # settings that the loop itself makes
_COLUMNS = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())


class RealSteps:
    """The steps as they are. Raises InputError at once for what would fail only after the evaluation."""

    def __init__(self, asked: Asked) -> None:
        self._asked, self._out = asked, asked.out
        if asked.model is not None and (asked.model == "none" or asked.model.startswith(("http://", "https://"))):
            raise InputError(f"--model {asked.model} cannot be trained: give a directory or a hub id", field="model")
        ours = next((o for o in asked.overrides if o.partition("=")[0].strip() in _OURS), None)
        if ours:
            raise InputError(f"{ours}: the loop sets {', '.join(_OURS)} itself", field=ours.partition("=")[0])
        self._recipe(10, has_programs=False)  # an unknown setting is told before the first hour
        self._code = permissive(asked.code, asked.licence, self._out)

    def evaluate(self, rows: Sequence[Row], runs: Runs) -> dict[str, list[Measurement]]:
        """Measure what the results files do not hold yet."""
        from eval.results import open_results, read_results
        from eval.run import alternating, measure_each

        setups = {name: self._setup(adapter) for name, adapter in runs.items()}
        paths = {name: self._out / f"{name}.jsonl" for name in runs}
        found = {
            name: {m.id: m for m in read_results(paths[name], setup.conditions).values()}
            for name, setup in setups.items()
        }
        left = [(name, row) for name, row in alternating(tuple(runs), rows) if row.name not in found[name]]
        work = [(setups[name], replace(row.case, id=row.name)) for name, row in left]
        with contextlib.ExitStack() as files, Progress(*_COLUMNS, console=stderr()) as bars:
            kept = {n: files.enter_context(open_results(paths[n], setup.conditions)) for n, setup in setups.items()}
            total = len(rows) * len(runs)
            task = bars.add_task(f"evaluate: {', '.join(runs)}", total=total, completed=total - len(left))
            for (name, row), one in zip(left, measure_each(work, jobs=self._asked.jobs), strict=True):
                kept[name].add(row.suite, one)
                found[name][one.id] = one
                bars.advance(task)
        return {name: [labelled(row, found[name][row.name]) for row in rows] for name in runs}

    def _setup(self, adapter: Path | None) -> Setup:
        from eval.run import Setup, threads_each
        from eval.weights import weights_digest

        asked, chosen = self._asked, str(adapter or self._asked.adapter or "") or None
        tier = Judging(asked.sandbox_minimum, asked.unsafe_no_sandbox).sandbox().tier
        conditions = Conditions(
            model=asked.model or "embedded",
            adapter=chosen or "",
            weights=weights_digest(asked.model, chosen),
            candidates=asked.candidates,
            seconds=asked.seconds,
            tier=tier.value,
        )
        unsafe = asked.unsafe_no_sandbox
        return Setup(conditions, asked.model, chosen, asked.sandbox_minimum, unsafe, threads_each(asked.jobs))

    def build(self, plan: Plan) -> Built:
        """`emend data build` of OUT/faults.toml, then the mixture drawn of it."""
        from serve.commands import data

        path, folder = self._out / "faults.toml", self._out / FAULTS
        suites = [*self._asked.suites, *([self._asked.held_out] if self._asked.held_out else [])]
        path.write_text(faults_toml(self._code, suites), encoding="utf-8")
        _quietly(lambda: data.run("build", data.Asked(path, (), folder, self._asked.jobs, "", as_json=False)))
        return mixed(folder, self._out / MIXTURE, plan, self._asked.pairs)

    def train(self, minutes: float, programs: Sequence[Row]) -> Tuned:
        """`emend train adapter` of OUT/adapter.toml, with its gate."""
        from serve.commands import train
        from training.loop import STOP
        from training.recipe_text import whole_recipe

        out = self._out / TRAINING
        _write_suite(self._out / DIAGNOSIS, programs)
        path = self._out / "adapter.toml"
        recipe = self._recipe(minutes or 10, has_programs=bool(programs))
        path.write_text(whole_recipe(recipe), encoding="utf-8")
        if minutes:
            for name in (BEFORE, AFTER):  # together, or not at all
                (self._out / f"{name}.jsonl").unlink(missing_ok=True)
        else:
            (out / STOP).touch()
        try:
            _quietly(lambda: train.adapter(train.Asked(path, (), force=self._asked.force)))
        finally:
            (out / STOP).unlink(missing_ok=True)
        return tuned(out)

    def _recipe(self, minutes: float, *, has_programs: bool) -> Recipe:
        from training.config import parse_recipe
        from training.recipe_text import toml

        asked, out = self._asked, self._out
        shipped = resources.files("training").joinpath("recipes/adapter-embedded.toml").read_text("utf-8")
        deadline = datetime.now() + timedelta(minutes=minutes)
        start = str(asked.adapter) if asked.adapter else "" if asked.model else "embedded"
        settings: dict[str, object] = {
            "data.dataset": [str(out / MIXTURE)], "data.limit": 0, "run.out": str(out / TRAINING),
            "run.base": asked.model or "", "run.adapter": start, "run.deadline": f"{deadline:%H:%M}",
            "run.decay_minutes": min(2.0, minutes / 4), "gate.jobs": asked.jobs,
            "gate.suite": str(out / DIAGNOSIS) if has_programs else "",
        }  # fmt: skip
        return parse_recipe(shipped, [*(f"{k}={toml(v)}" for k, v in settings.items()), *asked.overrides])


def _quietly(command: Any) -> None:  # noqa: ANN401 - a command of ours without arguments
    """Run a command whose results are not this command's: they go to stderr. Raises KeyboardInterrupt."""
    with contextlib.redirect_stdout(sys.stderr):
        code = command()
    if code == INTERRUPTED:
        raise KeyboardInterrupt


def _write_suite(path: Path, rows: Sequence[Row]) -> None:
    cases = [{k: v for k, v in asdict(replace(row.case, id=row.name)).items() if v is not None} for row in rows]
    path.write_text("".join(json.dumps(case, ensure_ascii=True) + "\n" for case in cases), encoding="utf-8")


def tuned(out: Path) -> Tuned:
    """What a run of `emend train adapter` left."""
    from serve.commands.train import ADAPTER
    from training.adapter import CANDIDATE
    from training.verdicts import read_verdict
    from training.watch import METRICS

    verdict, adapter = read_verdict(out / CANDIDATE), out / ADAPTER
    records = [json.loads(line) for line in (out / METRICS).read_text("utf-8").split("\n") if line.endswith("}")]
    return Tuned(
        candidate=str(out / CANDIDATE),
        adapter=str(adapter) if verdict.accepted else "",
        outcome=verdict.outcome,
        goal=verdict.goal,
        forced=verdict.forced,
        reasons=verdict.reasons,
        rows=tuple(_gate_row(row) for row in verdict.rows),
        losses=_series(records, "loss"),
        heldout=_series(records, "heldout"),
    )


def _gate_row(row: VerdictRow) -> GateRow:
    numbers = (row.base, row.tuned, row.difference, row.low, row.high)
    base, other, difference, low, high = (_finite(value) for value in numbers)
    return GateRow(row.figure, base, other, difference, low, high, row.examples, row.verdict)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _series(records: Sequence[Mapping[str, Any]], name: str) -> tuple[tuple[int, float], ...]:
    """(step, value), the last where a step was done again after an interruption."""
    found = {int(r["step"]): float(cast("float", r[name])) for r in records if r.get(name) is not None}
    return tuple(sorted(found.items()))
