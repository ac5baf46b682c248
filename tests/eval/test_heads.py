"""Heads before and after: on the embedded network and a doctored copy of its statistics."""

from dataclasses import replace

import numpy as np
import pytest

from eval.glassbox.heads import STATISTICS, compared, evidence_tokens, head_grids, heads_page, looked
from repair.errors import InputError
from repair.explain.attention import attention_map
from repair.explain.cases import Case
from repair.explain.passages import passage
from repair.explain.values import UnitKind
from tests.repair.explain.insides import SUBJECT, VIEW, embedded

CASE = Case("mean", VIEW, SUBJECT.hunks)


def test_evidence_is_error_frames_tests_and_the_changed_lines():
    found = passage(embedded().local().answers, VIEW, SUBJECT.hunks)
    owners = {found.owner[at] for at in evidence_tokens(found, SUBJECT.changed)}
    units = [found.units[n] for n in owners]
    assert {u.kind for u in units} == {UnitKind.ERROR, UnitKind.FRAME, UnitKind.TEST, UnitKind.CODE}
    assert [u.number for u in units if u.kind is UnitKind.CODE] == [16]


def test_statistics_are_those_of_the_attention_map():
    glass = embedded()
    seen = looked(glass, [CASE])
    assert seen.statistics.shape == (len(STATISTICS), len(glass.layers), glass.heads)
    whole = attention_map(glass, SUBJECT, layer=3, head=2)
    for number, statistic in enumerate((whole.entropy, whole.sink, whole.same)):
        np.testing.assert_allclose(seen.statistics[number], statistic, atol=1e-5)
    found = passage(glass.local().answers, VIEW, SUBJECT.hunks)
    wanted = {found.owner[at] for at in evidence_tokens(found, SUBJECT.changed)}
    answer = [at for at, row in enumerate(whole.rows) if row.startswith("answer: ")]
    expected = whole.lines[answer][:, sorted(wanted)].sum(-1).mean()
    assert seen.statistics[3, 3, 2] == pytest.approx(expected, abs=1e-5)
    assert seen.change[0] == pytest.approx(glass.local().score(VIEW, [SUBJECT.hunks])[0])


def test_a_moved_head_is_found_and_drawn():
    before = looked(embedded(), [CASE])
    moved = before.statistics.copy()
    moved[3, 5, 1] += 0.5
    found = compared(before, replace(before, name="<b>", statistics=moved, change=(before.change[0] + 2,)))
    assert (found.moved[3].layer, found.moved[3].head, found.change) == (5, 1, pytest.approx(2))
    assert found.moved[3].most == pytest.approx(0.5)
    assert [m.spread for m in found.moved[:3]] == [0, 0, 0]
    assert head_grids(found, 3, "g").count("<rect") == 2 * before.statistics[0].size
    page = heads_page(found, "1 case")
    assert "&lt;b&gt;" in page
    assert "layer 5, head 1 (moved most)" in page
    with pytest.raises(InputError, match="8 x 6 before and 7 x 6 after"):
        compared(before, replace(before, statistics=before.statistics[:, 1:]))
    with pytest.raises(InputError, match="no case"):
        looked(embedded(), [])
