"""The flip table as HTML: what a model said before, what it says after, and the edit that made the difference.

A section for a page in the style of `data.sheet`, and that page for the table alone. Text in, text out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import resources
from string import Template

from data.charts import escaped
from data.sheet import style, tile
from eval.report.diffs import diff_html
from eval.robustness.flips import Flip, Flipped, Seen
from eval.stats import Share

_DIFF = 4000  # characters of one diff's HTML
STYLE = """.flips { table-layout: fixed; } .flips th:last-child { width: 40%; } .flips .soft { font-size: 12px; }
.flips code { font: 12px/1.45 ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
.flips pre { margin-top: 2px; }
@media (max-width: 760px) {
  .flips thead { position: absolute; clip-path: inset(50%); }
  .flips, .flips tbody, .flips tr, .flips td { display: block; width: 100%; }
  .flips tr { padding: 8px 0; border-bottom: 2px solid var(--line); }
  .flips td { padding: 4px 0; border: 0; }
  .flips td::before { content: attr(data-name); display: block; color: var(--soft); font-weight: 600; }
}"""
"""What a page needs in its style sheet, beside `data.sheet.style`, to show `flips_section`."""

_HEAD = ("case", "edit", "before", "after", "the whole edit")


def flips_section(flips: Sequence[Flip], ident: str = "flips") -> str:
    """A section with a row for each flip; of the flips' texts nothing can get out as HTML."""
    lead = "Each edit keeps the meaning: the tests were run again on every program below."
    body = _table(flips) if flips else '<p class="soft">No edit was found that flips anything.</p>'
    return (
        f'<section aria-labelledby="{escaped(ident)}"><h2 id="{escaped(ident)}">Flips</h2>'
        f'<p class="lead">{lead}</p>{body}</section>'
    )


def _table(flips: Sequence[Flip]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in _HEAD)
    rows = "".join(f"<tr>{''.join(_cells(flip))}</tr>" for flip in flips)
    return f'<table class="flips"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _cells(flip: Flip) -> Iterator[str]:
    size = f"{flip.size.lines} line{'s' * (flip.size.lines != 1)}, {flip.size.tokens} tokens"
    checks = f'<p class="soft">{escaped("; ".join(flip.checks))}</p>'
    told = (
        escaped(flip.id),
        f'{escaped(" + ".join(flip.attacks))}<br><span class="soft">{size}</span>',
        _seen(flip.before, flip.flipped),
        _seen(flip.after, flip.flipped),
        diff_html(flip.diff, _DIFF, "nothing of the faulty code") + checks,
    )
    # on a narrow screen the cells stand below each other, each with its own name
    return (f'<td data-name="{name}">{cell}</td>' for name, cell in zip(_HEAD, told, strict=True))


def _seen(seen: Seen, flipped: Flipped) -> str:
    right = "faulty lines" if flipped is Flipped.LOCATION else "right repair"
    return (
        f"line {seen.line}, {100 * seen.probability:.0f} %<br><code>{escaped(seen.text)}</code>"
        f'<br><span class="soft">{right}: {100 * seen.right:.0f} %</span>'
    )


def flips_page(flips: Sequence[Flip], before: Share, after: Share, facts: Sequence[tuple[str, str]]) -> str:
    """A whole page, complete without a network and without scripts. `facts` are the settings, told first."""
    listed = "".join(f"<div><dt>{escaped(name)}</dt><dd>{escaped(value)}</dd></div>" for name, value in facts)
    tiles = tile(_told(before), "right as it was") + tile(_told(after), "right under the smallest edit")
    template = Template(resources.files("eval.templates").joinpath("flips.html").read_text("utf-8"))
    return template.substitute(
        style=f"{style()}\n{STYLE}",
        facts=listed,
        tiles=f'<div class="tiles">{tiles}{tile(f"{len(flips)}", "flips")}</div>',
        flips=flips_section(flips),
    )


def _told(share: Share) -> str:
    if share.value is None or share.interval is None:
        return "-"
    low, high = share.interval
    return f"{100 * share.value:.0f} % <small>[{100 * low:.0f}, {100 * high:.0f}]</small>"
