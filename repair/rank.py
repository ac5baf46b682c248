"""Rank judgements: what is shown first, and which patch is chosen. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from repair.verdicts import Judgement, Verdict

_ORDER: Mapping[Verdict, int] = {
    Verdict.PLAUSIBLE: 0,
    Verdict.UNDECIDED: 1,
    Verdict.UNFIXED: 2,
    Verdict.REGRESSED: 3,
    Verdict.BROKEN: 4,
    Verdict.INAPPLICABLE: 5,
    Verdict.UNREADABLE: 6,
}


def changed_characters(judgement: Judgement) -> int:
    """Size of a patch: characters removed and added."""
    return sum(len(e.span) + len(e.text) for f in judgement.candidate.patch.files for e in f.edits)


def rank(judgements: Iterable[Judgement]) -> tuple[Judgement, ...]:
    """Best first: by verdict, then by score; of equal scores the smaller patch.

    Among plausible patches the likeliest one is preferred, not the one found first: many patches that
    pass weak tests are wrong, and the model's probability is what we have against that.
    """
    return tuple(sorted(judgements, key=lambda j: (_ORDER[j.verdict], -j.candidate.score, changed_characters(j))))
