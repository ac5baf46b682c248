"""`emend doctor`: what works on this machine, and what to do about what does not."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from repair.errors import BoundaryError, InputError
from repair.sandbox import Tier
from serve.printing import progress, stdout

if TYPE_CHECKING:
    from serve.settings import Settings

_TIERS = {
    Tier.A: "bubblewrap, seccomp, cgroup",
    Tier.B: "bubblewrap, seccomp, memory watchdog",
    Tier.C: "landlock, seccomp, limits",
    Tier.E: "limits only, isolates nothing; used only with --unsafe-no-sandbox",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `needed` ones that do not work make the command fail."""

    what: str
    works: bool
    detail: str
    needed: bool = False


def run(config: Path | None, model: str | None, *, as_json: bool) -> int:
    """Exit code 0 when code can be repaired and judged here with these settings, 1 when not."""
    with progress("looking at this machine"):
        settings = _settings(config)
        if isinstance(settings, Finding):
            service = (settings,)
        else:
            model = model or settings.model
            service = (Finding("settings", works=True, detail=_differing(settings), needed=True), _database(settings))
        findings = (*service, _model(model), *_sandbox(), _python(), *_programs(), _device())
    if as_json:
        sys.stdout.write(json.dumps([asdict(f) for f in findings], indent=2) + "\n")
    else:
        table = Table(box=None, pad_edge=False, show_header=False)
        for finding in findings:
            mark = "[green]works[/]" if finding.works else "[red]missing[/]" if finding.needed else "[yellow]absent[/]"
            table.add_row(finding.what, mark, finding.detail)
        stdout().print(table)
    return 0 if all(f.works for f in findings if f.needed) else 1


def _settings(config: Path | None) -> Settings | Finding:
    from serve.settings import read_settings

    try:
        return read_settings(config)
    except InputError as error:
        return Finding("settings", works=False, detail=str(error), needed=True)


def _differing(settings: Settings) -> str:
    """Which settings are not the defaults; never their values, some are secrets."""
    fields = type(settings).model_fields
    names = [name for name, field in fields.items() if getattr(settings, name) != field.default]
    return f"set: {', '.join(names)}" if names else "the defaults"


def _database(settings: Settings) -> Finding:
    from sqlalchemy import text

    from serve.settings import database_url
    from serve.store.database import Database

    url = database_url(settings)
    kind = url.partition(":")[0].partition("+")[0]
    if kind == "sqlite" and not Path(url.removeprefix("sqlite:///")).exists():
        return Finding("database", works=True, detail="SQLite, made at the first start of `emend serve`", needed=True)
    try:
        with closing(Database(url, None)) as database:  # looked at only: migrating is the service's affair
            database.read(lambda connection: connection.execute(text("SELECT 1")).scalar_one())
    except BoundaryError as error:
        return Finding("database", works=False, detail=str(error), needed=True)
    return Finding("database", works=True, detail=f"{kind} answers", needed=True)


def _model(spec: str | None) -> Finding:
    from repair.models.select import load_model

    started = time.monotonic()
    try:
        model = load_model(spec)
    except BoundaryError as error:
        return Finding("model", works=False, detail=str(error), needed=True)
    if model is None:
        return Finding("model", works=True, detail="none: patches come from mutations only", needed=True)
    return Finding(
        "model", works=True, detail=f"{model.name}, loaded in {time.monotonic() - started:.1f} s", needed=True
    )


def _sandbox() -> tuple[Finding, ...]:
    from repair.sandboxes.select import probe

    reports = probe()
    found = [Finding(f"sandbox tier {r.tier.value}", r.holds, r.detail or _TIERS[r.tier]) for r in reports]
    some = any(r.holds for r in reports if r.tier is not Tier.E)
    advice = "the strongest tier that works is used" if some else "install bubblewrap: apt-get install bubblewrap"
    return (Finding("sandbox", some, advice, needed=True), *found)


def _python() -> Finding:
    from repair.oracles.interpreters import find_python

    try:
        python = find_python(None, Path.cwd())
    except BoundaryError as error:
        return Finding("python for tests", works=False, detail=str(error), needed=True)
    return Finding("python for tests", works=True, detail=str(python.path), needed=True)


def _programs() -> tuple[Finding, ...]:
    languages = {"node": "JavaScript tests", "javac": "Java tests"}
    found = {name: shutil.which(name) for name in languages}
    return tuple(
        Finding(name, path is not None, path or f"only needed for {languages[name]}") for name, path in found.items()
    )


def _device() -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding("GPU", works=True, detail=torch.cuda.get_device_name())
    return Finding("GPU", works=False, detail=f"running on {os.cpu_count()} CPU cores")
