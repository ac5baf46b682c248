"""Runs by scripts: outcomes, order, budgets, what is stored, what is done again."""

from dataclasses import replace

from repair.projects.values import Bounds, Spent, Standing, State
from serve.batch.budget import RunBounds
from serve.batch.items import ItemState, Kind
from serve.batch.run import Unwatched
from tests.serve.batch.scripts import Script, log_of, opened, order, play, standings


def test_each_repository_comes_out_by_itself(tmp_path):
    scripts = {
        "both": Script(faults=2),
        "one": Script(faults=2, unfixed=(0,)),
        "none": Script(unfixed=(0,)),
        "well": Script(faults=0),
        "testless": Script(refused=Standing.NO_TESTS),
        "attacks": Script(attacks="mend"),
        "breaks": Script(breaks="diagnose"),
    }
    ending = play(tmp_path, map(order, scripts), scripts)
    assert standings(ending) == {
        "both": "repaired", "one": "partly repaired", "none": "unrepaired", "well": "healthy",
        "testless": "no tests", "attacks": "hostile", "breaks": "lost",
    }  # fmt: skip
    assert (ending.stop, ending.why) == ("", "")
    both = ending.outcomes[0]
    assert both.combination.fixes == ("f0", "f1") and both.combination.passed
    assert both.reason == "2 of 2 faults have a fix"
    assert "the sandbox broke" in ending.outcomes[-1].reason
    store = opened(tmp_path)
    states = {(row.ref.name, row.ref.kind): row.state for row in store.rows("run")}
    assert states["both", Kind.COMBINE] is ItemState.DONE and states["breaks", Kind.DIAGNOSE] is ItemState.LOST
    store.close()


def test_priority_goes_before_the_order_of_giving_and_what_has_begun_before_both(tmp_path):
    play(tmp_path, [order("a"), order("b"), order("c", priority=5)])
    begun = [line for line in log_of(tmp_path) if line.startswith("begin")]
    assert begun == [
        f"begin {name} {step}" for name in "cab" for step in ("diagnose", "mend f0", "combine")
    ]  # fmt: skip


def test_a_fault_that_only_a_report_speaks_of_gets_a_test(tmp_path):
    scripts = {"a": Script(tested=False), "b": Script()}
    a, b = play(tmp_path, [order("a", report="ValueError: no"), order("b", report="ValueError: no")], scripts).outcomes
    assert a.fixes[0].reproduction.path == "tests/test_report.py"
    assert b.fixes[0].reproduction is None and "begin b reproduce f0" not in log_of(tmp_path)


def test_a_finished_run_is_not_done_again(tmp_path):
    orders = [order("a"), order("b")]
    first = play(tmp_path, orders)
    lines = log_of(tmp_path)
    report = (tmp_path / "report.json").read_bytes()
    (tmp_path / "report.json").unlink()
    assert play(tmp_path, orders) == first
    assert log_of(tmp_path) == lines and (tmp_path / "report.json").read_bytes() == report


def test_what_was_lost_is_tried_again(tmp_path):
    broken = {"a": Script(breaks="mend")}
    assert standings(play(tmp_path, [order("a")], broken)) == {"a": "lost"}
    assert standings(play(tmp_path, [order("a")])) == {"a": "repaired"}
    assert log_of(tmp_path).count("begin a diagnose") == 1


def test_a_run_ends_at_its_bound_and_goes_on_with_a_larger_one(tmp_path):
    scripts = dict.fromkeys("abc", Script(spent=Spent(test_runs=10)))
    orders = [order(name) for name in "abc"]
    ending = play(tmp_path, orders, scripts, bounds=RunBounds(test_runs=35))
    assert standings(ending) == {"a": "repaired", "b": "over budget", "c": "over budget"}
    assert ending.stop == "over budget" and "35 test runs" in ending.why
    assert ending.outcomes[1].reason.endswith(ending.why) and ending.outcomes[2].reason == ending.why
    whole = play(tmp_path, orders, scripts, bounds=RunBounds(test_runs=1000))
    assert set(standings(whole).values()) == {"repaired"}
    assert len(log_of(tmp_path)) == len(set(log_of(tmp_path)))  # nothing twice
    assert whole.outcomes[2].spent.test_runs == 30


def test_a_bound_that_is_reached_with_the_last_item_ends_nothing(tmp_path):
    ending = play(tmp_path, [order("a")], {"a": Script(spent=Spent(test_runs=10))}, bounds=RunBounds(test_runs=30))
    assert standings(ending) == {"a": "repaired"} and ending.stop == ""


def test_a_repository_ends_at_its_own_bound_and_lays_together_what_it_has(tmp_path):
    scripts = dict.fromkeys("ab", Script(faults=4, spent=Spent(test_runs=10)))
    small = [order("a", bounds=Bounds(test_runs=30)), order("b")]
    a, b = play(tmp_path, small, scripts).outcomes
    assert b.standing is Standing.REPAIRED and a.standing is Standing.PARTLY
    assert [fix.state for fix in a.fixes] == [State.FIXED] * 2 + [State.OVER_BUDGET] * 2
    assert a.combination.fixes == ("f0", "f1") and "30 test runs" in a.fixes[2].reason
    a, _ = play(tmp_path, [order("a"), order("b")], scripts).outcomes
    assert a.standing is Standing.REPAIRED and len(a.combination.fixes) == 4
    assert log_of(tmp_path).count("begin a mend f0") == 1


def test_a_fault_that_reached_a_bound_is_tried_again_with_a_larger_one_only(tmp_path):
    scripts = {"a": Script(needs=50)}

    def fix_of(runs):
        (outcome,) = play(tmp_path, [order("a", bounds=Bounds(test_runs=runs))], scripts).outcomes
        return outcome.fixes[0]

    assert fix_of(20).state is State.OVER_BUDGET
    assert fix_of(20).state is State.OVER_BUDGET
    assert log_of(tmp_path).count("begin a mend f0") == 1
    assert fix_of(90).state is State.FIXED


def test_what_a_step_spent_before_counts(tmp_path):
    class Seen(Unwatched):
        def __init__(self):
            self.bounds = []

        def begun(self, item):
            self.bounds.append((item.ref.kind.value, item.bounds.test_runs))

    seen = Seen()
    scripts = {"a": Script(faults=2, spent=Spent(test_runs=10))}
    play(tmp_path, [order("a", bounds=Bounds(test_runs=100))], scripts, watch=seen)
    assert seen.bounds[1:3] == [("mend", 90), ("mend", 80)]


def test_results_are_stored_before_they_are_told(tmp_path):
    class Looks(Unwatched):
        def ended(self, item, row):
            store = opened(tmp_path)
            kept.append({one.ref: one for one in store.rows("run")}[item.ref] == replace(row, attempt=1))
            store.close()

    kept = []
    play(tmp_path, [order("a")], watch=Looks())
    assert kept == [True] * 3
