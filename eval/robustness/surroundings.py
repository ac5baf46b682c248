"""A longer context: definitions that nobody uses before and after the program, which keeps its fault.

Owns where they may stand. Pure but for the chance that is handed in.
"""

from __future__ import annotations

import random as chance
import re
from dataclasses import replace

from data.piece import words
from eval.correctness import source_of
from eval.robustness.reported import renumbered
from eval.robustness.unrelated import UNRELATED
from eval.suites.rows import Case
from repair.languages import language, parse

_EACH_SIDE = 3  # definitions at most
_DEFINED = re.compile(r"^(?:class|def|function) (\w+)")
_HEADS = frozenset({"comment", "line_comment", "hash_bang_line"})


def longer(case: Case, random: chance.Random) -> Case | None:
    """Up to three definitions before the first of the program's own, up to three behind; None without any left."""
    sides = [case.buggy_code] + ([] if case.fixed_code is None else [case.fixed_code])
    if any("\r" in side for side in sides):
        return None
    taken = words(*sides, case.tests, case.held_out_tests or "")
    bank = [text for text in UNRELATED[case.language] if _name(text) not in taken]
    random.shuffle(bank)
    before, after = bank[: len(bank) // 2][:_EACH_SIDE], bank[len(bank) // 2 :][:_EACH_SIDE]
    head = _head(case, sides[-1])
    if not bank or not all(side.startswith(head) for side in sides):
        return None
    space = "\n\n" if language(case.language).layout else "\n"
    front = "\n" * bool(head.strip()) + "".join(text + space for text in before)
    back = "".join(space + text for text in after)
    made = [head + front + _whole(side[len(head) :]) + back for side in sides]
    start, shift = head.count("\n"), front.count("\n")
    where = {n: n + shift for n in range(start + 1, sides[0].count("\n") + 2)}
    fixed = made[-1] if case.fixed_code is not None else None
    return replace(case, buggy_code=made[0], fixed_code=fixed, error=renumbered(case, made[0], where))


def _name(text: str) -> str:
    found = _DEFINED.match(text)
    return found[1] if found else ""


def _whole(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"


def _head(case: Case, code: str) -> str:
    """What must stay first: whole lines of comments, a docstring or "use strict", imports."""
    root = parse(source_of(case, code)).root
    imports = language(case.language).imports
    end = 0
    for node in root.named_children if root is not None else ():
        text = [n for n in node.named_children if n.named]
        directive = node.kind == "expression_statement" and [n.kind for n in text] == ["string"]
        if node.kind in imports or directive:
            end = code.find("\n", node.end) + 1
        elif node.kind not in _HEADS:
            break
    return code[:end]
