"""The pieces that our pages are made of, and their style: sections, cards, tables, tiles. Text in, text out.

Must not know what a page tells. A page is one HTML file without anything from elsewhere; light and dark by the
reader's wish. Everything named "HTML" is written as it is, all else is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources

from data.charts import escaped


def style() -> str:
    """The style sheet that goes into each page."""
    return resources.files("data").joinpath("templates/style.css").read_text("utf-8")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, a sentence below it, and its cards (HTML). `kind` is the class of the box of cards."""

    ident: str
    title: str
    lead: str
    cards: tuple[str, ...]
    kind: str = "cards"

    def html(self) -> str:
        """The whole section."""
        return (
            f'<section aria-labelledby="{self.ident}"><h2 id="{self.ident}">{self.title}</h2>'
            f'<p class="lead">{self.lead}</p><div class="{self.kind}">{"".join(self.cards)}</div></section>'
        )


def tile(value: str, label: str) -> str:
    """A figure with its name; both HTML."""
    return f'<div class="tile"><b>{value}</b><span>{label}</span></div>'


def ident(title: str) -> str:
    """The id of a picture of that title."""
    return "".join(c if c.isalnum() else "-" for c in title.lower()) + "-picture"


def card(title: str, picture: str, table: str, note: str = "", *, open_: bool = False) -> str:
    """A picture with its table folded away; `picture`, `note` and `table` are HTML."""
    told = f"<p>{note}</p>" if note else ""
    body = table if open_ else f"<details><summary>As a table</summary>{table}</details>"
    return f'<figure class="card"><h3>{escaped(title)}</h3>{picture}{told}{body}</figure>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] | None = None) -> str:
    """Columns after the first are numbers, unless said otherwise; all texts are escaped."""
    right = set(range(1, len(head)) if numbers is None else numbers)
    if head in (("key", "value"),):
        right = set()

    def cells(kind: str, row: Sequence[str]) -> str:
        return "".join(
            f"<{kind}{' class=n' if n in right else ''}>{escaped(text)}</{kind}>" for n, text in enumerate(row)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{cells("th", head)}</tr></thead><tbody>{body}</tbody></table></div>'
