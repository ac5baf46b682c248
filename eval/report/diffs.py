"""Diffs as HTML, cut to a budget of characters so that a page of hundreds of tasks stays small."""

from __future__ import annotations

from collections.abc import Iterator

from data.charts import escaped

_LINE = 200  # characters of a line
_KINDS = {"+": "plus", "-": "minus", "@": "gap", "\\": "gap"}


def diff_html(diff: str, budget: int, nothing: str) -> str:
    """The changed lines of a unified diff; `nothing` where it is empty. Of other HTML nothing can get out."""
    if not diff.strip():
        return f'<p class="soft">{escaped(nothing)}</p>'
    return f'<pre tabindex="0">{"".join(_lines(diff, budget))}</pre>'


def _lines(diff: str, budget: int) -> Iterator[str]:
    lines = diff.removesuffix("\n").split("\n")
    start = next((n for n, line in enumerate(lines) if line.startswith("@@")), 0)
    spent = 0
    for number, line in enumerate(lines[start:], start):
        kind = _KINDS.get(line[:1], "same")
        text = _place(line) if line.startswith("@@") else f"{line[:1]} {line[1:]}"
        span = f'<span class="{kind}">{escaped(text if len(text) <= _LINE else text[:_LINE] + "…")}</span>'
        spent += len(span)
        if spent > budget:
            yield f'<span class="gap">… {len(lines) - number} more lines</span>'
            return
        yield span


def _place(header: str) -> str:
    """`@@ -3,7 +3,6 @@` as "line 3"."""
    where = header.removeprefix("@@ -").split(" ")[0].split(",")[0]
    return f"line {where}" if where.isdigit() else header
