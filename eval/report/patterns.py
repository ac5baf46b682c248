"""Error patterns as pictures: a tree map of failures, and which edit was needed against which was proposed. Cards."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from data.charts import WIDTH, cut, escaped
from data.sheet import card, table
from eval.edits import EditKind, edit_kind
from eval.failures import FAILED, Pattern, bug_type, pattern
from eval.measurement import Measurement
from eval.stats import Share
from eval.treemap import Box, squarified

_HIGH = 260
_UNKNOWN = "no error text"
_LABEL = 14.0  # height of a line of letters
_LEAST = 48.0  # width in which a shortened name still says something

Path = tuple[str, str, str]  # bug class, exception, edit kind


def failures_by_kind(measured: Sequence[Measurement]) -> dict[Path, Share]:
    """Failed tasks of those known to be solved or failed, for each bug class, exception and edit that is needed."""
    found: defaultdict[Path, list[bool]] = defaultdict(list)
    for m in measured:
        if (kind := pattern(m)) is Pattern.SOLVED or kind in FAILED:
            found[bug_type(m), m.error_type or _UNKNOWN, str(edit_kind(m.reference_diff))].append(kind in FAILED)
    return {path: Share(sum(failed), len(failed)) for path, failed in found.items()}


def pattern_cards(measured: Sequence[Measurement], ident: str) -> Iterator[str]:
    """The cards that the measurements can fill."""
    found = failures_by_kind(measured)
    failed = {path: share for path, share in found.items() if share.count}
    if failed:
        rows = sorted(failed.items(), key=lambda item: (-item[1].count, item[0]))
        cells = [(*path, f"{s.count}", f"{s.total}", f"{100 * (1 - s.count / s.total):.0f} %") for path, s in rows]
        head = ("bug class", "exception", "edit needed", "failed", "of", "solved")
        note = (
            "Area: failed tasks by bug class, then exception, then the edit that was needed. Colour: how many of such "
            "tasks are solved nevertheless, from none (strong) to all (faint)."
        )
        picture = treemap(failed, f"{ident}-treemap")
        yield card("Where the failures are", picture, table(head, cells, numbers=(3, 4, 5)), note)
    pairs = Counter((edit_kind(m.reference_diff), edit_kind(m.diff)) for m in measured if m.scored and m.reference_diff)
    if pairs:
        kinds = [kind for kind in EditKind if any(kind in pair for pair in pairs)]
        cells = [(str(need), *(f"{pairs[need, got] or ''}" for got in kinds)) for need in kinds if need in dict(pairs)]
        cells = [row for row in cells if any(row[1:])]
        note = (
            "Rows: the edit that the reference makes; columns: the edit of the chosen patch. On the diagonal the kind "
            "is right, which does not say that the patch is. Shares are of each row."
        )
        picture = confusion(pairs, kinds, f"{ident}-confusion")
        yield card("Edit needed and edit proposed", picture, table(("needed", *map(str, kinds)), cells), note)


def treemap(found: dict[Path, Share], ident: str) -> str:
    """The SVG, three levels deep. Names that do not fit stand in the tooltip alone."""
    parts: list[str] = []
    _level(found, Box(0, 0, WIDTH, _HIGH), 0, (), parts)
    most = sorted(found.items(), key=lambda item: -item[1].count)[:8]
    told = "; ".join(f"{' / '.join(path)}: {share.count} failed of {share.total}" for path, share in most)
    return (
        f'<svg viewBox="0 0 {WIDTH} {_HIGH}" role="img" aria-labelledby="{ident}-t {ident}-d">'
        f'<title id="{ident}-t">Failures by bug class, exception and edit</title>'
        f'<desc id="{ident}-d">{escaped(told)}</desc>{"".join(parts)}</svg>'
    )


def _level(found: dict[Path, Share], box: Box, depth: int, above: tuple[str, ...], parts: list[str]) -> None:
    groups: defaultdict[str, dict[Path, Share]] = defaultdict(dict)
    for path, share in found.items():
        groups[path[depth]][path] = share
    ordered = sorted(groups.items(), key=lambda item: (-_failed(item[1]), item[0]))
    for (name, inner), at in zip(ordered, squarified([_failed(i) for _, i in ordered], box), strict=True):
        names = (*above, name)
        if depth == 2:
            parts.append(_cell(names, next(iter(inner.values())), at))
            continue
        fits = at.height > 3 * _LABEL and at.width > 30
        frame = "var(--ink)" if depth == 0 else "var(--soft)"
        size = 12 if depth == 0 else 10.5
        weight = 650 if depth == 0 else 400
        _level(inner, at.inside(1.5 if depth == 0 else 1, _LABEL if fits else 0), depth + 1, names, parts)
        if fits:
            text = cut(f"{name} {_failed(inner)}", (at.width - 6) * 12 / size)
            parts.append(
                f'<text x="{at.x + 4:.1f}" y="{at.y + 12:.1f}" '
                f'style="font-size:{size}px;font-weight:{weight};fill:{frame}">{escaped(text)}</text>'
            )


def _failed(found: dict[Path, Share]) -> int:
    return sum(share.count for share in found.values())


def _cell(names: tuple[str, ...], share: Share, box: Box) -> str:
    solved = 1 - share.count / share.total
    strength = round(100 * (0.85 - 0.7 * solved))
    told = f"{' / '.join(names)}: {share.count} failed of {share.total}, {100 * solved:.0f} % solved"
    label = cut(names[-1], box.width - 6)
    text = ""
    if box.height > _LABEL + 2 and (label == names[-1] or box.width > _LEAST):
        ink = "var(--card)" if strength > 50 else "var(--ink)"
        text = (
            f'<text x="{box.x + 4:.1f}" y="{box.y + 12:.1f}" '
            f'style="font-size:10.5px;fill:{ink}">{escaped(label)}</text>'
        )
    colour = f"color-mix(in srgb, var(--second) {strength}%, var(--card))"
    return (
        f'<g><title>{escaped(told)}</title><rect x="{box.x:.2f}" y="{box.y:.2f}" width="{box.width:.2f}" '
        f'height="{box.height:.2f}" style="fill:{colour};stroke:var(--card);stroke-width:1"/>{text}</g>'
    )


def confusion(pairs: Counter[tuple[EditKind, EditKind]], kinds: Sequence[EditKind], ident: str) -> str:
    """The SVG: rows needed, columns proposed, each cell shaded by its share of the row."""
    rows = [kind for kind in kinds if any(need is kind for need, _ in pairs)]
    left, top = 96.0, 74.0
    wide, high = (WIDTH - left - 20) / len(kinds), 26.0
    parts: list[str] = []
    for number, kind in enumerate(kinds):
        x = left + (number + 0.5) * wide
        parts.append(
            f'<text x="{x:.1f}" y="{top - 6}" class="tick" style="text-anchor:start" '
            f'transform="rotate(-48 {x:.1f} {top - 6})">{escaped(kind)}</text>'
        )
    for at, need in enumerate(rows):
        total, y = sum(pairs[need, got] for got in kinds), top + at * high
        parts.append(f'<text x="{left - 6}" y="{y + 17:.1f}" class="tick end">{escaped(need)}</text>')
        for number, got in enumerate(kinds):
            parts.append(_pair(pairs[need, got], total, Box(left + number * wide, y, wide, high), (need, got)))
    told = "; ".join(f"{need} answered by {got}: {count}" for (need, got), count in pairs.most_common(8))
    return (
        f'<svg viewBox="0 0 {WIDTH} {top + len(rows) * high + 4:.0f}" role="img" aria-labelledby="{ident}-t {ident}-d">'
        f'<title id="{ident}-t">Edit needed against edit proposed</title><desc id="{ident}-d">{escaped(told)}</desc>'
        f"{''.join(parts)}</svg>"
    )


def _pair(count: int, total: int, box: Box, names: tuple[EditKind, EditKind]) -> str:
    strength = round(80 * count / total) if total else 0
    ink = "var(--card)" if strength > 45 else "var(--ink)"
    frame = "var(--ink)" if names[0] is names[1] else "var(--card)"
    text = f'<text x="{box.x + box.width / 2:.1f}" y="{box.y + 17:.1f}" class="count" style="fill:{ink}">{count}</text>'
    colour = f"color-mix(in srgb, var(--accent) {strength}%, var(--track))"
    return (
        f"<g><title>{names[0]} needed, {names[1]} proposed: {count} of {total}</title>"
        f'<rect x="{box.x + 1:.1f}" y="{box.y + 1:.1f}" width="{box.width - 2:.1f}" height="{box.height - 2:.1f}" '
        f'rx="2" style="fill:{colour};stroke:{frame};stroke-width:1"/>{text if count else ""}</g>'
    )
