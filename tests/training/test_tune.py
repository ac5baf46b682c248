"""The search: real processes, a real study on disk, real kills."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from repair.errors import InputError, ModelError
from tests.training import objectives
from training.config import (
    Dimension,
    LoraConfig,
    ObjectiveConfig,
    OptimConfig,
    Recipe,
    RunConfig,
    TuneConfig,
    parse_recipe,
    read_recipe,
)
from training.recipe_text import overridden, render_recipe
from training.study import space_of
from training.tune import BEST, require, trial_recipe, tune

ROOT = Path(__file__).parents[2]
SPACE = {
    "optim.lr": Dimension(1e-5, 1e-1, log=True),
    "lora.rank": Dimension(4, 64),
    "optim.schedule": Dimension(choices=("linear", "cosine")),
}
LR = {"optim.lr": SPACE["optim.lr"]}


def recipe_in(out: Path, **tuning) -> Recipe:
    tuning = {"space": SPACE, "trials": 6, "seed": 1, **tuning}
    return Recipe(
        optim=OptimConfig(warmup=2), run=RunConfig(out=out, threads=4, device="cpu"), tune=TuneConfig(**tuning)
    )


def states(tuned):
    return [trial.state for trial in tuned.trials]


SCRIPT = """
import json, signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell inherit that it is ignored
from tests.training import objectives
from tests.training.test_tune import recipe_in
from training.tune import tune

out, name, tuning, ray = sys.argv[1:]
if __name__ == "__main__":
    done = tune(recipe_in(Path(out), **json.loads(tuning)), getattr(objectives, name), ray=ray)
    print(json.dumps([[t.state for t in done.trials], done.best and done.best.value, done.ended]))
