"""Findings: suspects and failing assertions as they are shown in an editor. Pure; knows no server and no disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lsprotocol import types

from repair.defects import Defect, FailingTest
from repair.edits import Span
from repair.oracle import Baseline
from repair.sources import Source
from repair.traces import evidence_frames, headline
from repair.traces.places import owner
from repair.verdicts import Suspect
from serve.lsp.positions import BOM, Positions
from serve.lsp.project import Base, Project

SOURCE = "emend"
SHOWN_SUSPECTS = 5
_LEAST_SHARE = 0.02  # suspects below are not shown, but for the first
_LIKELY = 0.2  # a suspect of the model alone is more than a hint from here on
_MESSAGE = 300

Kind = Literal["tests", "error", "model"]
_TESTS = {"tests": "tests: failed", "error": "tests: not run", "model": "tests: not run"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One diagnostic to be; `line` is 1-based, in the text of `base`, for which alone it holds."""

    base: Base
    line: int
    message: str
    kind: Kind
    severity: types.DiagnosticSeverity
    failure: bool = False  # where the failure shows, not where its cause may be

    def diagnostic(self, encoding: str) -> types.Diagnostic:
        """In the protocol's words."""
        return types.Diagnostic(
            range=Positions(self.base.text, encoding).range(line_span(self.base.text, self.line)),
            message=self.message,
            severity=self.severity,
            source=SOURCE,
            code=self.kind,
            data={"version": self.base.version, "hash": self.base.digest},
        )


def line_span(text: str, line: int) -> Span:
    """The code of a 1-based line, without indentation; the last line's for a line beyond it."""
    source = Source("any.txt", text.removeprefix(BOM))
    span = source.line_span(min(max(line, 1), source.line_count))
    code = span.of(source.text)
    start = span.start + len(code) - len(code.lstrip())
    return Span(min(start, span.end), max(start, span.start + len(code.rstrip())))


def suspects_found(project: Project, suspects: Sequence[Suspect], what: str, kind: Kind) -> tuple[Finding, ...]:
    """The most suspicious lines, each once; `what` is the failure in one line, "" when nothing failed."""
    found: dict[tuple[str, int], Finding] = {}
    for suspect in suspects:
        if len(found) == SHOWN_SUSPECTS or (found and suspect.suspiciousness < _LEAST_SHARE):
            break
        share = suspect.suspiciousness
        message = f"{what or 'suspicious'} [suspicion {share:.0%}; {_TESTS[kind]}]"
        finding = Finding(project.bases[suspect.path], suspect.line, message[:_MESSAGE], kind, _severity(kind, share))
        found.setdefault((suspect.path, suspect.line), finding)
    return tuple(found.values())


def failures_found(project: Project, baseline: Baseline) -> tuple[Finding, ...]:
    """The line of each told failing test where it failed."""
    found: list[Finding] = []
    for test in baseline.evidence:
        if not isinstance(test, FailingTest):
            continue
        for frame in evidence_frames(test):
            name = owner(frame, project.tests)
            if name is not None and name in project.bases:
                message = f"{test.test_id} fails here: {headline(Defect((test,)))}"[:_MESSAGE]
                severity = types.DiagnosticSeverity.Information
                found.append(Finding(project.bases[name], frame.line, message, "tests", severity, failure=True))
                break
    return tuple(found)


def failed_sentence(baseline: Baseline, headline: str) -> str:
    """What failed, in one line."""
    failing = sorted(baseline.failing)
    more = f" and {len(failing) - 1} more" if len(failing) > 1 else ""
    named = f"{failing[0]}{more} fails" if failing and "/" not in failing[0][:1] else "the tests fail"
    return f"{named}: {headline}" if headline else named


def _severity(kind: Kind, share: float) -> types.DiagnosticSeverity:
    if kind != "model":
        return types.DiagnosticSeverity.Warning
    return types.DiagnosticSeverity.Information if share >= _LIKELY else types.DiagnosticSeverity.Hint
