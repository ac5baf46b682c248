"""Pull requests made ready: title and body, and the commands that would push and open. Nothing here runs them.

What comes from the repository (names of tests, messages, places) shows as it is and does nothing: it is escaped for
Markdown, quoted for the shell.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from repair.projects.values import Fault, Fix, Outcome, State
from serve.batch.branches import PREFIX, Branch, branch_name
from serve.batch.markup import code, fence, folded, prose, table
from serve.batch.messages import verdict_of
from serve.batch.report import RunInfo
from serve.batch.wording import (
    REVIEW,
    Entry,
    counted,
    entries,
    evidence_text,
    one_line,
    place_of,
    reproduced,
    subject,
    top_places,
    verified,
)

LARGEST = 60_000  # characters of a body; GitHub takes 65,536
_TESTS = 20
_PLACES = 5
_EVIDENCE = 3
_ALTERNATIVES = 3
_CUTS = (300, 80, 20, 5)  # lines of a diff, the first that fits


@dataclass(frozen=True, slots=True)
class PullRequest:
    """`head` is the fix's branch, `base` the one that was repaired ("": the remote's default one)."""

    number: int
    title: str
    body: str
    head: str
    base: str

    def files(self, name: str) -> Mapping[str, bytes]:
        """The files of a repository of that name: body, all of it as JSON, the commands."""
        stem = f"{name}/{self.number:02}"
        told = {"title": self.title, "body": self.body, "head": self.head, "base": self.base}
        return {
            f"{stem}.md": self.body.encode(),
            f"{stem}.json": (json.dumps(told, indent=1) + "\n").encode(),
            f"{stem}.sh": self.commands().encode(),
        }

    def commands(self) -> str:
        """A shell script that pushes the branch and opens the request, for the user to run or not."""
        base = [f"--base={self.base}"] if self.base else []
        opened = ["gh", "pr", "create", f"--head={self.head}", *base, f"--title={self.title}"]
        ref = f"refs/heads/{self.head}"
        return (
            "#!/bin/sh\n"
            "# Read the .md file beside this one and the branch first. Run it inside of the repository;\n"
            "# REMOTE names where to push to (origin).\n"
            "set -eu\n"
            'here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)\n'
            f'git push -- "${{REMOTE:-origin}}" {shlex.quote(f"{ref}:{ref}")}\n'
            f'{shlex.join(opened)} --body-file="$here/{self.number:02}.md"\n'
        )


def pull_requests(
    outcome: Outcome, run: RunInfo, branches: Sequence[Branch] = (), *, prefix: str = PREFIX
) -> tuple[PullRequest, ...]:
    """One for each fix that passed. `branches` are those that were written; else they have their first names."""
    written = {branch.fault: branch.name for branch in branches if branch.commit}
    base = one_line(outcome.diagnosis.branch) if outcome.diagnosis else ""
    return tuple(
        PullRequest(
            entry.number,
            subject(entry.called),
            body(entry, entry.fix, run),
            written.get(entry.key) or branch_name(entry, prefix),
            base,
        )
        for entry in entries(outcome)
        if entry.fix is not None and entry.patched and entry.fix.state is State.FIXED
    )


def body(entry: Entry, fix: Fix, run: RunInfo) -> str:
    """The body in Markdown, at most LARGEST characters."""
    text = ""
    for lines in _CUTS:
        text = "\n".join(_body(entry, fix, run, lines))
        if len(text) <= LARGEST:
            break
    return text


def _body(entry: Entry, fix: Fix, run: RunInfo, lines: int) -> Iterator[str]:
    yield f"{prose(subject(entry.title, 'Fixes'))}\n"
    if entry.fault is not None:
        yield from _failed(entry.fault, lines)
    yield f"## Fix\n\n{fence(fix.diff, 'diff', lines)}"
    if entry.fault is not None and top_places(entry.fault):
        yield f"## Why here\n\n{places_table(entry.fault, _PLACES)}"
    yield f"## How it was verified\n\n{verified(fix)}\n\n{facts_table(fix, run.model)}"
    if fix.reproduction is not None:
        shown = fence(fix.reproduction.text, "", lines)
        yield f"{reproduced(fix)}\n\n{folded('The test', shown)}"
    if fix.alternatives:
        others = counted(len(fix.alternatives), "other candidate")
        shown = "\n".join(fence(diff, "diff", lines) for diff in fix.alternatives[:_ALTERNATIVES])
        yield f"## Other candidates\n\n{others} passed the same tests.\n\n{folded('Show', shown)}"
    yield f"## Before you merge\n\n{REVIEW}\n\nMade by Emend {prose(run.version)}, fault {code(entry.key)}.\n"


def _failed(fault: Fault, lines: int) -> Iterator[str]:
    if not fault.tests and not fault.evidence:
        return
    yield "## What failed\n"
    if fault.tests:
        yield "".join(f"- {code(test)}\n" for test in fault.tests[:_TESTS]) + (
            f"- and {len(fault.tests) - _TESTS} more\n" if len(fault.tests) > _TESTS else ""
        )
    for evidence in fault.evidence[:_EVIDENCE]:
        head, text = evidence_text(evidence)
        yield f"{code(head)}\n\n{fence(text, '', min(lines, 40))}"


def places_table(fault: Fault, count: int) -> str:
    """The most suspected places as a table."""
    rows = [
        (code(place_of(r)), f"{r.score:.2f}", prose("; ".join(r.reasons[:4]), 400)) for r in top_places(fault)[:count]
    ]
    return table(("place", "share of suspicion", "reasons"), rows, (1,))


def facts_table(fix: Fix, model: str) -> str:
    """What a verdict rests on, as a table."""
    rows = [
        ("verdict", code(verdict_of(fix))),
        ("failing tests that pass now", f"{len(fix.fixed):,}"),
        ("passing tests that were run again", f"{fix.checked:,}"),
        ("of them running the changed code", f"{fix.impacted:,}"),
        ("proposed by", code(fix.origin)),
        ("score", f"{fix.score:.4f}"),
        ("model", code(model)),
    ]
    return table(("", ""), rows)
