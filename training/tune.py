"""`train tune`: a search over settings of a recipe, for the goal that the user names.

Owns the order of things: ask the study for settings, run a trial, pass its reports to the pruner, tell the study what
came of it; and what is left in `run.out`: study.db, trial-NNN/, best.toml, report.html. Must not know how a trial
trains and measures (`run_trial` is given), nor where it runs (a `Crew`). Only this process writes the study, so that
SQLite never waits for another writer and a worker that dies cannot leave it half told.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from repair.errors import InputError, ModelError
from training.config import Recipe, TuneConfig
from training.recipe_text import overridden, render_recipe
from training.study import Tried, abandon, chosen, fail, folder_of, importances, minimised, opened, space_of, tried
from training.study_page import View, render
from training.trials import Crew, Cut, Event, Failed, Finished, Processes, Reported, RunTrial

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import Trial

BEST, PAGE = "best.toml", "report.html"
_ALIKE, _ANY = 3, 10  # failures in a row, of one kind or of any, after which going on is a waste
_WAIT = 0.5  # seconds until the deadline is looked at again


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a search has found so far. `ended` is "trials", "deadline" or "interrupted"."""

    trials: tuple[Tried, ...]
    best: Tried | None
    best_recipe: Path | None
    page: Path
    ended: str


def tune(recipe: Recipe, run_trial: RunTrial, *, ray: str = "", tell: Callable[[str], None] = lambda _: None) -> Tuned:
    """Search until `tune.trials` trials are finished or pruned, counting those of earlier searches in `run.out`.

    `ray` is the address of a cluster, or "local"; `tell` gets a line for each trial that ends. Ctrl-C and the deadline
    return what there is. Raises InputError for a space, recipe or study that does not fit; after three failures in a
    row with the same error, that error.
    """
    require("optuna", "plotly")
    space_of(recipe)  # before anything is written
    with opened(recipe) as study:
        search = _Search(study, recipe, tell)
        try:
            with _crew(recipe, run_trial, ray) as crew:
                ended = search.run(crew)
        except KeyboardInterrupt:
            ended = "interrupted"
        finally:
            abandon(study)
            left = _leave(study, recipe)
    return replace(left, ended=ended)


