"""The study of a search: which settings were tried with what result, kept by Optuna in one SQLite file.

Owns everything that is Optuna's: the space, the sampler (TPE, Bergstra et al. 2011, multivariate), the pruner (worse
than the median at the same step, Golovin et al. 2017) and what a killed search left behind. Must not know how trials
run. One search at a time has the file.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, get_type_hints

import numpy as np

from repair.errors import InputError
from training.config import Dimension, Recipe, TuneConfig, WatchConfig
from training.recipe_text import overridden, render_recipe, toml

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.pruners import BasePruner
    from optuna.trial import FrozenTrial, Trial

FILE = "study.db"
NAME = "emend"
INTERRUPTED = "interrupted"
_ERROR, _RECIPE, _GOAL, _AGAIN, _FOLDER = "error", "recipe", "goal", "again", "folder"
_RANDOM = 10  # trials before the sampler begins to learn, at most
_BEFORE_PRUNING = 4  # finished trials whose median means something


@dataclass(frozen=True, slots=True)
class Tried:
    """One trial, told without Optuna. `state` is finished, pruned, failed, interrupted, running or waiting."""

    number: int
    state: str
    value: float | None  # of the goal, where it finished
    seconds: float | None
    params: Mapping[str, object]
    curve: tuple[tuple[int, float], ...] = ()  # (step, held-out loss)
    error: str = ""


def minimised(recipe: Recipe) -> bool:
    """Whether a smaller goal is better."""
    return recipe.tune.goal == "loss"


_REWEIGHED = ("data.row_length", "data.background", "data.heldout", "data.heldout_split", "data.dataset")


def _reweighs(key: str) -> bool:
    """Whether a setting changes what the held-out loss means."""
    return key.startswith("objective.") or key in _REWEIGHED


def space_of(recipe: Recipe) -> dict[str, BaseDistribution]:
    """What may be tried, checked against the recipe: each end of a range and each choice must be possible in it.

    Raises InputError: nothing to search, an unknown setting (the nearest is named), a wrong type, an impossible value.
    """
    if not recipe.tune.space:
        raise InputError('tune.space is empty: name settings, as in [tune.space] "optim.lr" = { low, high, log }')
    plain = replace(recipe, tune=TuneConfig())
    found: dict[str, BaseDistribution] = {}
    for key, dimension in recipe.tune.space.items():
        if key.split(".")[0] in ("tune", "watch", "gate") or key == "run.out":
            raise InputError(f"tune.space: {key} does not change what a run learns", field="tune.space")
        if recipe.tune.goal == "loss" and _reweighs(key):
            raise InputError(
                f"tune.space: {key} changes what the held-out loss means; take tune.goal=exact@1, location@1 or fix@K",
                field="tune.goal",
            )
        for value in _ends(key, dimension, recipe):
            overridden(plain, {key: value})
        found[key] = _distribution(key, dimension)
    return found


def _whole(key: str) -> bool:
    """Whether a setting takes whole numbers; unknown ones do not."""
    section, _, name = key.partition(".")
    kind = get_type_hints(Recipe).get(section)
    return kind is not None and get_type_hints(kind).get(name) is int


def _ends(key: str, dimension: Dimension, recipe: Recipe) -> tuple[object, ...]:
    if dimension.choices:
        return dimension.choices
    section, _, name = key.partition(".")
    if isinstance(getattr(getattr(recipe, section, None), name, None), bool | str | tuple | Path):
        raise InputError(f"tune.space: {key} is no number: give choices", field="tune.space")
    if not _whole(key):
        return (dimension.low, dimension.high)
    if dimension.low % 1 or dimension.high % 1:
        raise InputError(f"tune.space: {key} takes whole numbers only", field="tune.space")
    return (int(dimension.low), int(dimension.high))


def _distribution(key: str, dimension: Dimension) -> BaseDistribution:
    from optuna import distributions

    if dimension.choices:
        return distributions.CategoricalDistribution([_plain(choice) for choice in dimension.choices])
    if _whole(key):
        return distributions.IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return distributions.FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def chosen(recipe: Recipe, params: Mapping[str, object]) -> dict[str, object]:
    """The settings that a trial's parameters stand for."""
    found = dict(params)
    for key, dimension in recipe.tune.space.items():
        if key in params and dimension.choices:
            found[key] = next((c for c in dimension.choices if _plain(c) == params[key]), params[key])
    return found


def _plain(choice: object) -> bool | int | float | str | None:
    """A choice as a study keeps it: lists become their text."""
    return choice if isinstance(choice, bool | int | float | str) else toml(choice)


