"""Findings as SARIF 2.1.0 (OASIS, https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/): pure values, no files.

Paths are relative to the project's root; nothing of this machine is told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import quote

from repair.edits import Edit, Span
from repair.sources import Source
from repair.verdicts import Judgement
from serve.findings import LEVELS, Finding, Rule, patch_message

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
INFORMATION_URI = "urn:emend"  # the project has no address of its own yet
ROOT = "SRCROOT"
FINGERPRINT = "emendLine/v1"
_RULES: Mapping[Rule, tuple[str, str]] = {
    "plausible-patch": ("PlausiblePatch", "A patch with which the failing tests pass, and those that passed still do."),
    "undecided-patch": ("UndecidedPatch", "A likely patch that no test decided."),
    "suspect": ("Suspect", "A place that may hold the fault."),
}
_NUMBERS = {rule: number for number, rule in enumerate(_RULES)}
Json = dict[str, Any]


def sarif_log(findings: Sequence[Finding], sources: Mapping[str, Source], *, notes: Sequence[str] = ()) -> Json:
    """A log of one run. `notes` become notifications of the run."""
    told = [{"level": "note", "message": {"text": note}} for note in notes]
    driver = {
        "name": "Emend",
        "semanticVersion": _version(),
        "informationUri": INFORMATION_URI,
        "rules": [_rule(rule) for rule in _RULES],
    }
    run = {
        "tool": {"driver": driver},
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": told}],
        "columnKind": "utf16CodeUnits",
        "originalUriBaseIds": {ROOT: {"description": {"text": "The root of the project."}}},
        "results": [_result(finding, sources) for finding in findings],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _version() -> str:
    try:
        return version("emend")
    except PackageNotFoundError:  # run from its sources
        return "0.0.0"


def _rule(rule: Rule) -> Json:
    name, text = _RULES[rule]
    return {
        "id": rule,
        "name": name,
        "shortDescription": {"text": text},
        "defaultConfiguration": {"level": LEVELS[rule]},
    }


def _result(finding: Finding, sources: Mapping[str, Source]) -> Json:
    source = sources[finding.path]
    where = {"artifactLocation": artifact(finding.path), "region": region(source, finding.span)}
    result: Json = {
        "ruleId": finding.rule,
        "ruleIndex": _NUMBERS[finding.rule],
        "level": finding.level,
        "message": {"text": finding.message},
        "locations": [{"physicalLocation": where}],
        "partialFingerprints": {FINGERPRINT: fingerprint(source, source.lines_of(finding.span)[0])},
    }
    if finding.share is not None:
        result["rank"] = round(100 * min(max(finding.share, 0.0), 1.0), 4)
    if finding.patches:
        result["fixes"] = [_fix(judgement, sources) for judgement in finding.patches]
    return result


def _fix(judgement: Judgement, sources: Mapping[str, Source]) -> Json:
    changes = [
        {
            "artifactLocation": artifact(file.path),
            "replacements": [_replacement(sources[file.path], edit) for edit in file.edits],
        }
        for file in judgement.candidate.patch.files
    ]
    return {"description": {"text": patch_message(judgement)}, "artifactChanges": changes}


def _replacement(source: Source, edit: Edit) -> Json:
    deleted = {"deletedRegion": region(source, edit.span)}
    return {**deleted, "insertedContent": {"text": edit.text}} if edit.text else deleted


def artifact(path: str) -> Json:
    """A file of the project; its URI is relative and percent-encoded (also a colon, which could begin a scheme)."""
    return {"uri": quote(path.encode("utf-8", "surrogateescape"), safe="/"), "uriBaseId": ROOT}


def region(source: Source, span: Span) -> Json:
    """Lines and columns from 1, columns in UTF-16 code units, the end exclusive."""
    start_line, start_column = _position(source, span.start)
    end_line, end_column = _position(source, span.end)
    return {"startLine": start_line, "startColumn": start_column, "endLine": end_line, "endColumn": end_column}


def _position(source: Source, offset: int) -> tuple[int, int]:
    line, column = source.position(offset)
    before = source.text[offset - column + 1 : offset]
    if before.endswith("\n"):  # the end of a text that ends with a newline lies on a line of its own
        return line + 1, 1
    return line, 1 + len(before.encode("utf-16-le", "surrogatepass")) // 2


def fingerprint(source: Source, line: int) -> str:
    """Stays the same when lines are added or removed elsewhere: from the path, the line's words, and which of its like.

    Lines that say the same are counted from the top of the file.
    """
    wanted = " ".join(source.line(line).split())
    nth = sum(" ".join(source.line(n).split()) == wanted for n in range(1, line + 1))
    digest = hashlib.sha256(f"{source.path}\0{wanted}".encode("utf-8", "surrogatepass")).hexdigest()
    return f"{digest[:32]}:{nth}"
