"""Splits and families: repositories apart, time apart, no record twice."""

from dataclasses import replace

from data.families import Families
from data.plans import Split
from data.records import Origin, Record
from data.splits import repository_split, split_of
from data.steps import Rejection

BODY = (
    "def total(values, limit):\n    result = 0\n    for value in values:\n        if value < limit:\n"
    "            result += value * 2\n    return result\n"
)
FIX = Record("python", BODY, BODY.replace("<", "<="), Origin.COMMIT, path="a.py", function="total", repository="r")


def test_repositories_are_divided_by_hash_as_asked():
    split = Split(validation=0.2, test=0.1)
    found = [repository_split(f"repo{n}", split) for n in range(2000)]
    assert abs(found.count("test") / 2000 - 0.1) < 0.03
    assert abs(found.count("validation") / 2000 - 0.2) < 0.03
    assert found == [repository_split(f"repo{n}", split) for n in range(2000)]
    assert found != [repository_split(f"repo{n}", replace(split, seed=2)) for n in range(2000)]


def test_named_repositories_go_where_they_are_named():
    split = Split(test=0, validation=0, test_repositories=("r",), validation_repositories=("v",))
    assert [repository_split(name, split) for name in ("r", "v", "x")] == ["test", "validation", "train"]


def test_a_date_keeps_time_and_repositories_apart():
    split = Split(test=0, validation=0, test_repositories=("r",), after="2025-01-01")
    early, late = replace(FIX, authored="2024-12-31T23:59:59Z"), replace(FIX, authored="2025-01-01T00:00:00Z")
    assert split_of(late, split) == "test"
    assert isinstance(split_of(early, split), Rejection)
    assert split_of(replace(early, repository="x"), split) == "train"
    assert isinstance(split_of(replace(late, repository="x"), split), Rejection)
    assert split_of(replace(FIX, repository="x"), split) == "train"  # without a date


def test_time_alone_when_asked():
    split = Split(test=0, validation=0, by="time", after="2025-01-01")
    assert split_of(replace(FIX, authored="2025-03-01T00:00:00Z"), split) == "test"
    assert split_of(replace(FIX, authored="2024-03-01T00:00:00Z"), split) == "train"


def test_files_of_one_project_are_divided_when_asked():
    split = Split(test=0, validation=0.3, by="file", validation_repositories=("whole",))
    found = [split_of(replace(FIX, path=f"m{n}.py"), split) for n in range(1000)]
    assert 0.25 < found.count("validation") / 1000 < 0.35
    assert split_of(replace(FIX, path="m1.py", function="other"), split) == found[1]
    assert split_of(replace(FIX, repository="whole"), split) == "validation"


def test_suites_are_never_trained_on():
    assert split_of(replace(FIX, origin=Origin.SUITE), Split(test=0, validation=0)) == "test"


def test_duplicates_are_named_and_versions_of_a_function_are_none():
    families = Families()
    assert families.reason(FIX) == ""
    assert families.reason(replace(FIX, revision="other")) == "exact duplicate"
    moved = replace(FIX, buggy=f"# x\n{FIX.buggy}", fixed=f"# x\n{FIX.fixed}")
    assert families.reason(moved) == "the same change of the same function"
    later = replace(FIX, buggy=FIX.fixed, fixed=FIX.fixed.replace("* 2", "* 3"))
    assert families.reason(later) == ""
    copied = replace(later, repository="fork", buggy=f"# y\n{later.buggy}")
    assert families.reason(copied).endswith("duplicate of another function")


def test_several_faults_of_one_function_are_kept_and_a_rejected_repair_is_its_own():
    families = Families()
    made = replace(FIX, origin=Origin.MUTANT)
    assert families.reason(made) == ""
    assert families.reason(replace(made, buggy=made.fixed.replace("0", "1"))) == ""
    assert families.reason(replace(FIX, origin=Origin.FEEDBACK, accepted=False)) == ""
