"""What a model made of held-out examples, and the figures over them. Pure; the definitions stand here.

location@k        faulty examples: the first line of the fault is among the k likeliest of the lines and "no fault"
lines@k           the same without "no fault" as an answer (the file is known to be faulty)
ok_precision      of the examples called faultless, the share without fault
ok_recall         of the examples without fault, the share called faultless
ok_f1             their harmonic mean
ok_brier          mean squared distance of P(no fault) from 1 or 0 (Brier 1950); lower is better
ok_ece            expected calibration error of P(no fault), ten bins of equal width (Naeini et al. 2015)
exact@1           faulty examples: greedy decoding gives the reference, its place included
exact_given_line  the same when the place is given: the compact format's START, the numbered format's first header
exact@10, @100    faulty examples: the reference's text is among the first k different ones that the model proposes
bits_per_byte     of the code: log-loss in bits over UTF-8 bytes, line ends counted. Compact: code lines as they
                  stand in the prompt, line tokens as tokens. Numbered: the code alone, without prompt or numbers
clean_bits_per_byte   the same without the lines that the fault is on: how well the model knows ordinary code
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

BINS = 10  # of the calibration error


@dataclass(frozen=True, slots=True)
class Score:
    """What the model made of one example."""

    id: str
    faulty: bool
    rank: int  # of the right answer among lines and "no fault", 1 is best
    line_rank: int  # among lines only; 0 for examples without fault
    called_ok: bool
    no_fault: float  # P(no fault)
    exact: bool
    exact_given_line: bool
    bits: float  # of the code
    bytes: int
    clean_bits: float  # of the lines that the fault is not on
    clean_bytes: int
    proposed: int = -1  # rank of the reference among the proposals, 0: not among them, -1: none were asked for
    searched: int = -1  # the same among the candidates that a repair would judge
    classes: tuple[str, ...] = ()


def share(hits: Iterable[bool]) -> float:
    """The share of true values, NaN of none."""
    seen = list(hits)
    return sum(seen) / len(seen) if seen else math.nan


def calibration_error(chances: Sequence[float], outcomes: Sequence[bool], bins: int = BINS) -> float:
    """Mean distance of a bin's share of true outcomes from its mean chance, weighted by size; NaN of none."""
    gaps = [0.0] * bins
    for chance, outcome in zip(chances, outcomes, strict=True):
        gaps[min(int(chance * bins), bins - 1)] += outcome - chance
    return sum(map(abs, gaps)) / len(chances) if chances else math.nan


def _no_fault(scores: Sequence[Score]) -> dict[str, float]:
    precision = share(not s.faulty for s in scores if s.called_ok)
    recall = share(s.called_ok for s in scores if not s.faulty)
    chances, truths = [s.no_fault for s in scores], [not s.faulty for s in scores]
    squares = [(chance - truth) ** 2 for chance, truth in zip(chances, truths, strict=True)]
    return {
        "ok_precision": precision,
        "ok_recall": recall,
        "ok_f1": 2 * precision * recall / (precision + recall) if precision + recall else math.nan,
        "ok_brier": sum(squares) / len(squares) if squares else math.nan,
        "ok_ece": calibration_error(chances, truths),
    }


def _ratio(bits: float, size: int) -> float:
    return bits / size if size else math.nan


def summarise(scores: Sequence[Score]) -> dict[str, float]:
    """The figures of the module docstring over examples; NaN where no example counts."""
    faulty = [s for s in scores if s.faulty]
    asked = [s.proposed for s in faulty if s.proposed >= 0]
    sought = [s.searched for s in faulty if s.searched >= 0]
    figures = {
        "location@1": share(s.rank <= 1 for s in faulty),
        "location@5": share(s.rank <= 5 for s in faulty),
        "lines@1": share(s.line_rank <= 1 for s in faulty),
        "lines@5": share(s.line_rank <= 5 for s in faulty),
        **_no_fault(scores),
        "exact@1": share(s.exact for s in faulty),
        "exact_given_line": share(s.exact_given_line for s in faulty),
        **({f"exact@{k}": share(0 < rank <= k for rank in asked) for k in (10, 100)} if asked else {}),
        **({f"searched@{k}": share(0 < rank <= k for rank in sought) for k in (1, 10, 100)} if sought else {}),
        "bits_per_byte": _ratio(sum(s.bits for s in scores), sum(s.bytes for s in scores)),
        "clean_bits_per_byte": _ratio(sum(s.clean_bits for s in scores), sum(s.clean_bytes for s in scores)),
    }
    counts = {"examples": len(scores), "faulty": len(faulty)}
    return counts | {name: round(value, 4) for name, value in figures.items()}