"""


def begin(tmp_path, out, name, tuning, ray=""):
    script = tmp_path / "search.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    command = [sys.executable, str(script), str(out), name, json.dumps(tuning), ray]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(found):
    deadline = time.monotonic() + 250
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_recipe_becomes_text_and_the_same_recipe_again():
    recipe = Recipe(
        objective=ObjectiveConfig(entropy=1e-7, layers=(-1, 2)),
        lora=LoraConfig(targets=("q_proj", 'a"b\\c\x7f\n☃'), rslora=True),
        run=RunConfig(out=Path("a b/c"), init=Path("x"), epochs=1e20),
        tune=TuneConfig(space=SPACE),
    )
    assert parse_recipe(render_recipe(recipe)) == recipe
    assert render_recipe(Recipe()) == ""
    assert render_recipe(Recipe(), ("lora.rank", "run.init")) == "[lora]\nrank = 32\n\n[run]\n"
    assert overridden(recipe, {"lora.rank": 7, "run.base": "true"}).run.base == "true"
    with pytest.raises(InputError, match="expected int"):
        overridden(recipe, {"lora.rank": 7.5})


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "empty"),
        ({"optim.lrr": Dimension(1, 2)}, "did you mean lr"),
        ({"optm.lr": Dimension(1, 2)}, "did you mean optim"),
        ({"lora.rank": Dimension(0, 8)}, "positive"),
        ({"lora.rank": Dimension(1.5, 8)}, "whole"),
        ({"lora.dora": Dimension(0, 1)}, "give choices"),
        ({"optim.schedule": Dimension(choices=("linear", "sine"))}, "one of"),
        ({"run.out": Dimension(choices=("a", "b"))}, "does not change"),
        ({"tune.seed": Dimension(1, 2)}, "does not change"),
    ],
)
def test_a_space_that_does_not_fit_is_refused_before_anything_is_written(tmp_path, space, message):
    with pytest.raises(InputError, match=message):
        tune(recipe_in(tmp_path / "out", space=space), objectives.valley)
    assert not (tmp_path / "out").exists()


def test_a_missing_package_is_told_before_the_first_trial():
    with pytest.raises(InputError, match=r"no_such_package: pip install 'emend\[train\]'"):
        require("json", "no_such_package")


def test_lists_and_switches_are_choices(tmp_path):
    space = {
        "lora.targets": Dimension(choices=(["q_proj"], ["v_proj", "o_proj"])),
        "lora.dora": Dimension(choices=(True, False)),
    }
    found = space_of(recipe_in(tmp_path, space=space))
    recipe = trial_recipe(recipe_in(tmp_path, space=space), {k: d.choices[-1] for k, d in found.items()}, tmp_path, 0)
    assert recipe.lora.targets == ("v_proj", "o_proj")
    assert recipe.lora.dora is False


def test_parallel_trials_find_the_valley_and_leave_a_recipe_and_a_page(tmp_path):
    told = []
    out = tmp_path / "out"
    tuned = tune(recipe_in(out, jobs=2, prune=False), objectives.valley, tell=told.append)
    assert states(tuned) == ["finished"] * 6
    assert tuned.ended == "trials"
    assert tuned.best.value == min(trial.value for trial in tuned.trials)
    assert len(told) == 6 and "best" in told[-1]
    workers = [path.read_text().split() for path in out.glob("trial-*/told.txt")]
    assert {threads for threads, _ in workers} == {"2"}, "two trials share four threads"
    assert len({pid for _, pid in workers}) == 6
    best = read_recipe(out / BEST)
    assert best.optim.lr == pytest.approx(tuned.best.params["optim.lr"], rel=1e-12)
    assert "schedule = " in (out / BEST).read_text(), "what was searched is told, also where it is the default"
    assert (best.run.out, best.tune) == (out / "best", TuneConfig())
    with sqlite3.connect(out / "study.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_the_page_holds_every_trial_every_figure_and_nothing_from_elsewhere(tmp_path):
    space = {**SPACE, "run.base": Dimension(choices=("</script><b>", "x"))}
    tuned = tune(recipe_in(tmp_path, trials=6, space=space, prune=False), objectives.valley)
    page = tuned.page.read_text("utf-8")
    figures = json.loads(re.search(r'id="figures">(.*?)</script>', page, re.S)[1])
    idents = [figure["id"] for figure in figures]
    assert idents == ["history", "curves", "parallel", "importances", "slice-0", "slice-1", "slice-2", "slice-3"]
    assert all(f'id="{ident}"' in page for ident in idents)
    by_name = {figure["id"]: figure for figure in figures}
    so_far, points = by_name["history"]["traces"]
    assert points["y"] == [trial.value for trial in tuned.trials]
    assert so_far["y"][-1] == tuned.best.value
    assert len(by_name["curves"]["traces"]) == len(by_name["parallel"]["traces"]) == 6
    assert sum(by_name["importances"]["traces"][0]["x"]) == pytest.approx(1)
    assert by_name["slice-0"]["layout"]["xaxis"]["type"] == "log"
    assert all(0 <= y <= 1 for trace in by_name["parallel"]["traces"] for y in trace["y"])
    rows = re.findall(r'<tr class="\w*"><td>(\d+)</td><td class="t">(\w+)</td>', page)
    assert sorted(int(number) for number, _ in rows) == list(range(6))
    assert int(rows[0][0]) == tuned.best.number
    assert "</script><b>" not in page
    assert page.count("plotly.js v") == 1
    ours = page.replace(page[page.index("<script>/*") : page.rindex("<script>")], "")
    assert "http" not in ours.replace("http-equiv", "")


def test_worse_trials_are_ended_early(tmp_path):
    tuned = tune(recipe_in(tmp_path, trials=9, space=LR), objectives.valley)
    assert "pruned" in states(tuned) and len(tuned.trials) == 9
    pruned = [trial for trial in tuned.trials if trial.state == "pruned"]
    assert all(len(trial.curve) >= 2 and trial.value is None for trial in pruned), "not before the warm-up of 2 steps"
    assert any(len(trial.curve) < 5 for trial in pruned)
    page = tuned.page.read_text("utf-8")
    assert page.count('<td class="t">pruned</td>') == len(pruned)
    assert page.count('"dash": "dot"') == len(pruned)


def test_a_goal_that_is_maximised_is_pruned_by_its_loss_all_the_same(tmp_path):
    tuned = tune(recipe_in(tmp_path, trials=8, space=LR, goal="fix@5"), objectives.hill)
    assert tuned.best.value == max(trial.value for trial in tuned.trials if trial.value is not None)
    pruned = [trial for trial in tuned.trials if trial.state == "pruned"]
    assert pruned
    assert all(loss > 0 for trial in tuned.trials for _, loss in trial.curve)
    assert min(trial.params["optim.lr"] for trial in pruned) > tuned.best.params["optim.lr"]


def test_crashes_are_recorded_and_the_search_goes_on(tmp_path):
    tuned = tune(recipe_in(tmp_path, trials=3), objectives.stumbling)
    assert states(tuned) == ["failed"] * 3 + ["finished"] * 3
    errors = [trial.error for trial in tuned.trials]
    assert "SIGKILL" in errors[0] and "tune.jobs" in errors[0]
    assert errors[1:3] == ["ZeroDivisionError: by", "the goal is nan"]
    assert "ZeroDivisionError" in (tmp_path / "trial-001" / "error.txt").read_text()
    assert "ZeroDivisionError: by" in tuned.page.read_text("utf-8")


def test_the_same_failure_three_times_ends_the_search_with_it(tmp_path):
    with pytest.raises(InputError, match=r"3 trials in a row failed, the last: .*has no dataset"):
        tune(recipe_in(tmp_path), objectives.failing)
    assert (tmp_path / "report.html").exists()
    assert not (tmp_path / BEST).exists()
    # nothing was measured: the recipe may be mended in place
    assert (
        states(tune(replace(recipe_in(tmp_path, trials=1), lora=LoraConfig(alpha=8)), objectives.valley))[-1]
        == "finished"
    )


def test_settings_that_do_not_go_together_are_failures(tmp_path):
    space = {"run.method": Dimension(choices=("full",)), "run.quantise": Dimension(choices=("int8",))}
    with pytest.raises(InputError, match="whole weights"):
        tune(recipe_in(tmp_path, space=space), objectives.valley)


def test_no_trial_begins_after_the_deadline_and_the_next_search_goes_on(tmp_path):
    first = tune(recipe_in(tmp_path, trials=4, minutes=2 / 60), objectives.hurried)
    assert first.ended == "deadline"
    assert 1 <= len(first.trials) < 4
    again = tune(recipe_in(tmp_path, trials=4), objectives.valley)
    assert states(again) == ["finished"] * 4
    drawn = [trial.params["optim.lr"] for trial in again.trials]
    assert len(set(drawn)) == 4, "a study that goes on draws other settings than it began with"


def test_what_a_study_holds_is_not_mixed_with_another_search(tmp_path):
    base = recipe_in(tmp_path, trials=1)
    tune(base, objectives.valley)
    tune(replace(base, run=replace(base.run, threads=1)), objectives.valley)
    with pytest.raises(InputError, match="another goal"):
        tune(recipe_in(tmp_path, trials=1, goal="exact@1"), objectives.valley)
    with pytest.raises(InputError, match=r"another recipe.*alpha = 3"):
        tune(replace(base, lora=LoraConfig(alpha=3)), objectives.valley)
    with pytest.raises(InputError, match=r"optim\.schedule was searched otherwise"):
        tune(recipe_in(tmp_path, space={**SPACE, "optim.schedule": Dimension(choices=("linear",))}), objectives.valley)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "study.db").write_text("no database, but long enough to be taken for one " * 9)
    with pytest.raises(InputError, match="no study"):
        tune(recipe_in(tmp_path / "other"), objectives.valley)


def test_a_killed_search_leaves_no_worker_and_does_its_trial_again(tmp_path):
    out = tmp_path / "out"
    begun = out / "begun.txt"
    first = begin(tmp_path, out, "slow", {"trials": 5, "prune": False})
    until(lambda: begun.exists() and len(begun.read_text().splitlines()) == 3)
    with pytest.raises(InputError, match="another search"):
        tune(recipe_in(out), objectives.slow)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    lines = [line.split() for line in begun.read_text().splitlines()]
    assert objectives.gone(int(lines[2][3]))
    tuned = tune(recipe_in(out, trials=5, prune=False), objectives.slow)
    assert states(tuned) == ["finished", "finished", "interrupted", "finished", "finished", "finished"]
    lines = [line.split() for line in begun.read_text().splitlines()]
    assert len(lines) == 6
    assert lines[3][:3] == lines[2][:3], "the same settings in the same directory, where its checkpoint lies"
    assert tuned.trials[3].params == tuned.trials[2].params
    # and a search that has all its trials only tells them again
    assert len(tune(recipe_in(out, trials=5, prune=False), objectives.slow).trials) == 6


def test_an_interrupt_ends_it_cleanly(tmp_path):
    out = tmp_path / "out"
    search = begin(tmp_path, out, "waiting", {"trials": 5, "jobs": 2})
    pids = [out / f"trial-00{n}" / "pid" for n in range(2)]
    until(lambda: all(path.exists() and path.read_text() for path in pids))
    search.send_signal(signal.SIGINT)
    told, errors = search.communicate(timeout=300)
    assert search.returncode == 0, errors
    assert errors == ""
    assert json.loads(told) == [["interrupted"] * 2 + ["waiting"] * 2, None, "interrupted"]
    assert all(objectives.gone(int(path.read_text())) for path in pids)
    assert "interrupted" in (out / "report.html").read_text("utf-8")


def test_ray_runs_the_same_search_with_pruning_and_failures(tmp_path):
    out = tmp_path / "out"
    search = begin(tmp_path, out, "stumbling", {"trials": 9, "jobs": 2}, "local")
    told, errors = search.communicate(timeout=300)
    assert search.returncode == 0, errors
    found, best, ended = json.loads(told.splitlines()[-1])  # Ray tells of the lost worker before
    assert ended == "trials"
    assert found[:3] == ["failed"] * 3
    assert found.count("finished") + found.count("pruned") == 9
    assert found.count("pruned") >= 1
    assert best < 5
    assert read_recipe(out / BEST).lora.rank >= 4


def test_ten_failures_of_any_kind_are_enough(tmp_path):
    with pytest.raises(ModelError, match="10 trials in a row failed"):
        tune(recipe_in(tmp_path, jobs=2), objectives.inventive)


def test_losses_that_cannot_be_compared_are_not_searched_by(tmp_path):
    space = {"objective.clean": Dimension(choices=(0.5, 1.0))}
    recipe = recipe_in(tmp_path, space=space)
    with pytest.raises(InputError, match=r"objective\.clean changes what the held-out loss means"):
        tune(recipe, objectives.valley)
