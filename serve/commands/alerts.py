"""`emend fix --sarif-in`: repair the alerts of another tool, one after another, and tell of each."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from repair.defects import Budget
from repair.errors import InputError, NothingToRepair
from repair.model import Model
from repair.sources import Source
from repair.verdicts import RepairResult
from serve.alerts import MAX_SARIF_BYTES, Alert, alert_request, read_alerts
from serve.commands.fix import best, followed, write_patch
from serve.commands.given import Given, project_root, read_project_source
from serve.commands.reports import OutputFormat, write_findings
from serve.findings import Finding
from serve.oracles import Judging, events_of, project_oracle
from serve.printing import print_patches, progress, shown, stderr, stdout, write_diff

_TESTS_PASS = "the tests pass as they are, so that they cannot tell whether a patch ends this alert"


@dataclass(frozen=True, slots=True)
class _Repaired:
    """An alert and the repair that was made of it."""

    alert: Alert
    result: RepairResult

    @property
    def source(self) -> Source:
        return self.result.request.sources[0]


def run(given: Given, sarif: Path, *, apply: bool, diff_only: bool, form: OutputFormat) -> int:
    """Exit code 0 when every alert has a patch, also when there is no alert; 1 otherwise."""
    from repair.models.select import load_model

    if given.error is not None:
        raise InputError("--sarif-in brings the errors; leave --error out", field="error")
    if apply and form in ("github", "sarif"):  # places in files that change meanwhile
        raise InputError("--apply with --sarif-in tells in text or JSON only; leave one of them out", field="apply")
    root = project_root(given.paths, has_tests=given.test is not None) if given.paths else Path.cwd()
    alerts = _wanted(read_alerts(_read(sarif), root=root), given, root)
    with progress("loading the model"):
        model = load_model(given.model, adapter=str(given.adapter) if given.adapter else None)
    done: list[_Repaired] = []
    for repaired in _repaired(given, root, alerts, model):
        done.append(repaired)
        if form == "text":
            _tell(repaired, diff_only=diff_only)
        if apply and repaired.result.chosen is not None:
            write_patch(root, repaired.result)
    _report(done, form, model)
    patched = sum(best(one.result) is not None for one in done)
    stderr().print(f"{patched} of {len(done)} alerts have a patch.", soft_wrap=True)
    return 0 if patched == len(done) else 1


def _read(sarif: Path) -> str:
    try:
        content = sys.stdin.buffer.read(MAX_SARIF_BYTES + 1) if str(sarif) == "-" else sarif.read_bytes()
        return content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"--sarif-in: {sarif}: {error.strerror or error}", field="sarif") from error
    except UnicodeDecodeError as error:
        raise InputError(f"--sarif-in: {sarif}: not utf-8 text", field="sarif") from error


def _wanted(alerts: Iterable[Alert], given: Given, root: Path) -> list[Alert]:
    """Alerts in the given files, else all; from the end of each file on, so that a patch moves none still to come."""
    paths = {read_project_source(root, path).path for path in given.paths}
    chosen = [alert for alert in alerts if not paths or alert.path in paths]
    return sorted(chosen, key=lambda alert: (alert.path, -(alert.region.startLine or 0)))


def _repaired(given: Given, root: Path, alerts: Iterable[Alert], model: Model | None) -> Iterator[_Repaired]:
    for alert in alerts:
        try:
            source = read_project_source(root, root / alert.path)
        except InputError as error:
            raise InputError(f"{alert.place}: {error}", field="sarif") from error
        try:
            yield _Repaired(alert, _repair(given, root, alert, source, model))
        except NothingToRepair:
            result = _repair(replace(given, test=None), root, alert, source, model)
            yield _Repaired(alert, replace(result, notes=(*result.notes, _TESTS_PASS)))


def _repair(given: Given, root: Path, alert: Alert, source: Source, model: Model | None) -> RepairResult:
    request = alert_request(alert, source, Budget(given.candidates, given.seconds))
    judging = Judging(given.sandbox_minimum, given.unsafe_no_sandbox, given.python)
    oracle = project_oracle(root, request, judging, given.test)
    with progress(f"{alert.path}: {alert.rule}") as status, closing(events_of(request, model, oracle)) as events:
        return followed(events, status)


def _tell(repaired: _Repaired, *, diff_only: bool) -> None:
    alert, sources = repaired.alert, {repaired.source.path: repaired.source}
    found = best(repaired.result)
    if diff_only:
        if found is not None:
            write_diff(found.candidate.patch, sources)
        return
    head = f"{alert.path}:{alert.region.startLine or 1}: {alert.rule}: {alert.message} ({alert.place})"
    stdout().print(shown(head), soft_wrap=True, markup=False)
    if found is None:
        stdout().print("no patch was found", soft_wrap=True)
    print_patches(stdout(), repaired.result.judgements[:1], sources)
    for note in repaired.result.notes:
        stderr().print(f"note: {note}", soft_wrap=True, markup=False)


def _report(done: list[_Repaired], form: OutputFormat, model: Model | None) -> None:
    if form == "json":
        sys.stdout.write(json.dumps({"alerts": [_json(one, model) for one in done]}, indent=2) + "\n")
    elif form != "text":
        sources = {one.source.path: one.source for one in reversed(done)}
        write_findings(form, [_finding(one) for one in done], sources)


def _json(repaired: _Repaired, model: Model | None) -> Mapping[str, object]:
    from serve.wire import repair_out

    out = repair_out(repaired.result, identity=f"rep_{uuid.uuid4().hex}", model=model.name if model else "none")
    alert = repaired.alert
    told = {"place": alert.place, "path": alert.path, "line": alert.region.startLine, "rule": alert.rule}
    return {"alert": {**told, "message": alert.message}, "repair": out.model_dump(mode="json")}


def _finding(repaired: _Repaired) -> Finding:
    """The alert's place with its patches."""
    result, source = repaired.result, repaired.source
    found = best(result)
    location = result.request.location
    span = source.line_span(location.first, location.last) if location else source.line_span(1)
    message = f"{repaired.alert.rule}: {repaired.alert.message}"
    return Finding(source.path, span, message, None, (found,) if found else ())
