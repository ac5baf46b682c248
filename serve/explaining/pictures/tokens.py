"""Tokens of the prompt, underlined where they speak for the new text, overlined where they speak for the old one."""

from __future__ import annotations

from itertools import groupby

import numpy as np

from repair.explain.values import TokenMap
from serve.explaining.pictures.marks import figure, listed, signed, size, text

_MOST = 3000  # tokens shown
_STEPS = 4
_TOLD = 8


def token_map(found: TokenMap) -> str:
    """Units with their tokens; the strongest of each kind in words."""
    largest = size([*map(float, found.new), *map(float, found.old)])
    rows: list[str] = []
    shown = [n for n in range(len(found.tokens)) if found.owner[n] >= 0][:_MOST]
    for owner, group in groupby(shown, key=lambda n: found.owner[n]):
        inside = "".join(_token(found, n, largest) for n in group)
        rows.append(f'<tr><th scope="row">{text(found.units[owner].label)}</th><td class="code">{inside}</td></tr>')
    left = sum(o >= 0 for o in found.owner) - len(shown)
    head = '<th scope="col">unit</th><th scope="col">its tokens</th>'
    whole = f'<table class="tokens"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return figure(
        "Which tokens speak for the new text, which for the old",
        whole,
        "Underlined: the gradient says that the token raises the chance of the new text; overlined and dashed: of the "
        "old one. A quick preview by one gradient pass: it tells how the model leans near this very prompt, not what "
        "happens when the token is taken away (that is what ablation measures)."
        + (f" {left} tokens are left out." if left else ""),
        _words(found),
    )


def _token(found: TokenMap, at: int, largest: float) -> str:
    new, old = _step(float(found.new[at]), largest), _step(float(found.old[at]), largest)
    shown = text(found.tokens[at])
    if not new and not old:
        return shown
    kinds = " ".join(kind for kind in (f"new{new}" if new else "", f"old{old}" if old else "") if kind)
    told = f"for new {signed(float(found.new[at]))}, for old {signed(float(found.old[at]))}"
    return f'<span class="{kinds}" title="{told}">{shown}</span>'


def _step(score: float, largest: float) -> int:
    return round(_STEPS * min(score / largest, 1.0)) if largest > 0 and np.isfinite(score) and score > 0 else 0


def _words(found: TokenMap) -> str:
    told: list[str] = []
    for name, scores in (("for the new text", found.new), ("for the old text", found.old)):
        order = [int(n) for n in np.argsort(-scores, kind="stable") if found.owner[int(n)] >= 0 and scores[int(n)] > 0]
        said = ", ".join(
            f"<code>{text(found.tokens[n].strip() or '(blank)')}</code> in "
            f"{text(found.units[found.owner[n]].label)} ({signed(float(scores[n]))})"
            for n in order[:_TOLD]
        )
        told.append(f"Most {name}: {said or 'none'}.")
    return listed(told)
