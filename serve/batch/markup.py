"""Text as Markdown that shows it and does nothing else: no link, mention, HTML, heading or table of somebody's making.

Follows CommonMark 0.31 and GitHub's additions (tables, autolinks, mentions). Code spans and fences are longer than any
run of their mark inside.
"""

from __future__ import annotations

import re

from serve.batch.wording import counted, cut_lines, one_line

NOTHING = "–"
_TICKS = re.compile("`+")
_SPECIAL = re.compile(r"[\\`*_{}\[\]<>~&$!^=]")
_ACTIVE = re.compile(r"(@|#|://|[wW]{3}\.)")  # what GitHub makes mentions and links of, also when escaped
_BLOCK = re.compile(r"^(\d{1,9})?([+\-:.)])")  # begins a list or a table's rule at the start of a line


def code(text: str, limit: int = 200) -> str:
    """A code span; "–" for nothing."""
    line = one_line(text, limit)
    if not line:
        return NOTHING
    ticks = "`" * (_longest(line) + 1)
    pad = " " if line[0] == "`" or line[-1] == "`" else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def prose(text: str, limit: int = 500) -> str:
    """A sentence in running text; "–" for nothing."""
    line = one_line(text, limit)
    parts = _ACTIVE.split(line)
    shown = "".join(f"`{p}`" if n % 2 else _SPECIAL.sub(r"\\\g<0>", p) for n, p in enumerate(parts))
    return _BLOCK.sub(r"\1\\\2", shown) or NOTHING


def fence(text: str, info: str = "", lines: int = 60) -> str:
    """A block of at most so many lines, which says how many were left out; "" for nothing."""
    if not text.strip() or lines < 1:
        return ""
    shown, left = cut_lines(text, lines)
    body = "\n".join(shown)
    ticks = "`" * max(3, _longest(body) + 1)
    rest = f"\n… {counted(left, 'line')} left out" if left else ""
    return f"{ticks}{info}\n{body}{rest}\n{ticks}\n"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]], numbers: tuple[int, ...] = ()) -> str:
    """A table of cells that are Markdown already (but for the bars in them, which would end a cell)."""
    rule = "|".join("---:" if n in numbers else "---" for n in range(len(head)))
    cells = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    body = "".join(f"| {' | '.join(row)} |\n" for row in cells)
    return f"| {' | '.join(head)} |\n|{rule}|\n{body}"


def folded(summary: str, body: str) -> str:
    """A part that is folded away; `summary` is HTML, `body` is Markdown of whole blocks."""
    return f"<details>\n<summary>{summary}</summary>\n\n{body}\n</details>\n"


def _longest(text: str) -> int:
    return max((len(run) for run in _TICKS.findall(text)), default=0)
