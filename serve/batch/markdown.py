"""report.md: the whole run for people who read it in a terminal or on a forge.

Every repository has a line; those with faults have a section each, as long as the file stays below LARGEST characters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from repair.projects.values import Diagnosis, Outcome
from serve.batch.markup import NOTHING, code, fence, folded, prose, table
from serve.batch.pullrequests import facts_table, places_table
from serve.batch.report import RunInfo
from serve.batch.wording import (
    REVIEW,
    Entry,
    counted,
    entries,
    evidence_text,
    fixed_count,
    reproduced,
    top_places,
    verified,
)

LARGEST = 4_000_000
_LEAST = 10_000  # characters: with less left nothing more is tried
_DIFF, _TEXT, _ALTERNATIVE = 200, 30, 60  # lines
_PLACES, _TESTS, _EVIDENCE, _ALTERNATIVES, _NOTES = 5, 10, 2, 3, 20  # how many


def markdown_report(outcomes: Sequence[Outcome], run: RunInfo) -> str:
    """The report; repositories by name."""
    known = sorted(outcomes, key=lambda o: o.name)
    text = "\n".join((_head(known, run), _overview(known), *_refusals(known)))
    left: list[str] = []
    for outcome in known:
        if outcome.diagnosis is None or not entries(outcome):
            continue
        full = len(text) + _LEAST > LARGEST
        section = "" if full else "\n".join(_repository(outcome, outcome.diagnosis, run))
        if full or len(text) + len(section) > LARGEST:
            left.append(outcome.name)
        else:
            text += section
    if left:
        text += f"\n{counted(len(left), 'repository')} with faults left out "
        text += "to keep this file small; report.json has them.\n"
    return text


def _head(outcomes: Sequence[Outcome], run: RunInfo) -> str:
    told = [("Emend", run.version), ("model", run.model), ("started", run.started), *run.settings]
    rows = [(prose(name, 60), code(value)) for name, value in told if value]
    return f"# Repair of {counted(len(outcomes), 'repository')}\n\n{REVIEW}\n\n{table(('setting', 'value'), rows)}"


def _overview(outcomes: Sequence[Outcome]) -> str:
    head = ("repository", "standing", "tests", "failing", "faults", "fixed", "seconds", "test runs")
    rows = [
        (
            code(o.name),
            str(o.standing),
            *_figures(o.diagnosis),
            fixed_count(o),
            f"{o.spent.seconds:,.0f}",
            f"{o.spent.test_runs:,}",
        )
        for o in outcomes
    ]
    return f"## Repositories\n\n{table(head, rows, tuple(range(2, 8)))}"


def _figures(diagnosis: Diagnosis | None) -> tuple[str, str, str]:
    if diagnosis is None:
        return NOTHING, NOTHING, NOTHING
    return f"{diagnosis.tests:,}", f"{len(diagnosis.failing):,}", f"{len(diagnosis.faults):,}"


def _refusals(outcomes: Sequence[Outcome]) -> Iterator[str]:
    told = [o for o in outcomes if not entries(o)]
    if told:
        rows = [(code(o.name), str(o.standing), prose(o.reason)) for o in told]
        yield f"## Nothing repaired\n\n{table(('repository', 'standing', 'why'), rows)}"


def _repository(outcome: Outcome, diagnosis: Diagnosis, run: RunInfo) -> Iterator[str]:
    yield f"\n## {code(outcome.name)}: {outcome.standing}\n"
    if outcome.reason:
        yield f"{prose(outcome.reason)}\n"
    yield table(("", ""), [(name, code(value)) for name, value in _facts(outcome, diagnosis)])
    if diagnosis.notes:
        yield "".join(f"- {prose(note)}\n" for note in diagnosis.notes[:_NOTES])
    if diagnosis.flaky:
        yield f"Flaky tests, left out of every verdict:\n\n{_tests(diagnosis.flaky)}"
    for entry in entries(outcome):
        yield from _fault(entry, run)
    combination = outcome.combination
    if combination is not None and (len(combination.fixes) > 1 or combination.left_out):
        yield "### All fixes together\n"
        passed = "all tests that passed before still pass" if combination.passed else "they do not pass the tests"
        yield f"{counted(len(combination.fixes), 'fix')} applied together: {passed}.\n"
        yield "".join(f"- {code(key)} left out: {prose(why)}\n" for key, why in combination.left_out[:_NOTES])


def _facts(outcome: Outcome, diagnosis: Diagnosis) -> tuple[tuple[str, str], ...]:
    return (
        ("commit", diagnosis.commit + (f" ({diagnosis.branch})" if diagnosis.branch else "")),
        ("test command", diagnosis.command),
        ("runner", diagnosis.runner),
        ("environment", diagnosis.environment),
        ("passing tests", f"{diagnosis.passing:,} of {diagnosis.tests:,}"),
        ("cost", f"{outcome.spent.seconds:,.0f} s, {outcome.spent.test_runs:,} test runs"),
    )


def _tests(tests: Sequence[str]) -> str:
    more = f"- and {len(tests) - _TESTS} more\n" if len(tests) > _TESTS else ""
    return "".join(f"- {code(test)}\n" for test in tests[:_TESTS]) + more


def _fault(entry: Entry, run: RunInfo) -> Iterator[str]:
    yield f"### Fault {entry.number}, {entry.state}: {code(entry.title, 120)}\n"
    fault, fix = entry.fault, entry.fix
    if fault is not None:
        yield _tests(fault.tests)
        for evidence in fault.evidence[:_EVIDENCE]:
            head, text = evidence_text(evidence)
            yield f"{code(head)}\n\n{fence(text, '', _TEXT)}"
        if top_places(fault):
            yield places_table(fault, _PLACES)
        yield "".join(f"- {prose(note)}\n" for note in fault.notes[:_NOTES])
    if fix is None:
        return
    if entry.patched:
        yield f"{verified(fix)}\n\n{fence(fix.diff, 'diff', _DIFF)}\n{facts_table(fix, run.model)}"
    else:
        yield f"No patch: {prose(fix.reason)}\n"
    if fix.reproduction is not None:
        yield f"{reproduced(fix)}\n\n{folded('The test', fence(fix.reproduction.text, '', _TEXT * 2))}"
    if fix.alternatives:
        shown = "\n".join(fence(diff, "diff", _ALTERNATIVE) for diff in fix.alternatives[:_ALTERNATIVES])
        yield folded(f"{counted(len(fix.alternatives), 'other candidate')} that passed the same tests", shown)
    spent = fix.spent
    yield (
        f"Cost: {spent.seconds:,.0f} s, {spent.test_runs:,} test runs, {spent.executed:,} single tests, "
        f"{spent.candidates:,} candidates, {spent.tokens:,} tokens.\n"
    )
