from dataclasses import replace

import pytest

from eval.clusters import clusters, needs, reference_size, verdict_mix
from eval.failures import Pattern, pattern, weaknesses
from eval.measurement import Status, Stop
from tests.eval.measured import diff, failed, mixed, solved, wrong


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        (solved(), Pattern.SOLVED),
        (wrong(), Pattern.PLAUSIBLE_BUT_WRONG),
        (solved(correct=None), Pattern.UNKNOWN),
        (failed(fault_rank=6), Pattern.NOT_LOCALIZED),
        (failed(fault_rank=None), Pattern.NOT_LOCALIZED),
        (failed(fault_rank=5), Pattern.RANKED_TOO_LOW),
        (failed(in_pool=False), Pattern.NO_FIX_IN_POOL),
        (failed(), Pattern.RANKED_TOO_LOW),
        (failed(stop=Stop.SECONDS), Pattern.TIMED_OUT),
        (failed(unreadable=51), Pattern.UNREADABLE),
        (failed(status=Status.LEFT_OUT, reason="the reference fails"), Pattern.BROKEN_ROW),
        (failed(status=Status.UNSCORED, reason="the sandbox broke"), Pattern.UNSCORED),
        (failed(fault_rank=None, fault_lines=(), in_pool=None), Pattern.UNDIAGNOSED),
        (failed(fault_rank=None, fault_lines=(), in_pool=None, stop=Stop.SECONDS), Pattern.TIMED_OUT),
    ],
)
def test_each_task_has_its_pattern(row, wanted):
    assert pattern(row) is wanted


def test_precedence_is_as_argued():
    """Each row has several causes; the first one is told."""
    assert pattern(failed(unreadable=99, fault_rank=None, in_pool=False)) is Pattern.UNREADABLE
    assert pattern(failed(fault_rank=9, in_pool=False, stop=Stop.SECONDS)) is Pattern.NOT_LOCALIZED
    assert pattern(failed(in_pool=False, stop=Stop.SECONDS)) is Pattern.NO_FIX_IN_POOL
    assert pattern(solved(unreadable=99, fault_rank=40)) is Pattern.SOLVED
    assert pattern(failed(status=Status.UNSCORED, unreadable=99)) is Pattern.UNSCORED


def test_half_of_the_answers_unreadable_is_not_most_and_a_model_that_is_not_asked_is_not_to_blame():
    assert pattern(failed(unreadable=50)) is Pattern.RANKED_TOO_LOW
    assert pattern(failed(unreadable=0, proposed=0)) is Pattern.RANKED_TOO_LOW


def test_a_right_patch_shown_later_was_ranked_too_low():
    """Without tests the first patch counts: a right one behind it was within reach, whatever one change can make."""
    assert pattern(failed(in_pool=False, first_correct=3)) is Pattern.RANKED_TOO_LOW


@pytest.mark.parametrize(
    ("reference", "wanted"),
    [
        (diff(), "one line"),
        (diff("a\nb", "c"), "several lines"),
        (diff("", "a\nb"), "insertion"),
        (diff("a", ""), "deletion"),
        ("", "no reference"),
        (diff("-- a comment", "++ i"), "one line"),
    ],
)
def test_size_of_the_reference(reference, wanted):
    assert reference_size(failed(reference_diff=reference)) == wanted


def test_verdicts_in_words():
    assert verdict_mix(failed()) == "mostly unfixed"
    assert verdict_mix(failed(verdicts={"broken": 5, "unfixed": 5})) == "of mixed verdicts"
    assert verdict_mix(failed(verdicts={})) == "not judged"


def test_clusters_are_sorted_named_and_have_short_examples():
    rows = [failed(f"a{n}", reference_diff=diff(after=f"    return {'a' * (n + 1)}")) for n in range(5)]
    rows += [failed(f"b{n}", in_pool=False, bug_type="literal") for n in range(2)]
    rows += [solved("fine"), failed("odd", status=Status.UNSCORED)]
    found = clusters(rows)
    assert [(c.pattern, c.bug_type, c.count) for c in found] == [
        (Pattern.RANKED_TOO_LOW, "condition", 5),
        (Pattern.NO_FIX_IN_POOL, "literal", 2),
    ]
    assert [e.id for e in found[0].examples] == ["a0", "a1", "a2"]
    assert found[0].examples[0].suspects == (7, 2, 3)
    assert "came too late; candidates mostly unfixed; the reference changes one line" in found[0].name
    assert "inject more bugs of the class 'literal'" in found[1].advice


def test_single_tasks_of_a_bug_type_stand_together():
    rows = [failed("a"), failed("b", verdicts={"broken": 9}), failed("c", reference_diff=diff("", "x"))]
    (found,) = clusters(rows)
    assert (found.count, found.mix, found.size) == (3, "various", "various")


def test_every_failed_task_is_in_one_cluster():
    rows = mixed(60)
    ids = [i for c in clusters(rows) for i in c.ids]
    assert sorted(ids) == sorted(m.id for m in rows if pattern(m) is not Pattern.SOLVED)


def test_needs_are_bug_types_that_data_would_cure():
    rows = [failed(f"a{n}") for n in range(3)]
    rows += [failed(f"b{n}", bug_type="literal", stop=Stop.SECONDS) for n in range(9)]
    rows += [failed(f"c{n}", bug_type="") for n in range(9)]
    assert needs(clusters(rows)) == (("condition", 3),)


def test_weaknesses_put_first_what_gains_most():
    rows = [failed(f"rare{n}", bug_type="rare") for n in range(1)]
    rows += [failed(f"bad{n}", bug_type="bad", in_pool=False) for n in range(8)]
    rows += [solved(f"bad-{n}", bug_type="bad") for n in range(2)]
    rows += [failed(f"often{n}", bug_type="often") for n in range(10)]
    rows += [solved(f"often-{n}", bug_type="often") for n in range(90)]
    rows += [solved("good", bug_type="good"), solved("who knows", bug_type="rare", correct=None)]
    found = weaknesses(rows)
    assert [(w.bug_type, w.failed, w.total) for w in found] == [("often", 10, 100), ("bad", 8, 10), ("rare", 1, 1)]
    assert found[1].pattern is Pattern.NO_FIX_IN_POOL
    (slow,) = weaknesses([failed("a"), failed("b", stop=Stop.SECONDS), failed("c", stop=Stop.SECONDS)])
    assert (slow.failed, slow.trainable, slow.pattern) == (3, 1, Pattern.TIMED_OUT)
    assert weaknesses([solved(), replace(solved(), id="u")]) == ()
