"""Bug class of a buggy and fixed pair by the difference of their syntax trees.

Fine classes are those of ManySStuBs4J (Karampatsis & Sutton 2020) and TSSB-3M (Richter & Wehrheim 2022), named
by what the fix does; those below the line in `FINE` are ours, for what these two leave unnamed. Coarse classes are
`repair.mutate.BUG_CLASSES`. Owns how a differing place is named; must not know records, nor a language by name.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from data.difference import Comparison, Region, leaves
from data.framing import frame_of
from data.naming import Judge
from repair.mutate import BUG_CLASSES

FINE: tuple[str, ...] = (
    "CHANGE_IDENTIFIER", "CHANGE_NUMERAL", "CHANGE_BOOLEAN_LITERAL", "CHANGE_STRING_LITERAL", "CHANGE_CONSTANT_TYPE",
    "WRONG_FUNCTION_NAME", "SAME_FUNCTION_MORE_ARGS", "SAME_FUNCTION_LESS_ARGS", "SAME_FUNCTION_WRONG_CALLER",
    "SAME_FUNCTION_SWAP_ARGS", "CHANGE_ATTRIBUTE_USED", "CHANGE_KEYWORD_ARGUMENT_USED", "CHANGE_BINARY_OPERATOR",
    "CHANGE_BINARY_OPERAND", "CHANGE_UNARY_OPERATOR", "ADD_FUNCTION_AROUND_EXPRESSION", "ADD_METHOD_CALL",
    "ADD_ATTRIBUTE_ACCESS", "ADD_ELEMENTS_TO_ITERABLE", "MORE_SPECIFIC_IF", "LESS_SPECIFIC_IF", "SINGLE_TOKEN",
    "SINGLE_STMT",
    # ours
    "CHANGE_EXCEPTION_TYPE", "CHANGE_CONDITION", "CHANGE_SLICE_BOUND", "CHANGE_RETURN_VALUE", "CHANGE_ARGUMENT",
    "CHANGE_PARAMETERS", "CHANGE_ELEMENTS", "ADD_SUBSCRIPT", "ADD_CALL", "REMOVE_ACCESS", "MISSING_STATEMENT",
    "EXTRA_STATEMENT", "ADD_GUARD", "REMOVE_GUARD", "MOVE_STATEMENT", "MULTIPLE_STMTS", "SYNTAX",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Difference:
    """One differing place: its classes, and its 1-based first lines on both sides (0: nothing stands there)."""

    fine: str
    coarse: str
    line: int
    fixed_line: int


_SYNTAX = Difference("SYNTAX", "syntax", 0, 0)


@lru_cache(maxsize=64)
def differences(language: str, buggy: str, fixed: str) -> tuple[Difference, ...]:
    """All differing places in order; none for programs that are equal but for layout and comments.

    A buggy side that does not parse is one place of the class SYNTAX. None as well where no parser reads `fixed`.
    """
    frame = frame_of(language, fixed)
    if frame is None:
        return ()
    if not frame.accepts(buggy):
        return (_SYNTAX,)
    comparison = Comparison(frame.tree(buggy), frame.tree(fixed))
    found = comparison.regions()
    judge = Judge(comparison)
    moved = _moves(judge, found)
    named = (("MOVE_STATEMENT", "layout") if moved else judge.name(region) for region in found)
    return tuple(
        Difference(fine, coarse, *_lines(comparison, region, frame.lines))
        for region, (fine, coarse) in zip(found, named, strict=True)
    )


def _moves(judge: Judge, found: tuple[Region, ...]) -> bool:
    """Whether the same tokens only stand in other statements or in another order of statements."""
    if not any(judge.of_statements(region) for region in found):
        return False
    before, after = judge.comparison.before, judge.comparison.after
    old = Counter(t for r in found for n in r.before for t in leaves(before, n))
    new = Counter(t for r in found for n in r.after for t in leaves(after, n))
    return old == new


def _lines(comparison: Comparison, region: Region, shift: int) -> tuple[int, int]:
    sides = ((comparison.before, region.before), (comparison.after, region.after))
    first = [tree.source.position(nodes[0].start)[0] - shift if nodes else 0 for tree, nodes in sides]
    return first[0], first[1]


def joined(found: tuple[Difference, ...]) -> tuple[str, str]:
    """Fine and coarse class of several places taken together, ("", "") for none."""
    if not found:
        return "", ""
    fine, coarse = {d.fine for d in found}, Counter(d.coarse for d in found)
    main = next(c for c in BUG_CLASSES if coarse[c] == max(coarse.values()))
    if len(fine) == 1:
        return found[0].fine, main
    if "statement" in coarse:
        return "MULTIPLE_STMTS", "statement"
    lines = {d.line for d in found}
    return ("SINGLE_STMT" if len(lines) == 1 else "MULTIPLE_STMTS"), main


def fine_class(language: str, buggy: str, fixed: str) -> str:
    """The class of TSSB-3M (or one of ours) of the whole change, "" where the programs are the same."""
    return joined(differences(language, buggy, fixed))[0]


def coarse_class(language: str, buggy: str, fixed: str) -> str:
    """The row of `repair.mutate.MIX` of the whole change, "" where the programs are the same."""
    return joined(differences(language, buggy, fixed))[1]
