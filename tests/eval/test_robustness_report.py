"""Trials measured in a real sandbox with a scripted model, their files, and what they come to."""

import json
from dataclasses import replace

import pytest

from eval.measurement import Conditions, Measurement, Status
from eval.robustness.pairs import paired
from eval.robustness.report import robustness_json, summarize
from eval.robustness.results import open_trials, read_trials
from eval.robustness.search import Method, SearchPlan
from eval.robustness.trials import Outcome, Plan, Trial, parse_trial, trial_row, try_case
from repair.errors import InputError
from repair.model import LineBelief
from repair.models.scripted import ScriptedModel
from repair.sandbox import Tier
from repair.sandboxes.select import find_sandbox
from repair.views import Hunk
from tests.eval.robustness_cases import PYTHON

FEW = Conditions(candidates=1, seconds=300)
PLAN = Plan(FEW, SearchPlan(Method.GREEDY, 16))


@pytest.fixture(scope="module")
def sandbox():
    return find_sandbox(Tier.C)


def fragile():
    """Knows the repair, and where it is, while a variable is called `result`; is lost otherwise."""

    def place(view):
        at = next((n for n, line in enumerate(view.lines, view.first_line) if " < " in line), 0)
        return at, at > 0 and any("result" in line for line in view.lines)

    def belief(view):
        at, knows = place(view)
        return LineBelief({at: 0.9, view.last_line: 0.05} if knows else {view.last_line: 0.95}, 0.01)

    def completions(view, decoding):
        at, knows = place(view)
        return [(Hunk(at, at, view.lines[at - view.first_line].replace("<", "<=") + "\n"),)] if knows else []

    def scores(view, changes):
        return [0.0 if "<=" in "".join(h.text for h in change) and place(view)[1] else -50.0 for change in changes]

    return ScriptedModel(belief=belief, completions=completions, scores=scores)


@pytest.fixture(scope="module")
def trial(sandbox):
    return try_case(PYTHON, fragile(), sandbox, PLAN)


def test_the_repair_is_lost_under_the_attack(trial):
    assert (trial.status, trial.reason) == (Status.REPAIRED, "")
    assert trial.clean.measurement.correct is True
    assert trial.clean.rank == 1
    assert {"rename", "rename-foreign"} & set(trial.worst.attacks)
    assert trial.worst.rank > 1
    assert trial.worst.measurement.status is Status.NONE_FOUND
    assert trial.queries <= 16
    assert "+" in trial.worst.change
    assert "result" not in trial.worst.code
    assert "drop-comment" not in trial.not_applicable


def test_two_trials_are_equal(trial, sandbox):
    again = try_case(PYTHON, fragile(), sandbox, PLAN)
    one, two = ([replace(o, measurement=None) for o in each.tried] for each in (trial, again))
    assert one == two
    assert (again.worst.attacks, again.queries) == (trial.worst.attacks, trial.queries)
    assert again.worst.measurement.verdicts == trial.worst.measurement.verdicts


def test_the_summary_of_a_lost_repair(trial):
    found = robustness_json(summarize("own", "0" * 64, PLAN, [trial]))
    worst = found["worst"]
    assert (worst["correct"]["drop"], worst["correct"]["success"]["count"]) == (1.0, 1)
    assert worst["located"]["1"]["drop"] == 1.0
    assert worst["located"]["1"]["p_value"] is None, "the worst was chosen by it"
    assert worst["correct"]["p_value"] == 1.0
    (example,) = found["examples"]
    assert (example["id"], example["clean_rank"]) == ("total", 1)
    assert (example["clean_repair"], example["attacked_repair"]) == (2, 0)
    assert example["code"] == trial.worst.code
    assert found["conditions"]["queries"] == 16
    json.dumps(found)


def test_each_measures_every_attack(sandbox):
    plan = replace(PLAN, search=SearchPlan(Method.EACH), conditions=replace(FEW, tests="not given"))
    trial = try_case(replace(PYTHON, error=None), fragile(), sandbox, plan)
    assert all(one.measurement is not None for one in trial.tried)
    rows = {row.name: row for row in summarize("own", "", plan, [trial]).attacks}
    assert rows["rename"].correct.drop == 1
    assert rows["add-comment"].correct.drop == 0
    assert rows["reorder"].applied + rows["reorder"].not_applicable == 1
    assert rows["error-lines"].not_applicable == 1
    assert dict(rows["rename"].located_measured)[1].drop == 1


