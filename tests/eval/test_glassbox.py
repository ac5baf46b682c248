"""Planted evidence and the measures of methods."""

from dataclasses import replace

import numpy as np
import pytest

from eval.glassbox.planting import planted
from eval.glassbox.quality import Row, Trial, aligned, measure, summarize
from eval.glassbox.table import HEAD, cells, markdown
from repair.explain.cases import Case
from repair.explain.evidence import UNMEASURED
from repair.explain.glass import open_glass
from repair.explain.values import EvidenceMap, Method, Target, Unit, UnitKind, UnitScore
from repair.views import Hunk, View

LINES = (
    "def spread(values, limit):",
    "    lowest = min(values)",
    "    highest = max(values)",
    "    if not values:",
    "        return 0",
    "    width = highest - lowest",
    "    return width + limit",
)


FIX = (Hunk(17, 17, "    return width - limit"),)


def case(lines=LINES, first=11, hunks=FIX, **more):
    return Case("one", View("m.py", "python", first, tuple(lines), **more), hunks)


def test_a_planted_name_stands_on_one_other_line_only():
    found = {planted_line(seed) for seed in range(12)}
    assert len(found) > 1, "the seed draws among the names"
    (trial,) = planted([case()])
    assert list(planted([case()])) == [trial]


def planted_line(seed):
    (trial,) = planted([case()], seed=seed)
    view, (hunk,) = trial.subject.view, trial.subject.hunks
    assert view.frames == (hunk.first,) and view.error.startswith("NameError: name '")
    wrong = view.error.split("'")[1]
    changed = view.lines[hunk.first - 11]
    assert wrong in changed and sum(wrong in line for line in view.lines) == 1
    (name,) = set(hunk.text.replace("(", " ").split()) - set(changed.replace("(", " ").split())
    holding = [n for n, line in enumerate(view.lines, 11) if name in line]
    assert holding == [trial.evidence] and trial.evidence < hunk.first
    return trial.evidence


def test_without_a_report_nothing_names_the_line():
    (trial,) = planted([case()], reported=False)
    assert (trial.subject.view.error, trial.subject.view.frames) == ("", ())


@pytest.mark.parametrize(
    "one",
    [
        case(lines=("def f(a):", "    return a + a  # a"), hunks=()),
        case(lines=("def f(:",), hunks=()),
        replace(case(), view=View("m.js", "javascript", 11, LINES)),
    ],
)
def test_programs_without_such_a_name_are_left_out(one):
    assert list(planted([one])) == []


@pytest.fixture(scope="module")
def glass():
    return open_glass()


def test_methods_of_a_real_model_are_measured_on_the_same_deletions(glass):
    (trial,) = planted([case()])
    methods = (Method.ABLATION, Method.GRADIENT, Method.RANDOM)
    rows = measure(trial, glass.local(), glass, methods=methods)
    assert [row.method for row in rows] == list(methods)
    assert len({row.random_deletion for row in rows}) == 1, "one set of random orders for all"
    assert all(-1 <= row.lds <= 1 and row.hit is not None and row.sanity is None for row in rows)
    best = rows[0]
    assert best.drop >= max(row.drop for row in rows) - 1e-4, "ablation's first unit is the one that costs most"
    assert measure(trial, glass.local(), glass, methods=methods)[0].lds == best.lds


def test_too_few_lines_are_not_measured(glass):
    short = Trial("two", case(lines=("def f(a):", "    return a"), hunks=(Hunk(12, 12, "    return -a"),)).subject)
    assert measure(short, glass.local(), glass) == ()


def row(method, n, *, lds, drop, hit):
    return Row(str(n), method, 9, lds, -drop, 0.0, drop, 0.1, hit, 0.125, None, 0.1)


def test_a_method_beats_random_when_every_interval_lies_above():
    good = [row(Method.RIDGE, n, lds=0.5 + n / 100, drop=1.0, hit=True) for n in range(9)]
    bad = [row(Method.ATTENTION, n, lds=(-1) ** n * 0.4, drop=1.0, hit=True) for n in range(9)]
    ridge, attention = summarize([*bad, *good])
    assert (ridge.method, ridge.beats_random, attention.beats_random) == (Method.RIDGE, True, False)
    assert ridge.quality.measures[0] == ("LDS", 0.54, 0.0)
    assert ("planted evidence first", 1.0, 0.125) in ridge.quality.measures
    assert ridge.drop_ratio == pytest.approx(10)


def test_the_table_has_a_row_for_each_method():
    summaries = summarize([row(Method.RIDGE, 0, lds=0.5, drop=1.0, hit=None)])
    assert len(cells(summaries[0])) == len(HEAD)
    head, rule, line = markdown(summaries).splitlines()
    assert head.count("|") == rule.count("|") == line.count("|") and line.startswith("| ridge | 0.50 [")


def test_scores_stand_in_the_order_of_the_prompt():
    units = tuple(Unit(UnitKind.CODE, n, "x") for n in (1, 2, 3))
    found = EvidenceMap(Method.RIDGE, Target(), (UnitScore(units[2], 3.0), UnitScore(units[0], 1.0)), 0.0, UNMEASURED)
    assert np.array_equal(aligned(found, units), [1.0, 0.0, 3.0])
