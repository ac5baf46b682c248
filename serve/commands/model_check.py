"""`emend model check`: is a model inside what it was when its reference was made? Alarms, farthest outside first."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.text import Text

import eval.suites
from repair.errors import InputError
from repair.explain.anomalies import alarms
from repair.explain.glass import Glass, open_glass
from repair.explain.reference import Reference, read_reference
from repair.explain.reference_file import load_reference
from serve.commands.model_cases import read_cases
from serve.printing import stdout

PROGRAMS = 8  # read; their median is compared
_SUITE = "emend_python.jsonl"


def run(source: str | None, *, adapter: Path | None, reference: Path | None, cases: Path | None, as_json: bool) -> int:
    """Exit code 0 without an alarm, 1 with one; errors are the boundary's."""
    views = [case.view for case in read_cases(cases or Path(eval.suites.__path__[0]) / _SUITE, PROGRAMS)]
    glass = open_glass(source, adapter=adapter)
    found = alarms(glass, views, reference_of(glass, reference))
    if as_json:
        told = {"model": glass.name, "programs": len(views), "alarms": [asdict(one) for one in found]}
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return 1 if found else 0
    console = stdout()
    for alarm in found:
        console.print(Text(f"{alarm.kind}: {alarm}"), soft_wrap=True)
    many = f"{len(found)} alarm{'s' if len(found) != 1 else ''}" if found else "no alarm"
    console.print(Text(f"{many} on {len(views)} programs: {glass.name}"), soft_wrap=True)
    return 1 if found else 0


def reference_of(glass: Glass, given: Path | None) -> Reference:
    """The reference in a file, of whatever weights, else the model's own. Raises InputError where there is none."""
    if given is not None:
        return load_reference(given)
    found = read_reference(glass)
    if found is None:
        raise InputError(
            f"{glass.name} has no reference: make one with `emend model reference --cases FILE`, or give the "
            "original's with --reference",
            field="reference",
        )
    return found
