"""Two yes-or-no answers on the same cases, before and after an attack: `eval.paired`, told as a drop. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from eval.paired import Paired as Compared
from eval.paired import compare
from eval.stats import Share


@dataclass(frozen=True, slots=True)
class Paired:
    """What an attack costs: shares before and after, and the drop with its interval and test."""

    compared: Compared

    @property
    def before(self) -> Share:
        """Yes before the attack."""
        return self.compared.before

    @property
    def after(self) -> Share:
        """Yes under attack."""
        return self.compared.after

    @property
    def lost(self) -> Share:
        """No under attack, of those that were yes before."""
        return Share(self.compared.only_before, self.before.count)

    @property
    def gained(self) -> int:
        """Yes under attack only."""
        return self.compared.only_after

    @property
    def drop(self) -> float | None:
        """Share before minus share after, None of nothing."""
        return None if self.compared.difference is None else 0.0 - self.compared.difference

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % bounds of the drop; None of nothing."""
        return None if self.compared.interval is None else (-self.compared.interval[1], -self.compared.interval[0])

    @property
    def p_value(self) -> float:
        """McNemar's exact test, two-sided."""
        return self.compared.p_value


def paired(answers: Iterable[tuple[bool, bool]]) -> Paired:
    """From (before, after) of each case."""
    rows = tuple(answers)
    before, after = ({str(n): row[at] for n, row in enumerate(rows)} for at in (0, 1))
    return Paired(compare(before, after))
