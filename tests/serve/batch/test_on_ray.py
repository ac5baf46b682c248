"""`emend batch` on Ray: the same reports, cancellations and interrupts, without a folder that workers share."""

import pickle

from repair.cluster import RayShelf
from repair.executors import Ticket
from serve.batch.work import Kept, read_shelved, shelved


def test_a_scripted_run_gives_the_same_report_and_needs_no_folder_of_flags(on_ray):
    assert on_ray["check_scripted_runs"] == [True, True], on_ray["check_scripted_runs"]


def test_a_repository_is_cancelled_on_its_node(on_ray):
    cancelled = {"a": "cancelled", "b": "repaired"}
    assert on_ray["check_cancelled_run"] == [cancelled, "", cancelled], on_ray["check_cancelled_run"]


def test_an_interrupted_run_ends_and_goes_on(on_ray):
    found = on_ray["check_interrupted_runs"]
    assert found == ["interrupted", "cancelled", "repaired"] * 2, found


def test_a_real_run_gives_the_same_report(on_ray):
    assert on_ray["check_real_run"] == [[{"shop": "repaired"}] * 2, True], on_ray["check_real_run"]


def test_what_lies_on_another_shelf_is_gone_and_its_commit_is_known():
    assert RayShelf().get(Ticket("0" * 64, 3)) is None
    kept = Kept("c" * 40, Ticket("0" * 64, 3, "a reference"), Ticket("1" * 64, 4, "a reference"))
    assert read_shelved(shelved(kept)) == Kept("c" * 40)
    assert pickle.loads(pickle.dumps(kept)) == kept
