from repair.candidates import Candidate
from repair.edits import Edit, FilePatch, Patch, Span
from repair.rank import changed_characters, rank
from repair.verdicts import Judgement, Verdict


def judged(verdict: Verdict, score: float, text: str = "x") -> Judgement:
    patch = Patch((FilePatch("a.py", (Edit(Span(0, 1), text),)),))
    return Judgement(Candidate(patch, "test", score), verdict)


def test_plausible_patches_come_first_whatever_their_score():
    low, high = judged(Verdict.PLAUSIBLE, -9.0), judged(Verdict.UNFIXED, -1.0)
    assert rank([high, low]) == (low, high)


def test_the_likeliest_of_the_plausible_is_preferred_to_the_first_found():
    first, likelier = judged(Verdict.PLAUSIBLE, -5.0), judged(Verdict.PLAUSIBLE, -2.0)
    assert rank([first, likelier])[0] is likelier


def test_of_equal_scores_the_smaller_patch_is_preferred():
    large, small = judged(Verdict.PLAUSIBLE, -1.0, "x" * 50), judged(Verdict.PLAUSIBLE, -1.0)
    assert rank([large, small])[0] is small
    assert changed_characters(small) == 2


def test_every_verdict_has_a_place():
    ranked = rank([judged(v, 0.0) for v in Verdict])
    assert len(ranked) == len(Verdict)
    assert ranked[0].verdict is Verdict.PLAUSIBLE
    assert ranked[-1].verdict is Verdict.UNREADABLE