def require(*packages: str) -> None:
    """Raise InputError where a package is missing: before the first trial, not after the last."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise InputError(f"a search needs {' and '.join(missing)}: pip install 'emend[train]'", field="tune")


@contextmanager
def _crew(recipe: Recipe, run_trial: RunTrial, ray: str) -> Generator[Crew]:
    if ray:
        from training.trials_ray import RayWorkers

        crew: Crew = RayWorkers(run_trial, ray, recipe.tune.jobs, recipe.run.threads)
    else:
        crew = Processes(run_trial)
    try:
        yield crew
    finally:
        crew.close()


@dataclass(slots=True)
class _Flight:
    """A trial on its way: which of `jobs` it is, and the last step it told of."""

    trial: Trial
    place: int
    step: int = -1


@dataclass(slots=True)
class _Search:
    study: Study
    recipe: Recipe
    tell: Callable[[str], None]
    flights: dict[int, _Flight] = field(default_factory=dict[int, _Flight])
    failures: list[str] = field(default_factory=list[str])  # since the last trial that did not fail

    def run(self, crew: Crew) -> str:
        """Until enough trials are done, or no more may begin; the running ones come to their end."""
        config, began = self.recipe.tune, time.monotonic()
        while True:
            late = config.minutes > 0 and time.monotonic() - began > 60 * config.minutes
            while not late and len(self.flights) < config.jobs and self._done() + len(self.flights) < config.trials:
                self._start(crew)
            if not self.flights:
                return "deadline" if self._done() < config.trials else "trials"
            for event in crew.events(_WAIT):
                self._take(crew, event)

    def _done(self) -> int:
        return sum(t.state.name in ("COMPLETE", "PRUNED") for t in self.study.get_trials(deepcopy=False))

    def _start(self, crew: Crew) -> None:
        trial = self.study.ask(space_of(self.recipe))
        place = min(set(range(self.recipe.tune.jobs)) - {flight.place for flight in self.flights.values()})
        out = self.recipe.run.out / f"trial-{folder_of(trial):03d}"
        self.flights[trial.number] = _Flight(trial, place)
        try:
            crew.start(trial.number, trial_recipe(self.recipe, trial.params, out, place))
        except InputError as error:  # settings that are possible alone need not be possible together
            self._end(Failed(trial.number, str(error), usage=True))

    def _take(self, crew: Crew, event: Event) -> None:
        if not isinstance(event, Reported):
            self._end(event)
            return
        flight = self.flights[event.number]
        if event.step > flight.step:  # the last evaluation of a run may be told twice
            flight.step = event.step
            flight.trial.report(event.loss if minimised(self.recipe) else -event.loss, event.step)
        crew.answer(event.number, prune=flight.trial.should_prune())

    def _end(self, outcome: Finished | Cut | Failed) -> None:
        from optuna.trial import TrialState

        trial = self.flights.pop(outcome.number).trial
        settings = ", ".join(f"{key}={value}" for key, value in trial.params.items())
        if isinstance(outcome, Failed):
            fail(self.study, trial, outcome.error)
            self.tell(f"trial {outcome.number} failed: {outcome.error} ({settings})")
            self._count(outcome)
            return
        self.failures.clear()
        if isinstance(outcome, Cut):
            self.study.tell(trial, state=TrialState.PRUNED)
            self.tell(f"trial {outcome.number} ended early ({settings})")
            return
        self.study.tell(trial, outcome.value)
        best = self.study.best_trial
        told = f"{self.recipe.tune.goal} {outcome.value:.4g} ({settings}); best {best.value:.4g} by {best.number}"
        self.tell(f"trial {outcome.number}: {told}")

    def _count(self, failed: Failed) -> None:
        """Raise when the same has gone wrong too often; numbers (of trials, steps, bytes) do not make it another."""
        self.failures.append(re.sub(r"\d+", "0", failed.error))
        last = self.failures[-_ALIKE:]
        if (len(last) == _ALIKE and len(set(last)) == 1) or len(self.failures) >= _ANY:
            kind = InputError if failed.usage else ModelError
            count = _ALIKE if len(set(last)) == 1 else len(self.failures)
            raise kind(f"{count} trials in a row failed, the last: {failed.error}")


def trial_recipe(recipe: Recipe, params: Mapping[str, object], out: Path, place: int) -> Recipe:
    """The recipe of one trial: its settings, its directory, its share of the cores, its GPU where there are several."""
    made = overridden(replace(recipe, tune=TuneConfig()), chosen(recipe, params))
    jobs, run = recipe.tune.jobs, made.run
    threads = max(1, (run.threads or os.cpu_count() or 1) // jobs)
    return replace(made, run=replace(run, out=out, threads=threads, device=_device(run.device, jobs, place)))


def _device(device: str, jobs: int, place: int) -> str:
    if device != "auto" or jobs == 1:
        return device
    import torch

    count = torch.cuda.device_count()
    return f"cuda:{place % count}" if count > 1 else device


def _leave(study: Study, recipe: Recipe) -> Tuned:
    """Write the best recipe and the page."""
    out, lower = recipe.run.out, minimised(recipe)
    trials = tried(study, flip=not lower)
    done = [trial for trial in trials if trial.value is not None]
    best = min(done, key=lambda t: (t.value or 0.0) * (1 if lower else -1), default=None)
    text, path = "", None
    if best:
        base = replace(recipe, tune=TuneConfig(), run=replace(recipe.run, out=out / "best"))
        header = f"# trial {best.number} of {len(trials)}: {recipe.tune.goal} {best.value:.6g}\n\n"
        text, path = (
            header + render_recipe(overridden(base, chosen(recipe, best.params)), tuple(best.params)),
            out / BEST,
        )
        _replace(path, text)
    keys = tuple(recipe.tune.space)
    logs = frozenset(key for key, dimension in recipe.tune.space.items() if dimension.log and not dimension.choices)
    _replace(out / PAGE, render(View(str(out), recipe.tune.goal, lower, keys, logs, trials, importances(study), text)))
    return Tuned(trials, best, path, out / PAGE, "")


def _replace(path: Path, text: str) -> None:
    """Whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
