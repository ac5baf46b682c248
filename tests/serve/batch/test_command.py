"""The command: a run from its arguments to its files and exit code, resumed and cancelled; what it tells meanwhile."""

import io
import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from repair.errors import InputError
from repair.projects.values import Order, Spent
from serve.batch.budget import Prices, RunBounds
from serve.batch.live import Board, PlainWatch, drawn, watching
from serve.batch.orders import Asked
from serve.batch.run import Progress, Unwatched
from serve.cli import app
from serve.commands.batch import Given, run
from serve.commands.batch import cancel as cancel_run
from tests.serve.batch.scripts import Script, ScriptedSteps, order, play


def given(tmp_path, *places, **more):
    return Given(Asked(places), tmp_path / "out", model="none", **more)


def test_a_run_writes_its_report_and_says_what_to_do_next(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    steps = ScriptedSteps({"b": Script(unfixed=(0,))})
    assert run(given(tmp_path, "a", "b", as_json=True), steps) == 1
    out, err = capsys.readouterr()
    assert [one["standing"] for one in json.loads(out)["repositories"]] == ["repaired", "unrepaired"]
    assert out == (tmp_path / "out" / "report.json").read_text()
    assert "2 repositories: 1 repaired, 1 unrepaired." in err and "a: mend f0: fixed" in err
    assert "dry run" in err and "--branches" in err
    assert run(given(tmp_path, resume=True, quiet=True), steps) == 1
    assert capsys.readouterr() == ("", "")
    assert (tmp_path / "out" / "report.json").read_text() == out


def test_exit_code_0_means_that_nothing_is_left_to_repair(tmp_path):
    assert run(given(tmp_path, "a", "b", quiet=True), ScriptedSteps({"a": Script(faults=0)})) == 0


def test_a_resumed_run_must_be_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    steps = ScriptedSteps()
    with pytest.raises(InputError, match="holds no run"):
        run(given(tmp_path, "a", resume=True), steps)
    run(given(tmp_path, "a", "b", quiet=True), steps)
    other = Asked(("a", "b"), base=Order("", "", test="make"))
    for refused, said in (
        (given(tmp_path, "a", "b"), "holds a run already: go on with --resume"),
        (given(tmp_path, "a", resume=True), "has the repository b, which was not given"),
        (given(tmp_path, "a", "b", "c", resume=True), "the repository c is not in the run"),
        (Given(Asked(("a", "b")), tmp_path / "out", resume=True), "--model is not given, the run has 'none'"),
        (Given(other, tmp_path / "out", resume=True, model="none"), "--test of a is 'make', the run has not given"),
    ):
        with pytest.raises(InputError, match=said):
            run(refused, steps)


def test_a_bare_resumption_keeps_the_budget_until_a_larger_one_is_given(tmp_path):
    steps = ScriptedSteps({"a": Script(faults=2, spent=Spent(test_runs=5))})
    assert run(given(tmp_path, "a", quiet=True, bounds=RunBounds(test_runs=10)), steps) == 1
    assert run(given(tmp_path, quiet=True, resume=True), steps) == 1
    assert run(given(tmp_path, quiet=True, resume=True, bounds=RunBounds(test_runs=99)), steps) == 0


def test_a_cancelled_repository_is_told(tmp_path, capsys):
    run(given(tmp_path, "a", quiet=True), ScriptedSteps(no_model=""))
    with pytest.raises(InputError, match="no repository x; it has a"):
        cancel_run(given(tmp_path, cancel="x"))
    assert cancel_run(given(tmp_path, cancel="a")) == 0
    assert "a will end within seconds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["x"], "Missing option '-o'"),
        (["-o", "OUT", "x", "--jobs", "0"], "--jobs"),
        (["-o", "OUT", "x", "--money", "1"], "--price-prompt"),
        (["-o", "OUT"], "no repository was given"),
        (["-o", "OUT", "--cancel", "all"], "holds no run"),
        (["-o", "OUT", "x", "--store", "mysql://h/x"], "database"),
    ],
)
def test_bad_arguments_are_refused(tmp_path, argv, said):
    argv = [str(tmp_path / "out") if one == "OUT" else one for one in argv]
    done = CliRunner().invoke(app, ["batch", *argv])
    assert done.exit_code != 0 and said in f"{done.output} {done.exception}"


def test_a_table_shows_those_at_work_first(tmp_path):
    board = Board(3)

    class Both(Unwatched):
        def begun(self, item):
            board.begun(item)

        def ended(self, item, row):
            board.ended(item, row)
            if row.ref.kind.value == "combine":
                texts.append(text())

    def text():
        console = Console(file=io.StringIO(), width=100, force_terminal=False)
        console.print(drawn(board, 20))
        return console.file.getvalue()

    texts = []
    board.progress = Progress(12.0, Spent(test_runs=3), RunBounds(seconds=60), Prices(), "it was cancelled")
    play(tmp_path, [order("a"), order("b")], watch=Both())
    assert len(texts) == 2 and texts[1].index("b ") < texts[1].index("a ")
    row = next(line for line in texts[0].split("\n") if line.startswith("a"))
    assert row.split() == ["a", "combined", "10", "1", "1", "0", "0", "1800", "s"]
    assert "2 of 3 repositories begun; 12 of 60 seconds, 3 test runs; ending: it was cancelled" in " ".join(
        texts[1].split()
    )


def test_quiet_says_nothing_and_plain_consoles_get_lines(tmp_path):
    console = Console(file=io.StringIO(), force_terminal=False)
    with watching(console, 1, quiet=True) as watch:
        assert type(watch) is Unwatched
    with watching(console, 1, quiet=False) as watch:
        assert isinstance(watch, PlainWatch)
        play(tmp_path, [order("a")], {"a": Script(attacks="mend")}, watch=watch)
    assert console.file.getvalue().split("\n")[:2] == [
        "a: diagnose: 10 tests, 1 fault", "a: mend f0: hostile, the tests of a attack what runs them",
    ]  # fmt: skip
