"""`emend fix`: find the fault, propose patches, judge them, and with --apply write the chosen one."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from rich.status import Status

from repair.errors import InputError, NothingToRepair
from repair.model import Model
from repair.pipeline import Event, Finished, SuspectsFound
from repair.verdicts import Judgement, RepairResult, Verdict
from serve.commands.given import Given, foreign_note, read_request
from serve.commands.reports import OutputFormat, write_report
from serve.oracles import Judging, events_of, project_oracle
from serve.printing import print_patches, print_suspects, progress, stderr, stdout, write_diff


def run(
    given: Given,
    *,
    apply: bool = False,
    diff_only: bool = False,
    as_json: bool = False,
    output: OutputFormat = "text",
    sarif_in: Path | None = None,
) -> int:
    """Exit code 0: a plausible patch (without tests: any; of a SARIF file: for each alert), 1: none.

    With `given.passing_ok` tests that pass as they are give 0 too, and an empty report: what a hook or a CI job wants.
    """
    form: OutputFormat = "json" if as_json else output
    if diff_only and form != "text":
        raise InputError("--diff prints a diff; leave --json, --sarif and --output-format out", field="diff")
    if sarif_in is not None:
        from serve.commands import alerts

        return alerts.run(given, sarif_in, apply=apply, diff_only=diff_only, form=form)
    try:
        return _run(given, apply=apply, diff_only=diff_only, form=form)
    except NothingToRepair as nothing:
        if not given.passing_ok:
            raise
        if form in ("github", "sarif"):
            write_report(form, (), (), {}, notes=(str(nothing),))
        stderr().print(str(nothing), soft_wrap=True, markup=False)
        return 0


def _run(given: Given, *, apply: bool, diff_only: bool, form: OutputFormat) -> int:
    from repair.models.select import load_model

    root, request = read_request(given)
    remarks = stderr()
    if note := foreign_note(request):
        remarks.print(note, soft_wrap=True)
    judging = Judging(given.sandbox_minimum, given.unsafe_no_sandbox, given.python)
    oracle = project_oracle(root, request, judging, given.test)
    with progress("loading the model") as status:
        model = load_model(given.model, adapter=str(given.adapter) if given.adapter else None)
        if status:
            status.update("running the tests" if given.test else "reading the code")
        with closing(events_of(request, model, oracle)) as events:
            result = followed(events, status)
    if diff_only:
        _print_diff(result)
    elif form == "json":
        _print_json(result, model)
    elif form == "text":
        _print(result)
    else:
        sources = {source.path: source for source in result.request.sources}
        write_report(form, result.suspects, result.judgements, sources, notes=result.notes)
    for note in result.notes:
        remarks.print(f"note: {note}", soft_wrap=True)
    applied = apply and write_patch(root, result)
    remarks.print(sentence(result, tests=given.test is not None, applied=applied), soft_wrap=True)
    return 0 if best(result) else 1


def followed(events: Iterator[Event], status: Status | None) -> RepairResult:
    """Run a repair to its end, telling how far it is."""
    plausible = 0
    for event in events:
        if isinstance(event, Finished):
            return event.result
        if status is None:
            continue
        if isinstance(event, SuspectsFound):
            status.update(f"{len(event.suspects)} suspects; looking for patches")
        else:
            plausible += event.judgement.verdict is Verdict.PLAUSIBLE
            status.update(f"judged {event.number} candidates, {plausible} plausible")
    raise NothingToRepair("the repair ended without a result")


def best(result: RepairResult) -> Judgement | None:
    """The patch to take: the chosen one, without tests the likeliest."""
    if result.chosen is not None:
        return result.chosen
    return next((j for j in result.judgements if j.verdict is Verdict.UNDECIDED), None)


def sentence(result: RepairResult, *, tests: bool, applied: bool) -> str:
    """The last sentence: what was found, for how much, and what to do next."""
    cost = f"{result.cost.candidates} candidates, {result.cost.test_runs} test runs, {result.cost.seconds:.1f} s"
    if result.chosen is not None:
        where = ", ".join(result.chosen.candidate.patch.paths)
        then = f"applied to {where}" if applied else "write it with --apply"
        return f"A plausible patch was found ({cost}); {then}."
    if best(result) is not None and not tests:
        return f"Nothing was judged for want of --test; the likeliest patches are shown ({cost})."
    if not result.judgements:
        return f"No patch could be proposed ({cost})."
    return f"No plausible patch was found ({cost}); a larger --candidates or --seconds may help."


def _print(result: RepairResult) -> None:
    console = stdout()
    sources = {source.path: source for source in result.request.sources}
    print_suspects(console, result.suspects, sources)
    print_patches(console, result.judgements, sources)


def _print_diff(result: RepairResult) -> None:
    found = best(result)
    if found is not None:
        write_diff(found.candidate.patch, {source.path: source for source in result.request.sources})


def _print_json(result: RepairResult, model: Model | None) -> None:
    from serve.wire import repair_out

    out = repair_out(result, identity=f"rep_{uuid.uuid4().hex}", model=model.name if model else "none")
    sys.stdout.write(out.model_dump_json(indent=2) + "\n")


def write_patch(root: Path, result: RepairResult) -> bool:
    """Write the chosen patch; a patch that no test judged is never written."""
    if result.chosen is None:
        return False
    from repair.workspace import apply_in_place

    apply_in_place(root, result.chosen.candidate.patch, result.request.sources)
    return True
