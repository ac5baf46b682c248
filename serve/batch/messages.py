"""The message of a fix's commit: subject, what failed, why this place, how it was checked, and trailers.

A commit of a branch and the mail of a patch carry the same message. Every line that quotes the repository is
indented: nothing in it can be taken for a trailer, a mail's header or the beginning of a diff.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from repair.projects.values import Fix, Outcome, State
from repair.verdicts import Verdict
from serve.batch.report import RunInfo
from serve.batch.wording import (
    REVIEW,
    Entry,
    counted,
    failure_line,
    one_line,
    place_of,
    subject,
    top_places,
    verified,
)

_TESTS = 5
_PLACES = 3
_NAMED = 20  # tests that trailers name


def fix_message(entry: Entry, run: RunInfo, *, with_tests: bool = False) -> str:
    """The message of the commit that makes a fix. Needs an entry with a fix."""
    fix = _fix(entry)
    parts = [subject(entry.called), *_failed(entry), *_why(entry), _wrapped(f"{verified(fix)} {REVIEW}")]
    if with_tests and fix.reproduction is not None:
        parts.append("The test that reproduces the failure is part of this commit.")
    return "\n\n".join((*parts, "\n".join(_trailers(entry, fix, run)))) + "\n"


def test_message(entry: Entry, run: RunInfo) -> str:
    """The message of the commit that adds a fault's reproduction test."""
    fix = _fix(entry)
    assert fix.reproduction is not None
    after = {True: "It passes with the patch beside it.", False: "It still fails with the patch beside it.", None: ""}
    body = f"It fails on the unchanged code with the reported error. {after[fix.reproduction.passes]}".strip()
    quoted = _indented(one_line(fix.reproduction.before, 400))
    trailers = (f"Emend-Fault: {_value(entry.key)}", f"Emend-Version: {_value(run.version)}")
    return "\n\n".join((subject(entry.called, "Test"), _wrapped(body), *quoted, "\n".join(trailers))) + "\n"


def all_message(outcome: Outcome, known: Sequence[Entry], run: RunInfo) -> str:
    """The message of the commit that makes all fixes of a combination."""
    assert outcome.combination is not None
    wanted = [entry for key in outcome.combination.fixes for entry in known if entry.key == key]
    listed = "\n".join(f"    {one_line(entry.called, 100)}" for entry in wanted)
    body = f"All of them were applied together and the whole test suite was run on that: it passes. {REVIEW}"
    trailers = (
        *(f"Emend-Fault: {_value(entry.key)}" for entry in wanted),
        f"Emend-Verdict: {Verdict.PLAUSIBLE}",
        *_model(run),
        f"Emend-Version: {_value(run.version)}",
    )
    head = f"Fix {counted(len(outcome.combination.fixes), 'fault')}"
    return "\n\n".join(part for part in (head, listed, _wrapped(body), "\n".join(trailers)) if part) + "\n"


def verdict_of(fix: Fix) -> str:
    """The verdict's word; where none is stored, what the state says."""
    return fix.verdict or str(Verdict.PLAUSIBLE if fix.state is State.FIXED else Verdict.UNDECIDED)


def _fix(entry: Entry) -> Fix:
    assert entry.fix is not None
    return entry.fix


def _failed(entry: Entry) -> Iterator[str]:
    if entry.fault is None or not (entry.fault.tests or entry.fault.evidence):
        return
    lines = [one_line(test, 160) for test in entry.fault.tests[:_TESTS]]
    if len(entry.fault.tests) > _TESTS:
        lines.append(f"… and {len(entry.fault.tests) - _TESTS} more")
    said = one_line(failure_line(entry.fault), 300)
    quoted = "\n".join([*(f"    {line}" for line in lines), *_indented(said)])
    yield "What failed:" if quoted else "What failed is not known."
    if quoted:
        yield quoted


def _why(entry: Entry) -> Iterator[str]:
    if entry.fault is None or not top_places(entry.fault):
        return
    said = [
        "\n".join(_indented(f"{place_of(r)} ({r.score:.2f}){': ' if r.reasons else ''}{'; '.join(r.reasons[:3])}"))
        for r in top_places(entry.fault)[:_PLACES]
    ]
    yield "Why this place (the most suspected ones, with their share of suspicion):"
    yield "\n".join(said)


def _trailers(entry: Entry, fix: Fix, run: RunInfo) -> Iterator[str]:
    yield f"Emend-Fault: {_value(entry.key)}"
    yield f"Emend-Verdict: {_value(verdict_of(fix))}"
    for test in fix.fixed[:_NAMED]:
        yield f"Emend-Tests: {_value(test)}"
    if len(fix.fixed) > _NAMED:
        yield f"Emend-Tests: and {len(fix.fixed) - _NAMED} more"
    yield f"Emend-Regression-Tests: {fix.checked} run again, {'0 fail' if fix.state is State.FIXED else 'not judged'}"
    yield from _model(run)
    yield f"Emend-Score: {fix.score:.4f}"
    yield f"Emend-Version: {_value(run.version)}"


def _model(run: RunInfo) -> Iterator[str]:
    if run.model:
        yield f"Emend-Model: {_value(run.model)}"


def _value(text: str) -> str:
    return one_line(text, 200) or "-"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 72, break_long_words=False, break_on_hyphens=False)


def _indented(text: str) -> list[str]:
    """Wrapped lines, each behind four blanks."""
    return textwrap.wrap(
        one_line(text, 600),
        76,
        initial_indent="    ",
        subsequent_indent="      ",
        break_long_words=False,
        break_on_hyphens=False,
    )
