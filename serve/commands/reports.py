"""Results as machines read them: JSON of the service, GitHub's workflow commands, SARIF."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Literal

from repair.sources import Source
from repair.verdicts import Judgement, Suspect
from serve.findings import Finding, findings_of, github_commands
from serve.sarif import sarif_log

OutputFormat = Literal["text", "json", "github", "sarif"]
_SHOWN_ON_GITHUB = 5  # of findings without a patch; GitHub shows ten annotations of a kind and step
_SUSPECTS = 20


def write_report(
    form: OutputFormat,
    suspects: Sequence[Suspect],
    judgements: Sequence[Judgement],
    sources: Mapping[str, Source],
    *,
    notes: Sequence[str] = (),
) -> None:
    """Write suspects and patches to stdout, in form "github" or "sarif"."""
    shown = suspects[: _SHOWN_ON_GITHUB if form == "github" else _SUSPECTS]
    write_findings(form, findings_of(shown, judgements, sources), sources, notes=notes)


def write_findings(
    form: OutputFormat, findings: Sequence[Finding], sources: Mapping[str, Source], *, notes: Sequence[str] = ()
) -> None:
    """Write findings to stdout, in form "github" or "sarif"."""
    if form == "github":
        text = "".join(f"{line}\n" for line in github_commands(findings, sources))
    else:
        text = json.dumps(sarif_log(findings, sources, notes=notes), indent=2) + "\n"
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.flush()