@contextmanager
def opened(recipe: Recipe) -> Generator[Study]:
    """The study under `run.out`, new or gone on with; what was running when a search was killed waits again.

    Raises InputError: another search has it, or it is of another goal, recipe or space.
    """
    import optuna
    from optuna.storages import RDBStorage

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    out = recipe.run.out
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".study.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"another search is running in {out}: choose another run.out", field="run.out") from error
        _write_ahead(out / FILE)
        storage = RDBStorage(f"sqlite:///{out / FILE}", engine_kwargs={"connect_args": {"timeout": 60}})
        try:
            study = optuna.create_study(
                storage=storage, study_name=NAME, direction="minimize" if minimised(recipe) else "maximize",
                load_if_exists=True, pruner=_pruner(recipe),
            )  # fmt: skip
            _check(study, recipe)
            abandon(study)
            # the seed follows the trials: with the same one, a study that goes on would draw its first trials again
            seed = np.random.SeedSequence((recipe.tune.seed, len(study.trials))).generate_state(1)[0]
            random = max(1, min(_RANDOM, recipe.tune.trials // 2))
            study.sampler = optuna.samplers.TPESampler(seed=int(seed), n_startup_trials=random, constant_liar=True)
            yield study
        finally:
            storage.remove_session()
            storage.engine.dispose()


def _write_ahead(path: Path) -> None:
    """SQLite's write-ahead log: a kill at any moment leaves a whole file, and readers do not block."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    except sqlite3.Error as error:
        raise InputError(f"{path} is no study ({error}): remove it or choose another run.out") from error


def _pruner(recipe: Recipe) -> BasePruner:
    from optuna import pruners

    # by losses that do not measure the same, the wrong trials would be ended
    if not recipe.tune.prune or any(_reweighs(key) for key in recipe.tune.space):
        return pruners.NopPruner()
    # while the learning rate still rises, losses say little
    return pruners.MedianPruner(n_startup_trials=_BEFORE_PRUNING, n_warmup_steps=recipe.optim.warmup)


def _check(study: Study, recipe: Recipe) -> None:
    """That results of this recipe can stand beside those in the study; without any, it takes this recipe."""
    from optuna.distributions import check_distribution_compatibility

    run = replace(recipe.run, threads=0, device="auto", out=Path())
    text = render_recipe(replace(recipe, tune=TuneConfig(), watch=WatchConfig(), run=run))
    done = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name in ("COMPLETE", "PRUNED")]
    for name, now in ((_GOAL, recipe.tune.goal), (_RECIPE, text)):
        before = str(study.user_attrs.get(name, now))
        if done and before != now:
            differing = "; ".join(sorted(set(before.split("\n")) ^ set(now.split("\n"))))
            message = f"{recipe.run.out / FILE} is a search with another {name} ({differing}): choose another run.out"
            raise InputError(message, field="run.out")
        study.set_user_attr(name, now)
    for key, wanted in space_of(recipe).items():
        for old in [trial.distributions[key] for trial in done if key in trial.distributions]:
            try:
                check_distribution_compatibility(old, wanted)
            except ValueError as error:
                message = f"tune.space: {key} was searched otherwise before ({error}): choose another run.out"
                raise InputError(message, field="tune.space") from error


def fail(study: Study, trial: Trial, error: str) -> None:
    """Record that a trial broke, and why."""
    from optuna.trial import TrialState

    trial.set_user_attr(_ERROR, error)
    study.tell(trial, state=TrialState.FAIL)


def _interrupted(trial: FrozenTrial) -> bool:
    """What failed by itself has told why."""
    return trial.state.name == "FAIL" and _ERROR not in trial.user_attrs


def abandon(study: Study) -> None:
    """Mark trials that nobody runs any more as failed, and put their settings first in the line."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    trials = study.get_trials(deepcopy=False)
    again = {trial.user_attrs.get(_AGAIN) for trial in trials}
    for trial in trials:  # in two steps: a kill between them is made good by the next search
        if _interrupted(trial) and trial.number not in again:
            known = {_AGAIN: trial.number, _FOLDER: folder_of(trial)}
            study.enqueue_trial(dict(trial.params), user_attrs=known)


def folder_of(trial: Trial | FrozenTrial) -> int:
    """Number of the directory in which a trial runs: that of the interrupted one it repeats, with its checkpoint."""
    return int(trial.user_attrs.get(_FOLDER, trial.number))


def tried(study: Study, *, flip: bool) -> tuple[Tried, ...]:
    """All trials. `flip`: losses were reported with their sign changed, because the goal is maximised."""
    names = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed"}
    rows: list[Tried] = []
    for trial in study.get_trials(deepcopy=False):
        state = INTERRUPTED if _interrupted(trial) else names.get(trial.state.name, trial.state.name.lower())
        curve = tuple((step, -loss if flip else loss) for step, loss in sorted(trial.intermediate_values.items()))
        seconds = trial.duration.total_seconds() if trial.duration else None
        value = trial.value if state == "finished" else None
        error = str(trial.user_attrs.get(_ERROR, ""))
        rows.append(Tried(trial.number, state, value, seconds, dict(trial.params), curve, error))
    return tuple(rows)


def importances(study: Study) -> Mapping[str, float]:
    """How much each setting decides whether a trial is among the best (PED-ANOVA, Watanabe et al. 2023), in sum 1.

    Empty with fewer than four finished trials or one setting. The best are a tenth, but at least five where there are
    ten: fewer say nothing of how settings spread.
    """
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
    from optuna.trial import TrialState

    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    names = {name for trial in done for name in trial.params}
    if len(done) < 4 or len(names) < 2 or len({trial.value for trial in done}) == 1:
        return {}
    best = min(0.5, max(0.1, 5 / len(done)))
    return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(target_quantile=best))
