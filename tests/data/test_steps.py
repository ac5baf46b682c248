"""Cleaning steps that a recipe chooses."""

from dataclasses import replace

import pytest

from data.decontaminate import Forbidden
from data.plans import Clean
from data.records import Origin, Record
from data.steps import Rejection, standard_steps, through
from repair.errors import InputError

FIXED = (
    "def total(values, limit):\n    result = 0\n    for value in values:\n        if value <= limit:\n"
    "            result += value\n    return result\n"
)
COMPARED = Record("python", FIXED.replace("<=", "<"), FIXED, Origin.MUTANT, licence="MIT", repository="r", path="a.py")
NAMED = replace(COMPARED, buggy=FIXED.replace("+= value", "+= limit"))


def test_only_the_classes_of_faults_that_are_wanted_are_kept_beside_clean_code():
    steps = standard_steps(Clean(classes=("comparison", "integer")), Forbidden.build((), ()), "")
    kept = through(COMPARED, steps)
    assert isinstance(kept, Record)
    assert kept.bug_classes == ("comparison",)
    dropped = through(NAMED, steps)
    assert isinstance(dropped, Rejection)
    assert (dropped.stage, dropped.reason) == ("classes", "bug class variable")
    assert isinstance(through(replace(COMPARED, buggy=FIXED), steps), Record)
    assert isinstance(through(NAMED, standard_steps(Clean(), Forbidden.build((), ()), "")), Record)


def test_an_unknown_class_is_refused_with_those_that_exist():
    with pytest.raises(InputError, match=r"'typo' is no bug class: there are .*comparison"):
        Clean(classes=("typo",))