def test_locating_alone_repairs_nothing(sandbox):
    trial = try_case(PYTHON, fragile(), sandbox, replace(PLAN, locate_only=True))
    assert trial.worst.measurement is None
    assert trial.clean.measurement is None
    summary = summarize("own", "", PLAN, [trial])
    assert robustness_json(summary)["worst"]["plausible"] is None
    assert dict(summary.worst.located)[1].drop == 1


@pytest.mark.parametrize("locate_only", [True, False])
def test_cases_that_measure_nothing(sandbox, locate_only):
    plan = replace(PLAN, locate_only=locate_only)
    assert try_case(replace(PYTHON, fixed_code=None), None, sandbox, plan).status is Status.LEFT_OUT
    found = try_case(replace(PYTHON, buggy_code=PYTHON.fixed_code), None, sandbox, plan)
    assert found.status is Status.LEFT_OUT
    summary = summarize("own", "", plan, [found])
    assert (summary.tried, summary.left_out) == (0, (("total", found.reason),))
    assert summary.worst.correct.drop is None


def outcome(correct, rank, attacks=()):
    status = Status.REPAIRED if correct is not False else Status.NONE_FOUND
    return Outcome(attacks, -1.0 * (rank or 50), rank, Measurement("x", status, correct=correct, fault_rank=rank))


def test_shares_over_several_trials():
    def one(name, before, after):
        attack = outcome(*after, attacks=("rename",))
        return Trial(name, "python", Status.REPAIRED, "", outcome(*before), (attack,), attack, 2, ("longer",))

    trials = [one("a", (True, 1), (False, 6)), one("b", (True, 2), (True, 2)), one("c", (False, 9), (True, 1))]
    trials += [one("d", (None, 1), (True, 1)), replace(trials[1], id="e", worst=None)]
    summary = summarize("own", "", PLAN, trials)
    row = next(row for row in summary.attacks if row.name == "rename")
    assert (row.applied, row.correct.before.count, row.correct.after.count) == (5, 3, 3)
    assert (row.correct.lost.count, row.correct.lost.total, row.correct.gained) == (1, 3, 1)
    assert row.plausible.before.count == 4, "whether it is right is not known"
    assert [pair.drop for _, pair in row.located] == [0.0, 0.0, 0.0]
    assert next(r for r in summary.attacks if r.name == "longer").not_applicable == 5
    assert summary.examples[0].id == "a", "the lost repair comes first"
    assert len(summary.examples) == 4
    assert summary == summarize("own", "", PLAN, trials[::-1])


def test_paired_interval_and_test():
    """The interval's figures are this formula's own, pinned; turned round, the drop must be the gain."""
    answers = [(True, True)] * 20 + [(True, False)] * 12 + [(False, True)] * 2 + [(False, False)] * 16
    found = paired(answers)
    assert found.drop == pytest.approx(0.2)
    assert found.interval == pytest.approx((0.0562, 0.3292), abs=5e-5)
    turned = paired([(after, before) for before, after in answers])
    assert turned.interval == pytest.approx((-0.3292, -0.0562), abs=5e-5)
    assert paired(answers * 4).interval[0] > found.interval[0], "more cases say more"
    assert found.p_value == pytest.approx(2 * (1 + 14 + 91) / 2**14)
    same = paired([(True, True)] * 5)
    assert (same.drop, same.p_value) == (0, 1)
    low, high = same.interval
    assert low < 0 < high, "five cases do not prove that nothing changes"
    assert paired([]).interval is None


def test_trials_are_kept_and_other_conditions_refused(trial, tmp_path):
    path = tmp_path / "deep" / "out.jsonl"
    with open_trials(path, PLAN) as file:
        file.add("own", trial)
    with path.open("a") as stream:
        stream.write('{"suite": "own", "id"')  # a killed run
    known = read_trials(path, PLAN)
    assert list(known) == [("own", "total")]
    back = known["own", "total"]
    assert back.worst == trial.worst
    assert summarize("own", "", PLAN, [back]) == summarize("own", "", PLAN, [trial])
    assert parse_trial(trial_row(back)) == back
    with open_trials(path, PLAN) as file:
        file.add("own", replace(trial, id="second"))
    assert [trial_id for _, trial_id in read_trials(path, PLAN)] == ["total", "second"]
    assert read_trials(path, replace(PLAN, conditions=replace(FEW, tier="C"))), "the tier may differ"
    with pytest.raises(InputError, match="measured with queries 16, now it is 17; name another file"):
        read_trials(path, replace(PLAN, search=SearchPlan(Method.GREEDY, 17)))
    path.write_text('{"id": "x"}\n')
    with pytest.raises(InputError, match="line 1 is no result of"):
        read_trials(path, PLAN)
    with open_trials(None, PLAN) as file:
        file.add("own", trial)
    assert read_trials(None, PLAN) == {}
