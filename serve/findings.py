"""Findings: suspects and the patches at their place, as tools that show reports want them; GitHub's form of them.

Knows nothing of SARIF (`sarif.py`) and of how a repair was made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from repair.diffs import render_diff
from repair.edits import Span
from repair.sources import Source
from repair.verdicts import Judgement, Suspect, Verdict

MAX_FINDING_PATCHES = 10
Rule = Literal["plausible-patch", "undecided-patch", "suspect"]
Level = Literal["error", "warning", "note"]
LEVELS: Mapping[Rule, Level] = {"plausible-patch": "error", "undecided-patch": "warning", "suspect": "note"}
_WORTH = (Verdict.PLAUSIBLE, Verdict.UNDECIDED)
_COMMANDS: Mapping[Level, str] = {"error": "error", "warning": "warning", "note": "notice"}


@dataclass(frozen=True, slots=True)
class Finding:
    """A place, why it is told, and patches that change it (best first). `share` is its suspiciousness, if known."""

    path: str
    span: Span
    message: str
    share: float | None = None
    patches: tuple[Judgement, ...] = ()

    @property
    def rule(self) -> Rule:
        """What kind of finding this is: the best of its patches decides."""
        if not self.patches:
            return "suspect"
        return "plausible-patch" if self.patches[0].verdict is Verdict.PLAUSIBLE else "undecided-patch"

    @property
    def level(self) -> Level:
        """How much it asks for attention."""
        return LEVELS[self.rule]


def findings_of(
    suspects: Sequence[Suspect], judgements: Sequence[Judgement], sources: Mapping[str, Source]
) -> tuple[Finding, ...]:
    """One finding per place: those with patches first, best first, then the remaining suspects.

    A patch belongs to the most suspicious of the places that it changes, without one to the first.
    """
    worth = [j for j in judgements if j.verdict in _WORTH and j.candidate.patch][:MAX_FINDING_PATCHES]
    at: dict[tuple[str, Span], tuple[Suspect | None, list[Judgement]]] = {}
    for judgement in worth:
        path, line, suspect = _place(judgement, suspects, sources)
        span = suspect.span if suspect else sources[path].line_span(line)
        at.setdefault((path, span), (suspect, []))[1].append(judgement)
    taken = [suspect for suspect, _ in at.values()]
    left = [(s.path, s.span, s, ()) for s in suspects if s not in taken]
    patched = [(path, span, suspect, tuple(patches)) for (path, span), (suspect, patches) in at.items()]
    return tuple(
        Finding(path, span, _message(suspect, patches), suspect.suspiciousness if suspect else None, patches)
        for path, span, suspect, patches in (*patched, *left)
    )


def _place(
    judgement: Judgement, suspects: Sequence[Suspect], sources: Mapping[str, Source]
) -> tuple[str, int, Suspect | None]:
    """Of the lines that a patch changes the most suspicious one, else the first."""
    places = [
        (file.path, sources[file.path].position(edit.span.start)[0])
        for file in judgement.candidate.patch.files
        for edit in file.edits
    ]
    for suspect in suspects:
        for path, line in places:
            if path == suspect.path and _covers(sources[path], suspect.span, line):
                return path, line, suspect
    return (*places[0], None)


def _covers(source: Source, span: Span, line: int) -> bool:
    first, last = source.lines_of(span)
    return first <= line <= last


def _message(suspect: Suspect | None, patches: Sequence[Judgement]) -> str:
    said = [patch_message(patches[0])] if patches else []
    if len(patches) > 1:
        said.append(f"There are {len(patches)} patches for this place.")
    if suspect is not None:
        why = f": {'; '.join(suspect.reasons)}" if suspect.reasons else ""
        said.append(f"Suspect with {100 * suspect.suspiciousness:.1f} %{why}.")
    return " ".join(said)


def patch_message(judgement: Judgement) -> str:
    """A patch's verdict and what it rests on, as a sentence."""
    kind = "Plausible patch" if judgement.verdict is Verdict.PLAUSIBLE else "Patch that no test decided"
    return f"{kind}: {judgement.reason}." if judgement.reason else f"{kind}."


def github_commands(findings: Sequence[Finding], sources: Mapping[str, Source]) -> Iterator[str]:
    """A workflow command per finding, with the diff of its best patch.

    Columns are left out: GitHub shows whole lines. Syntax and escapes: actions/toolkit, core/src/command.ts.
    """
    for finding in findings:
        first, last = sources[finding.path].lines_of(finding.span)
        title = {"suspect": "Suspect"}.get(finding.rule, "Patch by Emend")
        properties = {"file": finding.path, "line": str(first), "endLine": str(last), "title": title}
        listed = ",".join(f"{name}={_escaped(value, ':,')}" for name, value in properties.items())
        diffs = "".join(f"\n\n{render_diff(j.candidate.patch, sources)}" for j in finding.patches[:1])
        yield f"::{_COMMANDS[finding.level]} {listed}::{_escaped(finding.message + diffs)}"


def _escaped(text: str, also: str = "") -> str:
    for sign in ("%", "\r", "\n", *also):
        text = text.replace(sign, f"%{ord(sign):02X}")
    return text
