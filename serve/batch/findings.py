"""findings.sarif: the faults of a whole run as SARIF 2.1.0, with the patches as fixes; one run a repository.

A fault is one result at its most suspected line. `serve.sarif` writes it; what has no place at all, and repositories
that could not be worked on, are notifications.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from repair.candidates import Candidate
from repair.diffs import diff_paths, parse_diff
from repair.errors import PatchError
from repair.projects.values import Fix, Outcome, Ranked, State
from repair.sources import Source
from repair.verdicts import Judgement, Verdict
from serve.batch.commits import Commits, sources_at
from serve.batch.messages import verdict_of
from serve.batch.wording import Entry, counted, entries, one_line, top_places, verified
from serve.findings import Finding
from serve.sarif import Json, sarif_log

_HUNK = re.compile(r"@@ -(\d{1,9})(?:,\d{1,9})? \+")
_LARGEST = 1_000_000  # lines of a file that is only known by a diff
_ALTERNATIVES = 3


def sarif_text(outcomes: Sequence[Outcome], commits: Mapping[str, Commits]) -> str:
    """The log as JSON. `commits` by the repository's name; without one, files are known by their diffs only."""
    logs = [_log(outcome, commits.get(outcome.name)) for outcome in sorted(outcomes, key=lambda o: o.name)]
    whole = sarif_log((), {})
    return json.dumps({**whole, "runs": [run for log in logs for run in log["runs"]] or whole["runs"]}, indent=1) + "\n"


def _log(outcome: Outcome, commits: Commits | None) -> Json:
    sources = _sources(outcome, commits)
    found: list[Finding] = []
    notes = [f"{outcome.standing}: {one_line(outcome.reason, 500)}" if outcome.reason else str(outcome.standing)]
    for entry in entries(outcome):
        finding = _finding(entry, sources)
        if finding is None:
            notes.append(f"A fault without a known place: {one_line(entry.title)}")
        else:
            found.append(finding)
    log = sarif_log(found, sources, notes=notes)
    for run in log["runs"]:
        run["automationDetails"] = {"id": f"emend/{outcome.name}/"}
        run["properties"] = {
            "repository": outcome.name,
            "commit": outcome.diagnosis.commit if outcome.diagnosis else "",
        }
    return log


def _diffs(fix: Fix) -> tuple[str, ...]:
    """The patch that is handed over and further ones, best first."""
    own = (fix.diff,) if fix.diff and fix.state in (State.FIXED, State.PROPOSED) else ()
    return (*own, *fix.alternatives[:_ALTERNATIVES]) if own else ()


def _sources(outcome: Outcome, commits: Commits | None) -> dict[str, Source]:
    """The files that results and patches name, as far as they are known."""
    diffs = [diff for entry in entries(outcome) if entry.fix for diff in _diffs(entry.fix)]
    top = [_top(entry) for entry in entries(outcome)]
    paths = [path for diff in diffs for path in _paths(diff)] + [place.path for place in top if place]
    commit = outcome.diagnosis.commit if outcome.diagnosis else ""
    found = sources_at(commits, commit, paths) if commits and commit else {}
    lines = _known_lines(diffs)
    for place in top:
        if place is not None:
            lines.setdefault(place.path, {}).setdefault(min(max(place.first, 1), _LARGEST), "\n")
    return {path: found.get(path) or _sketch(path, known) for path, known in lines.items() if known or path in found}


def _paths(diff: str) -> tuple[str, ...]:
    try:
        return diff_paths(diff)
    except PatchError:
        return ()


def _known_lines(diffs: Sequence[str]) -> dict[str, dict[int, str]]:
    """What diffs tell of the files before: path -> line number (1-based) -> the line with its terminator."""
    known: dict[str, dict[int, str]] = {}
    for diff in diffs:
        for section in re.split(r"^(?=diff --git )", diff, flags=re.MULTILINE):
            for path in _paths(section)[:1]:
                known.setdefault(path, {}).update(_old_lines(section))
    return known


def _old_lines(section: str) -> dict[int, str]:
    known: dict[int, str] = {}
    number, before = 0, ""
    for line in section.split("\n"):
        hunk = _HUNK.match(line)
        if hunk is not None:
            number = int(hunk[1])
        elif number and line[:1] in (" ", "-") and number <= _LARGEST:
            known[number] = f"{line[1:]}\n"
            number += 1
        elif line[:1] == "\\" and before in (" ", "-") and known:  # No newline at end of file
            known[number - 1] = known[number - 1].removesuffix("\n")
        before = line[:1]
    return known


def _sketch(path: str, known: Mapping[int, str]) -> Source:
    """A file of which only some lines are known; the others are empty. Its regions are right, its text is not."""
    return Source(path, "".join(known.get(n, "\n") for n in range(1, max(known, default=1) + 1)))


def _top(entry: Entry) -> Ranked | None:
    """The most suspected place, else the first one that the patch changes."""
    if entry.fault is not None and top_places(entry.fault):
        return top_places(entry.fault)[0]
    for diff in _diffs(entry.fix) if entry.fix else ():
        for path in _paths(diff)[:1]:
            hunk = re.search(r"^@@ -(\d{1,9})", diff, re.MULTILINE)
            return Ranked(path, 0.0, int(hunk[1]) if hunk else 1)
    return None


def _finding(entry: Entry, sources: Mapping[str, Source]) -> Finding | None:
    place = _top(entry)
    if place is None or place.path not in sources:
        return None
    source = sources[place.path]
    first = min(max(place.first, 1), source.line_count)
    span = source.line_span(first, min(max(place.last, first), source.line_count))
    patches = tuple(_judgements(entry.fix, sources)) if entry.fix else ()
    said = [one_line(entry.title, 300), *(_said(entry.fix) if entry.fix else ())]
    if place.reasons:
        said.append(f"Suspected: {one_line('; '.join(place.reasons), 400)}")
    return Finding(place.path, span, ". ".join(part.rstrip(". ") for part in said if part) + ".", place.score, patches)


def _said(fix: Fix) -> Iterator[str]:
    if _diffs(fix):
        yield verified(fix)
    else:
        yield f"No patch: {one_line(fix.reason, 300)}" if fix.reason else "No patch"
    if fix.alternatives:
        yield f"{counted(len(fix.alternatives), 'other candidate')} passed the same tests"


def _judgements(fix: Fix, sources: Mapping[str, Source]) -> Iterator[Judgement]:
    for number, diff in enumerate(_diffs(fix)):
        try:
            patch = parse_diff(diff, sources)
        except PatchError:  # a diff that is no change of text, or not of these sources: nothing to offer
            continue
        verdict = verdict_of(fix) if verdict_of(fix) in set(Verdict) else Verdict.UNDECIDED
        reason = "" if number else verified(fix).rstrip(".")
        yield Judgement(Candidate(patch, one_line(fix.origin, 100), fix.score), Verdict(verdict), (), reason)
