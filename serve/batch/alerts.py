"""Alerts of a SARIF file as faults that no test speaks of."""

from __future__ import annotations

import hashlib
from pathlib import Path

from repair.defects import Budget
from repair.errors import InputError
from repair.projects.values import Fault, Ranked, Refusal, Standing
from repair.sources import read_source
from serve.alerts import Alert, alert_request, read_alerts

_TITLE = 200  # characters


def alert_faults(text: str, root: Path) -> tuple[tuple[Fault, ...], tuple[str, ...]]:
    """A fault for each alert, in the order of the file, and notes on those whose file cannot be repaired.

    Raises Refusal for what is no SARIF file.
    """
    try:
        alerts = read_alerts(text, root=root)
    except InputError as error:
        raise Refusal(Standing.UNREADABLE, f"the SARIF file cannot be read: {error}") from error
    faults: dict[str, Fault] = {}
    notes: list[str] = []
    for alert in alerts:
        try:
            fault = _fault(alert, root)
        except InputError as error:
            notes.append(f"the alert {alert.place} is left out: {error}")
            continue
        faults.setdefault(fault.key, fault)
    return tuple(faults.values()), tuple(notes)


def _fault(alert: Alert, root: Path) -> Fault:
    source = read_source(root, alert.path)
    request = alert_request(alert, source, Budget())
    place = request.location
    words = (alert.path, alert.rule, alert.message, str(place))
    key = "a" + hashlib.sha256("\0".join(words).encode("utf-8", "replace")).hexdigest()[:12]
    reason = (f"{alert.tool or 'a tool'} says so",)
    return Fault(
        key,
        f"{alert.rule}: {alert.message}"[:_TITLE] if alert.rule else alert.message[:_TITLE],
        (),
        request.defect.evidence,
        files=(Ranked(alert.path, 1.0, reasons=reason),),
        lines=(Ranked(alert.path, 1.0, place.first, place.last, reasons=reason),) if place else (),
    )
