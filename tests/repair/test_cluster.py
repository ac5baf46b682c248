"""Ray with two nodes: the same results, lost workers and a lost node included; models as actors.

The cluster is started once, by `cluster_checks.py`, which does each check and prints what it saw.
"""

import pytest


@pytest.fixture
def seen(on_ray):
    """What each check saw; text is the traceback of one that failed."""
    return on_ray


def test_map_and_flow_give_what_serial_gives(seen):
    assert seen["check_map"] is True, seen["check_map"]
    assert seen["check_flow"] is True, seen["check_flow"]


def test_no_more_is_taken_than_the_cores_can_hold(seen):
    assert seen["check_few_in_flight"] <= 3 + 2


def test_an_item_that_ends_its_workers_is_the_only_one_without_result(seen):
    results, why, others = seen["check_lost"]
    assert results == [0, 1, 2, None, 4]
    assert "lost 3 times at 3" in why
    assert others == [""] * 4


def test_what_the_function_raises_keeps_its_field_and_ends_the_rest(seen):
    assert seen["check_raised"] == ["1 is bad", "number", True]


def test_all_results_are_there_although_a_node_is_killed(seen):
    found = seen["check_killed_node"]
    assert found["nodes"] == 2, found
    assert found["begun"] < 20
    assert found["equal"]


def test_shelved_bytes_go_between_nodes_and_are_gone_with_theirs(seen):
    found = seen["check_killed_node"]
    assert found["taken"] == [[300_000, n] for n in range(3)], found
    assert found["gone"] and all(found["gone"])
    assert found["kept"] and all(found["kept"])


def test_a_model_of_actors_answers_as_the_model_itself(seen):
    found = seen["check_models"]
    assert found["same"] == [True] * 3, found
    assert found["in_tasks"] == [True, True]
    assert found["usage"]


def test_a_lost_actor_is_started_again_and_asked_once_more(seen):
    assert seen["check_models"]["again"] is True, seen["check_models"]


def test_what_is_wrong_with_a_model_is_told(seen):
    assert seen["check_models"]["told"] == [
        "the weights are damaged: load them again",
        "the model of a test failed: ValueError: odd",
    ]
    unloadable, too_many = seen["check_unloadable"]
    assert unloadable == "no weights at /nowhere: download them"
    assert "ask for fewer" in too_many
