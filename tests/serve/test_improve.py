"""`emend improve`: the order of its steps, how it goes on, its refusals, and its data for real."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from eval.improvement import Built, Row, Tuned, plan
from eval.measurement import Measurement, Status, Stop
from eval.run import alternating
from eval.suites.rows import read_suite
from repair.errors import InputError
from serve.commands.improve import run
from serve.commands.improve_data import mixed, permissive
from serve.commands.improve_real import RealSteps
from serve.commands.improve_steps import Asked, RehearsedSteps
from tests.training.commands import emend, refused

ROOT = Path(__file__).parents[2]
CODE = (
    "eval/stats.py",
    "repair/diffs.py",
    "repair/edits.py",
    "data/splits.py",
    "repair/windows.py",
    "data/licences.py",
)


def write_suite(path, count=12):
    rows = []
    for n in range(count):
        fixed = f"def f{n}(a, b):\n    return a + b * {n}\n"
        faulty = fixed.replace("+", "-")
        rows.append(
            {"id": f"t{n}", "language": "python", "buggy_code": faulty, "fixed_code": fixed, "tests": "assert 1"}
        )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def measured(name, correct):
    if correct:
        return Measurement(name, Status.REPAIRED, correct=True, first_plausible=1, first_correct=1)
    return Measurement(name, Status.NONE_FOUND, correct=False, fault_rank=1, in_pool=False, stop=Stop.EXHAUSTED)


@pytest.fixture
def asked(tmp_path):
    return Asked((write_suite(tmp_path / "s.jsonl"),), (tmp_path / "code",), tmp_path / "out", as_json=True)


def rehearsed(asked, outcome="passed", before=(), after=()):
    names = [f"s/t{n}" for n in range(12)]
    first, again = ({n: measured(n, n in right) for n in names} for right in (before, after))
    adapter = str(asked.out / "train/adapter") if outcome == "passed" else ""
    return RehearsedSteps(
        first, again, Built({"arithmetic": 20}, {"arithmetic": 30}, 90),
        Tuned(str(asked.out / "train/candidate"), adapter, outcome, losses=((1, 2.0), (2, 1.0))),
    )  # fmt: skip


def keep_mixture(asked):
    (asked.out / "mixture").mkdir(parents=True)
    (asked.out / "mixture/manifest.json").write_text("{}")


def test_the_steps_run_in_order_and_the_report_stands_on_disk(asked, capsys):
    steps = rehearsed(asked, after=[f"s/t{n}" for n in range(12)])
    assert run(asked, steps) == 0
    told = json.loads(capsys.readouterr().out)
    measured_rows = told["comparison"]["after"]["total"]
    diagnosed = 12 - measured_rows
    assert steps.asked == [
        f"evaluate diagnosed {diagnosed}", "build arithmetic", f"train {diagnosed} True",
        f"evaluate before after {measured_rows}",
    ]  # fmt: skip
    assert told["comparison"]["before"] == {"count": 0, "total": measured_rows}
    assert len(told["comparison"]["gained"]) == measured_rows
    assert [step["name"] for step in told["steps"]] == ["evaluate", "diagnose", "build", "train", "evaluate again"]
    assert json.loads((asked.out / "report.json").read_text()) == told
    assert "An adapter is taken" in (asked.out / "report.html").read_text()


def test_finished_steps_are_not_taken_again(asked, capsys):
    keep_mixture(asked)
    assert run(asked, rehearsed(asked)) == 0
    again = rehearsed(asked)
    assert run(replace(asked, minutes=90, jobs=1), again) == 0
    assert not [one for one in again.asked if one.startswith(("build", "train"))]
    (asked.out / "train/candidate").rmdir()
    without = rehearsed(asked)
    run(asked, without)
    assert [one.split()[0] for one in without.asked] == ["evaluate", "train", "evaluate"]


def test_an_interrupted_loop_goes_on(asked, capsys):
    class Interrupted(RehearsedSteps):
        def train(self, minutes, programs):
            raise KeyboardInterrupt

    keep_mixture(asked)
    whole = rehearsed(asked)
    assert run(asked, Interrupted(whole.before, whole.after, whole.built, whole.tuned)) == 130
    assert "goes on where it was" in capsys.readouterr().err
    assert run(asked, whole) == 0
    assert "build arithmetic" not in whole.asked


def test_what_is_refused_is_measured_and_not_taken_but_by_force(asked, capsys):
    steps = rehearsed(asked, "refused")
    assert run(replace(asked, as_json=False), steps) == 1
    out = capsys.readouterr().out
    assert out.startswith("The gate's answer was refused: nothing is taken. On the measured half 0 of ")
    assert steps.asked[-1].startswith("evaluate before after")
    forced = rehearsed(asked, "refused")
    forced.tuned = replace(forced.tuned, adapter="taken", forced=True)
    assert run(replace(asked, force=True), forced) == 0
    assert [one for one in forced.asked if one.endswith("False")]  # the gate alone, without any more training


def test_other_settings_in_the_same_folder_are_refused(asked):
    run(asked, rehearsed(asked))
    with pytest.raises(InputError, match="holds a loop with candidates '60', not '61': name another folder"):
        run(replace(asked, candidates=61), rehearsed(asked))
    write_suite(asked.suites[0], 13)
    with pytest.raises(InputError, match="holds a loop with suites"):
        run(asked, rehearsed(asked))
    (asked.out / "plan.json").write_text("{")
    with pytest.raises(InputError, match=r"plan\.json cannot be read"):
        run(asked, rehearsed(asked))


def test_it_stops_with_a_report_where_training_cannot_help(asked, capsys):
    steps = rehearsed(asked, before=[f"s/t{n}" for n in range(12)])
    assert run(asked, steps) == 1
    assert [one.split()[1] for one in steps.asked] == ["diagnosed"]
    assert json.loads(capsys.readouterr().out)["verdict"].startswith("Nothing was trained: nothing failed")
    assert (asked.out / "report.html").exists()


def test_a_held_out_suite_measures_without_programs_that_steer(asked, tmp_path, capsys):
    held = write_suite(tmp_path / "held.jsonl", 15)  # 12 of its programs are in the suite, too
    steps = rehearsed(asked)
    steps.before = {**steps.before, **{f"held/t{n}": measured("x", False) for n in range(15)}}
    steps.after = {f"held/t{n}": measured("x", True) for n in range(15)}
    assert run(replace(asked, held_out=held), steps) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["comparison"]["after"] == {"count": 3, "total": 3}
    assert ["held/t0", "the same program steers the loop"] in told["left_out"]


def test_no_sound_row_and_no_time_are_sentences(asked):
    steps = rehearsed(asked)
    steps.before = {n: replace(m, status=Status.LEFT_OUT, reason="flaky") for n, m in steps.before.items()}
    with pytest.raises(InputError, match=r"no sound row in the diagnosis half, the first: s/t.*: flaky"):
        run(asked, steps)
    with pytest.raises(InputError, match=r"no time left to train: .* with --minutes [5-9] goes on"):
        run(replace(asked, minutes=2), rehearsed(asked))
    write_suite(asked.suites[0], 1)
    with pytest.raises(InputError, match="give a larger suite, or --held-out"):
        run(replace(asked, out=asked.out / "other"), rehearsed(asked))


def write_code(folder: Path, licence=True):
    folder.mkdir()
    for name in CODE:
        shutil.copy(ROOT / name, folder)
    if licence:
        shutil.copy(ROOT / "LICENSE", folder)
    return folder


def test_rows_are_measured_in_turn_so_that_a_busy_machine_favours_no_run():
    order = alternating(("before", "after"), ["a", "b", "c"])
    assert order == [("before", "a"), ("after", "a"), ("after", "b"), ("before", "b"), ("before", "c"), ("after", "c")]


def test_results_are_of_weights_by_content_and_processes_share_the_cores(asked, tmp_path):
    write_code(tmp_path / "code")
    steps, adapter = RealSteps(asked), tmp_path / "candidate"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"one")
    first = steps._setup(adapter)
    assert first.conditions.weights not in ("", steps._setup(None).conditions.weights)
    assert first.threads == max(1, (os.cpu_count() or 1) // asked.jobs)
    (adapter / "gate.json").write_text("{}")  # --force writes it anew: the results stay good
    assert steps._setup(adapter) == first
    (adapter / "adapter_model.safetensors").write_bytes(b"two")
    assert steps._setup(adapter).conditions.weights != first.conditions.weights


def test_an_evaluation_measures_all_runs_and_goes_on(asked, tmp_path):
    write_code(tmp_path / "code")
    steps = RealSteps(replace(asked, model="NONE", jobs=1, candidates=20))
    steps._asked = replace(steps._asked, model="none")
    rows = [Row("s", case) for case in read_suite(asked.suites[0]).cases[:2]]
    rows = [Row("s", replace(row.case, tests=f"assert f{n}(3, 2) == {3 + 2 * n}")) for n, row in enumerate(rows)]
    found = steps.evaluate(rows, {"before": None, "after": None})
    assert {name: [m.id for m in those] for name, those in found.items()} == {
        "before": ["s/t0", "s/t1"], "after": ["s/t0", "s/t1"],
    }  # fmt: skip
    assert [m.bug_type for m in found["before"]] == ["arithmetic", "arithmetic"]
    assert found["before"][1].correct is True
    kept = (asked.out / "after.jsonl").read_text()
    (asked.out / "before.jsonl").unlink()
    assert [m.id for m in steps.evaluate(rows, {"before": None, "after": None})["before"]] == ["s/t0", "s/t1"]
    assert (asked.out / "after.jsonl").read_text() == kept


def test_code_without_a_permissive_licence_is_refused(tmp_path, capsys):
    bare = write_code(tmp_path / "bare", licence=False)
    with pytest.raises(InputError, match="no licence file that is known"):
        permissive((bare,), "", tmp_path)
    with pytest.raises(InputError, match="bare is under GPL"):
        permissive((bare,), "GPL-3.0", tmp_path)
    assert permissive((bare,), "MIT", tmp_path)[0].licence == "MIT"
    assert permissive((write_code(tmp_path / "free"),), "", tmp_path)[0].licence == "Apache-2.0"
    assert [one.path.name for one in permissive((bare, tmp_path / "free"), "", tmp_path)] == ["free"]
    assert "left out: " in capsys.readouterr().err
    with pytest.raises(InputError, match="neither a folder nor a wheel"):
        permissive((tmp_path / "none",), "", tmp_path)


def test_faults_are_built_without_the_suites_code_and_drawn_by_the_plan(asked, tmp_path, capsys):
    write_code(tmp_path / "code")
    steps = RealSteps(replace(asked, pairs=30, jobs=1))
    asked.out.mkdir()
    calls = plan([replace(measured("a", False), bug_type="variable")])
    built = steps.build(calls)
    assert capsys.readouterr().out == ""  # what the dataset's own command tells is no result of this one
    assert built.licences == {"Apache-2.0": sum(built.train.values())}
    assert built.train["variable"] > sum(built.train.values()) / 3
    assert len(built.train) > 4  # nothing is forgotten
    assert 0 < built.train["clean"] <= round(0.17 * 30)
    assert sum(built.heldout.values()) > 0
    manifest = json.loads((asked.out / "faults/manifest.json").read_text())
    assert "s.jsonl" in manifest["decontaminated_against"]["files"]
    assert mixed(asked.out / "faults", asked.out / "again", calls, 30) == built
    other = mixed(asked.out / "faults", asked.out / "other", plan([replace(measured("a", False), bug_type="name")]), 30)
    assert other.train["name"] > built.train["name"]
    assert other.train["variable"] < built.train["variable"]


def test_mistakes_are_one_sentence(tmp_path):
    suite, code = write_suite(tmp_path / "s.jsonl"), write_code(tmp_path / "code")
    command = ("improve", suite, "--code", code, "-o", tmp_path / "out")
    assert "unknown setting optim.lrr; did you mean lr?" in refused(*command, "optim.lrr=1")
    assert "run.out=x: the loop sets" in refused(*command, "run.out=x")
    assert "--model none cannot be trained" in refused(*command, "--model", "none")
    assert "none.jsonl" in refused("improve", tmp_path / "none.jsonl", "--code", code, "-o", tmp_path / "out")
    assert emend("improve", suite).code == 2  # --code is missing
