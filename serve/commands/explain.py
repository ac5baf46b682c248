"""`emend explain`: repair (or take a patch), then say what the model's change rests on: sentence, tables, a report."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rich.table import Table
from rich.text import Text

from repair.errors import InputError
from serve.commands.given import Given, foreign_note, read_request
from serve.commands.judge import read_patch
from serve.oracles import Judging, project_oracle
from serve.printing import progress, shown, stderr, stdout

if TYPE_CHECKING:
    from repair.explain.explain import Wanted
    from repair.explain.values import Explanation

_SHOWN = 5  # rows of each table
_STYLES = {"faithful": "green", "weak": "yellow", "failed": "red"}
_NARROWEST = 12  # characters of the last column of a table
_CODE = 70  # characters of a line in a table
E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Asked:
    """What to explain and where to put it, as it was typed."""

    candidate: int | None = None  # of the ranked ones, from 1
    patch: Path | None = None
    device: str | None = None
    methods: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    layer: int | None = None
    head: int | None = None
    target: str = "contrast"
    output: Path | None = None
    profile: Path | None = None
    as_json: bool = False


def run(given: Given, asked: Asked) -> int:
    """Exit code 0 when there is an explanation, 1 when there is no patch to explain.

    Raises InputError for what cannot be read or does not fit, ModelError, OracleError, SandboxError.
    """
    from serve.commands.explained import change_of, explained

    wanted = _wanted(given, asked)
    text = _checked(given, asked)
    if text and not given.paths:
        from repair.diffs import diff_paths

        given = replace(given, paths=tuple(map(Path, diff_paths(text))))
    root, request = read_request(given)
    remarks = stderr()
    if note := foreign_note(request):
        remarks.print(note, soft_wrap=True)
    judging = Judging(given.sandbox_minimum, given.unsafe_no_sandbox, given.python)
    oracle = project_oracle(root, request, judging, given.test)
    with progress("loading the model") as status:
        change = change_of(
            request, oracle, given, text=text, candidate=asked.candidate, device=asked.device, status=status
        )
        found = None
        if change is not None:
            found = explained(
                change, oracle, given, device=asked.device, wanted=wanted, trace=asked.profile, status=status
            )
    if found is None:
        remarks.print("No patch could be proposed: there is nothing to explain.", soft_wrap=True)
        return 1
    _write(found.explanation, asked)
    for note in found.explanation.notes:
        remarks.print(shown(f"note: {note}"), soft_wrap=True, markup=False)
    if found.operators:
        (remarks if asked.as_json else stdout()).print(found.operators, soft_wrap=True, markup=False)
    return 0


def _checked(given: Given, asked: Asked) -> str:
    """What can be refused before anything is loaded; the diff's text. Raises InputError."""
    if given.model == "none":
        raise InputError("--model none leaves nothing to explain: leave it out, or name a model", field="model")
    if asked.patch is not None and asked.candidate is not None:
        raise InputError("--patch is the change to explain; leave --candidate out", field="candidate")
    if asked.head is not None and asked.layer is None:
        raise InputError("--head needs --layer: heads are counted in a layer", field="head")
    for path, name in ((asked.output, "output"), (asked.profile, "profile")):
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise InputError(f"--{name}: {path} cannot be written: name a file in a folder that exists", field=name)
    return read_patch(asked.patch) if asked.patch is not None else ""


def _wanted(given: Given, asked: Asked) -> Wanted:
    """Raises InputError for a method, part or target that there is not."""
    from repair.explain.explain import Wanted
    from repair.explain.values import Method, Part, Target, TargetKind

    plain = Wanted()
    methods = tuple(_named(Method, one, "method", without=(Method.RANDOM,)) for one in asked.methods)
    parts = frozenset(_named(Part, one, "part", without=(Part.LIVE,)) for one in asked.parts)
    target = Target(_named(TargetKind, asked.target, "target"))
    if asked.parts and methods and Part.EVIDENCE not in parts:
        raise InputError("--method is how evidence is found: add --part evidence", field="method")
    return replace(
        plain, methods=methods or plain.methods, parts=parts or plain.parts, layer=asked.layer, head=asked.head,
        target=target, seconds=min(given.seconds, plain.seconds),
    )  # fmt: skip


