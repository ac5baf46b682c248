import json
from dataclasses import replace

import pytest

from eval.comparison import compare_runs, comparison_json, pair
from eval.measurement import Status
from repair.errors import InputError
from tests.eval.measured import failed, run_of, solved, wrong


def compared(before, after, **conditions):
    return compare_runs([run_of(*before)], [run_of(*after, **conditions)])


def figures(found):
    return {figure.name: figure for figure in found.figures}


def test_gains_and_losses_and_their_test():
    before = [solved("keeps"), solved("loses"), *(failed(f"gains{n}") for n in range(9))]
    after = [solved("keeps"), wrong("loses"), *(solved(f"gains{n}") for n in range(9))]
    found = compared(before, after)
    assert found.gained["correct"] == tuple(f"gains{n}" for n in range(9))
    assert found.lost == {"correct": ("loses",), "plausible": ()}
    right = figures(found)["correct"]
    assert (right.before_share.count, right.after_share.count, right.tasks) == (2, 10, 11)
    assert right.difference == pytest.approx(8 / 11)
    assert right.interval[0] < 8 / 11 < right.interval[1]
    assert right.p_value == pytest.approx(2 * (1 + 10) / 2**10)  # nine of ten discordant pairs
    assert right.p_value < right.adjusted


def test_medians_are_compared_task_by_task():
    before = [solved(f"t{n}", rank=10 + n, wall_seconds=5.0) for n in range(12)]
    after = [solved(f"t{n}", rank=4 + n, wall_seconds=5.0) for n in range(12)]
    found = figures(compared(before, after))
    rank = found["median rank"]
    assert (rank.before, rank.after, rank.difference, rank.interval) == (15.5, 9.5, -6.0, (-6.0, -6.0))
    assert rank.significant
    assert not rank.more_is_better
    assert found["median seconds"].p_value == 1.0


def test_nothing_differs():
    rows = [solved("a"), failed("b")]
    found = compared(rows, rows)
    assert found.differing == ()
    assert all(figure.difference == 0 and figure.adjusted == 1 for figure in found.figures)
    assert found.gained == found.lost == {"correct": (), "plausible": ()}


def test_what_is_not_known_of_both_does_not_count():
    before = [solved("a"), solved("b", correct=None), failed("c")]
    after = [solved("a"), solved("b"), failed("c", status=Status.UNSCORED)]
    found = compared(before, after)
    assert found.tasks == 3
    assert figures(found)["correct"].tasks == 1
    assert figures(found)["plausible"].tasks == 2
    assert found.gained["correct"] == ()


def test_other_content_under_the_same_id_is_left_out_and_counted():
    found = compared([solved("a"), solved("b")], [solved("a"), solved("b", digest="another")])
    assert (found.tasks, found.changed, found.only_before, found.only_after) == (1, ("b",), 0, 0)


def test_the_same_content_under_another_id_is_the_same_task():
    same, changed = pair([solved("old name", digest="d")], [solved("new name", digest="d")])
    assert (len(same), changed) == (1, [])


def test_results_of_old_versions_are_paired_by_id():
    found = compared([solved("a", digest="")], [failed("a", digest="d")])
    assert (found.tasks, found.lost["correct"]) == (1, ("a",))


def test_twins_are_paired_by_id():
    rows = [solved("a", digest="d"), failed("b", digest="d")]
    assert compared(rows, rows).lost["correct"] == ()


def test_tasks_of_one_result_only_are_counted():
    found = compared([solved("a"), solved("b"), solved("c")], [solved("a"), solved("z")])
    assert (found.tasks, found.only_before, found.only_after) == (1, 2, 1)


def test_settings_that_differ_are_told_apart_from_the_model():
    found = compared([solved("a")], [solved("a")], model="large", weights="ffff", seconds=60.0, tests="not given")
    assert {d.name for d in found.differing} == {"model", "weights", "seconds", "tests"}
    assert {d.name for d in found.settings_differ} == {"seconds", "tests"}


def test_nothing_in_common_is_refused():
    with pytest.raises(InputError, match="no task in common: the first are of suite, the second of other"):
        compare_runs([run_of(solved("a"))], [run_of(solved("a"), suite="other")])
    with pytest.raises(InputError, match="no task in common"):
        compared([solved("a")], [solved("b")])
    with pytest.raises(InputError, match="all 1 tasks with a common id differ in content"):
        compared([solved("a")], [solved("a", digest="another")])


def test_several_suites_are_told_with_the_names_of_tasks():
    before = [run_of(solved("a")), run_of(failed("a"), suite="two")]
    after = [run_of(failed("a")), run_of(failed("a"), suite="two")]
    found = compare_runs(before, after)
    assert found.lost["correct"] == ("suite: a",)
    assert found.suites == ("suite", "two")


def test_json_says_it_all():
    told = json.loads(json.dumps(comparison_json(compared([failed("a")], [solved("a")], seed=3))))
    assert told["settings_differ"] == ["seed"]
    assert told["figures"]["correct"]["interval95"][0] <= 1.0
    assert told["figures"]["median rank"]["before"] is None
    assert told["gained"]["correct"] == ["a"]


def test_holm_never_makes_a_p_value_smaller():
    before = [failed(f"t{n}", fault_rank=1 + n % 7) for n in range(20)]
    after = [replace(solved(f"t{n}"), fault_rank=1) for n in range(20)]
    assert all(figure.adjusted >= figure.p_value for figure in compared(before, after).figures)
