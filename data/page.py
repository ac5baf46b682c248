"""The page of a profile: one HTML file without scripts and without anything from elsewhere.

Owns the order and the words of the page. Must not know how figures come about; what they look like is `charts` and the
template's style. Everything that comes from a dataset is escaped.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from importlib import resources
from string import Template

from data.charts import bars, columns, escaped, intervals, percent
from data.figures import Counts, Profile
from data.measures import QUANTILES, Distribution
from data.records import Record
from data.sheet import Section, card, ident, style, table, tile

_DIFF_LINES = 40
_LINE_CHARACTERS = 200
_YEARS = 30


def render(made: Profile) -> str:
    """The whole page."""
    sections = [s for s in _sections(made) if s.cards]
    template = Template(resources.files("data").joinpath("templates/profile.html").read_text("utf-8"))
    return template.substitute(
        style=style(),
        title=escaped(f"Profile of {made.name}" if made.name else "Profile"),
        heading=f"Profile of {escaped(made.name)}" if made.name else "Profile of a dataset",
        lead="What the records are, how they are spread, and what to doubt. Shares carry 95 % Wilson intervals.",
        links="".join(f'<a href="#{s.ident}">{s.title}</a>' for s in sections),
        tiles="".join(tile(value, label) for value, label in _tiles(made)),
        warnings=_warnings(made.warnings),
        sections="".join(s.html() for s in sections),
        footer="Written by <code>emend data profile</code>. All figures stand in the JSON file beside this page.",
    )


def _tiles(made: Profile) -> Iterable[tuple[str, str]]:
    yield f"{made.records:,}", "records"
    yield f"{made.faulty:,}", "with a fault"
    yield f"{made.records - made.faulty:,}", "clean"
    yield f"{made.project_count:,}", "projects"
    yield f"{len(made.languages):,}", "languages"
    yield f"{len(made.classes):,}", "bug classes"
    yield f"{len(made.licences):,}", "licences"


def _warnings(told: Sequence[str]) -> str:
    if not told:
        return '<div class="warnings"><h2>No warnings</h2><p>No figure is beyond its threshold.</p></div>'
    items = "".join(f"<li>{escaped(sentence)}</li>" for sentence in told)
    return f'<div class="warnings" role="note"><h2>Before you train on it</h2><ul>{items}</ul></div>'


def _sections(made: Profile) -> Iterable[Section]:
    yield Section("sources", "Sources", "Where the records come from.", tuple(_sources(made)))
    yield Section("faults", "Faults", "What is wrong, where, and what is told of it.", tuple(_faults(made)))
    yield Section("sizes", "Sizes", "Tokens are names, numbers and single signs.", tuple(_sizes(made)))
    yield Section(
        "quality", "Quality", "Repetition and doubtful labels, and how each was found.", tuple(_quality(made))
    )
    lead = "Up to two of each class, short ones first. Minus is the buggy text, plus its repair."
    yield Section("examples", "Examples", lead, tuple(_examples(made)), "cards pairs")


def _sources(made: Profile) -> Iterable[str]:
    origins: dict[str, int] = {}
    for _, origin, count in made.splits:
        origins[origin] = origins.get(origin, 0) + count
    splits: dict[str, int] = {}
    for split, _, count in made.splits:
        splits[split] = splits.get(split, 0) + count
    yield _bars("Origins", _ordered(origins), made.records)
    yield card(
        "Splits",
        bars(_ordered(splits), "Splits", whole=made.records, ident="splits-picture"),
        table(("split", "origin", "records"), [(s, o, f"{c:,}") for s, o, c in made.splits]),
    )
    yield _bars("Languages", made.languages, made.records)
    note = (
        f"The first {len(made.projects)} of {made.project_count}. Gini {made.project_gini:.2f} (0: all equal), "
        f"evenness by entropy {made.project_evenness:.2f} (1: all equal)."
    )
    yield _bars("Projects", made.projects, made.records, note)
    yield _bars("Licences", made.licences[:20], made.records)
    dated = [row for row in made.years if row[0].isdigit()]
    if dated:
        undated = made.records - sum(count for _, count in dated)
        note = f"{undated:,} records without a date; {made.missing_months} months between the first and last are empty."
        by_year = dict(dated)
        years = [str(year) for year in range(int(dated[0][0]), int(dated[-1][0]) + 1)]
        yield _columns("Year of the fix", [(year, by_year.get(year, 0)) for year in years][-_YEARS:], note)
    if made.manifest:
        yield card("Manifest", "", table(("key", "value"), made.manifest), open_=True)


def _faults(made: Profile) -> Iterable[str]:
    faults = sum(count for _, count in made.classes)
    yield _bars("Bug classes", made.classes[:24], faults, "Of faults; a record can have two.")
    told = sum(count for _, count in made.error_types)
    yield _bars("Error types", made.error_types[:20], told, "Of records that carry an error text.")
    note = "Executed: the code was run. Template: made up. Reported: written by a person. None: no text."
    yield _bars("How the error text was obtained", made.error_origins, made.records, note)
    yield _columns("Changes a fix consists of", made.hunks.bins, "", "separate changes")
    yield _columns("Lines a fix replaces", made.touched.bins, "0: it only adds lines.", "lines")
    rows = [(f"{n / 10:.1f}", count) for n, count in enumerate(made.difficulty)]
    yield _columns("Difficulty", rows, "0: one token, located by its error; towards 1: hard.", "difficulty, from")
    place = made.position
    rows = [(f"{n + 1}", count) for n, count in enumerate(place.observed)]
    note = (
        f'<span class="key"></span>what an even spread over all lines would give. Chi-square {place.chi_square:,.1f} '
        f"(9 degrees of freedom; above 27.9 is no chance at 0.1 %), effect {place.effect:.2f}."
    )
    picture = columns(rows, "Place of the fault", ident="place", expected=place.even, axis="tenth of the function")
    listed = table(
        ("tenth", "records", "even spread"),
        [(str(n + 1), f"{o:,}", f"{e:,.1f}") for n, (o, e) in enumerate(zip(place.observed, place.even, strict=True))],
    )
    yield card("Where in its function the fault begins", picture, listed, note)


def _sizes(made: Profile) -> Iterable[str]:
    yield _spread("Lines of the buggy text", made.lines, "lines")
    yield _spread("Tokens of the buggy text", made.tokens, "tokens")
    rows = [
        ("identifiers not ASCII", made.foreign_names),
        ("records not all ASCII", made.foreign_texts),
        ("English words in identifiers", made.english_words),
    ]
    note = (
        "The last is a lower bound: of words of three letters or more, those in a list of 200 usual ones. "
        "A low share hints at names in another language."
    )
    picture = intervals([(n, s.value, s.low, s.high) for n, s in rows], "Language of identifiers", ident="names")
    cells = [(n, f"{s.count:,}", f"{s.whole:,}", percent(s.count, s.whole)) for n, s in rows]
    yield card("Language of identifiers", picture, table(("", "count", "of", "share"), cells), note)


def _quality(made: Profile) -> Iterable[str]:
    rows = [
        ("repeats another pair exactly", made.exact_duplicates),
        ("is nearly another's buggy text", made.near_duplicates),
    ]
    picture = intervals([(n, s.value, s.low, s.high) for n, s in rows], "Duplicates", ident="duplicates")
    note = (
        "Exact: same tokens before and after. Near: shares one of 16 bands of 8 MinHash values with an earlier "
        "text, which finds 95 % of those with a Jaccard similarity of 0.8; several faults of one function count. "
        f"Looked for among the first {made.near_duplicates.whole:,}."
    )
    cells = [(n, f"{s.count:,}", f"{s.whole:,}", percent(s.count, s.whole)) for n, s in rows]
    yield card("Duplicates", picture, table(("", "count", "of", "share"), cells), note)
    doubts = [d for d in made.doubts if d.share.whole]
    if doubts:
        picture = intervals(
            [(d.name, d.share.value, d.share.low, d.share.high) for d in doubts], "Label noise", ident="noise"
        )
        cells = [(d.name, f"{d.share.count:,} of {d.share.whole:,}", d.method) for d in doubts]
        listed = table(("a record ...", "records", "method"), cells, numbers=(1,))
        yield card("Label noise, estimated", picture, listed, "How each is found stands in the table.")
    if made.dropped:
        total = sum(count for *_, count in made.dropped)
        reasons = [(f"{stage}: {reason}", count) for stage, reason, count in made.dropped]
        note = f"{total:,} records were dropped before this dataset was written."
        yield _bars("What cleaning dropped", tuple(reasons[:20]), total, note)


def _examples(made: Profile) -> Iterable[str]:
    for name, records in made.examples:
        shown = "".join(f'<div class="example">{_example(record)}</div>' for record in records)
        yield f'<div class="card"><h3>{escaped(name)}</h3>{shown}</div>'


def _example(record: Record) -> str:
    place = " · ".join(
        part
        for part in (
            record.repository,
            f"{record.path}:{record.first_line}" if record.path else "",
            record.function,
            ", ".join(record.operators),
            record.message,
            record.licence,
        )
        if part
    )
    error = f'<p class="error">{escaped(record.error)}</p>' if record.error else ""
    return f'<p class="where">{escaped(place)}</p>{error}<pre tabindex="0">{"".join(_diff(record))}</pre>'


def _diff(record: Record) -> Iterable[str]:
    """Changed lines with three around, a clean record's first lines; without the indentation they share."""
    before, after = record.buggy.split("\n")[:-1], record.fixed.split("\n")[:-1]
    lines = list(difflib.unified_diff(before, after, lineterm="", n=3))[2:] or [f" {line}" for line in before]
    shown = lines[:_DIFF_LINES]
    code = [line[1:] for line in shown if line[:1] != "@" and line[1:].strip()]
    indent = min((len(text) - len(text.lstrip(" ")) for text in code), default=0)
    for line in shown:
        kind = {"+": "plus", "-": "minus", "@": "gap"}.get(line[:1], "same")
        told = _first_line(line) if kind == "gap" else f"{line[:1]} {line[1 + indent :]}"
        told = told if len(told) <= _LINE_CHARACTERS else f"{told[:_LINE_CHARACTERS]}…"
        yield f'<span class="{kind}">{escaped(told)}</span>'
    if len(lines) > _DIFF_LINES:
        yield f'<span class="gap">… {len(lines) - _DIFF_LINES} more lines</span>'