def _named(kind: type[E], word: str, option: str, *, without: Iterable[E] = ()) -> E:
    known = [one for one in kind if one not in tuple(without)]
    for one in known:
        if one.value == word:
            return one
    raise InputError(
        f"--{option}: there is no {word!r}; there are {', '.join(one.value for one in known)}", field=option
    )


def _write(found: Explanation, asked: Asked) -> None:
    """Report, JSON or tables. Raises InputError for a report that cannot be written."""
    if asked.output is not None:
        from serve.explaining.report import report

        try:
            asked.output.write_text(
                report(found, when=time.strftime("%Y-%m-%d %H:%M")), encoding="utf-8", errors="replace"
            )
        except OSError as error:
            raise InputError(f"--output: {asked.output}: {error.strerror or error}", field="output") from error
    if asked.as_json:
        from repair.explain.codec import explanation_json

        text = json.dumps(explanation_json(found), indent=2, ensure_ascii=False, allow_nan=False)
        sys.stdout.buffer.write((text + "\n").encode("utf-8", "replace"))
        sys.stdout.flush()
    else:
        tell(found)
    if asked.output is not None:
        stderr().print(f"The report is in {asked.output}.", soft_wrap=True, markup=False)


def tell(found: Explanation) -> None:
    """The sentence with its badge, suspects, evidence and what is not available, on stdout."""
    console = stdout()
    console.print(Text(shown(found.sentence), style="bold"), soft_wrap=True)
    badge = Text(found.badge.trust.value, style=_STYLES.get(found.badge.trust.value, "dim"))
    badge.append(f": {shown(found.badge.why)}", style="dim")
    console.print(badge, soft_wrap=True)
    for table in (_suspects(found), _evidence(found)):
        if table is not None:
            console.print()
            console.print(table)
    if found.unavailable:
        console.print()
    for part, why in found.unavailable:
        console.print(Text(shown(f"not available: {part.value}: {why}"), style="dim"), soft_wrap=True)


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Figures and names whole, the last column cut where the terminal is narrow; `#` marks columns of figures."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    names = [name.removeprefix("#") for name in head]
    widest = [max(len(name), *(len(row[at]) for row in rows), 0) for at, name in enumerate(names)]
    left = max(_NARROWEST, stdout().width - sum(widest[:-1]) - len(names))  # told outright: rich would cut the figures
    for at, name in enumerate(names):
        table.add_column(
            name, justify="right" if head[at].startswith("#") else "left", no_wrap=True, overflow="ellipsis",
            width=min(widest[at], left) if at == len(names) - 1 else widest[at],
        )  # fmt: skip
    for row in rows:
        table.add_row(*(Text(shown(one)) for one in row))
    return table


def _suspects(found: Explanation) -> Table | None:
    if found.where is None:
        return None
    view = found.subject.view
    told = "calibrated" if found.where.calibrated else "not calibrated"
    rows: list[tuple[str, ...]] = []
    for one in found.where.top(_SHOWN):
        code = view.lines[one.line - view.first_line] if view.first_line <= one.line <= view.last_line else ""
        changed = " (changed)" if one.line in found.subject.changed else ""
        rows.append((f"{one.line}{changed}", f"{100 * one.calibrated:.0f} %", code.strip()[:_CODE]))
    return _table(f"Suspected lines of {shown(view.path)} ({told})", ("line", "#chance", "code"), rows)


def _evidence(found: Explanation) -> Table | None:
    from serve.explaining.pictures.marks import signed
    from serve.explaining.pictures.summary import best_evidence

    best = best_evidence(found.evidence)
    if best is None:
        return None
    title = f"Evidence for the change ({best.method.value}, nats; {best.badge.trust.value})"
    rows = [
        (signed(one.score), one.unit.label, one.unit.text.strip()[:_CODE])
        for one in best.top(_SHOWN, leave_out=found.subject.changed)
    ]
    least = min(best.scores, key=lambda s: s.score, default=None)
    if least is not None and least.score < 0:
        rows.append((signed(least.score), f"{least.unit.label}, most against", least.unit.text.strip()[:_CODE]))
    return _table(title, ("#for", "unit", "what it says"), rows)