def _first_line(header: str) -> str:
    """`@@ -3,7 +3,6 @@` as "line 3"."""
    return f"line {header.split('-', 1)[1].partition(' ')[0].partition(',')[0]}"


def _ordered(counts: dict[str, int]) -> Counts:
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _bars(title: str, rows: Counts, whole: int, note: str = "") -> str:
    picture = bars(rows, title, whole=whole, ident=ident(title))
    cells = [(name, f"{count:,}", percent(count, whole)) for name, count in rows]
    return card(title, picture, table(("name", "count", "share"), cells), escaped(note))


def _columns(title: str, rows: Sequence[tuple[str, int]], note: str, axis: str = "") -> str:
    picture = columns(rows, title, ident=ident(title), axis=axis)
    cells = [(name, f"{count:,}") for name, count in rows]
    return card(title, picture, table((axis or "bin", "count"), cells), escaped(note))


def _spread(title: str, told: Distribution, axis: str) -> str:
    cells = [("mean", f"{told.mean:.1f}")]
    names = ("least", *(f"{q:.0%}" for q in QUANTILES[1:-1]), "most")
    cells += [(name, f"{value:,}") for name, value in zip(names, told.quantiles, strict=False)]
    cells += [(name, f"{count:,}") for name, count in told.bins]
    note = f"Median {told.quantiles[3]:,}, 95 % have at most {told.quantiles[5]:,}." if told.quantiles else ""
    picture = columns(told.bins, title, ident=ident(title), axis=axis)
    return card(title, picture, table(("quantile, then bin", axis), cells), note)
