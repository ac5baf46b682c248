"""Alerts of other tools out of a SARIF file (2.1.0), as evidence for a repair.

Owns what of SARIF is understood. Every text in the file is distrusted: paths must lie inside the project. Touches no
disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from repair.defects import Budget, Defect, Diagnostic, Location, RepairRequest
from repair.errors import InputError
from repair.sources import Source
from serve.members import check_member

MAX_SARIF_BYTES = 32 * 1024 * 1024
MAX_ALERTS = 1000
_MAX_BASES = 16  # how many base URIs may build on each other
_SILENT = ("pass", "notApplicable", "informational")  # kinds of results that complain of nothing


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


_Index = Annotated[int, Field(ge=-1, lt=2**31)]
_Count = Annotated[int, Field(ge=1, lt=2**31)]


class Region(_Read):
    """Where in a file: lines and columns count from 1, the end is exclusive; all may be missing."""

    startLine: _Count | None = None  # noqa: N815 - SARIF's names
    startColumn: _Count | None = None  # noqa: N815
    endLine: _Count | None = None  # noqa: N815
    endColumn: _Count | None = None  # noqa: N815
    charOffset: _Index = -1  # noqa: N815
    charLength: Annotated[int, Field(ge=0, lt=2**31)] = 0  # noqa: N815


class _ArtifactLocation(_Read):
    uri: str | None = None
    uriBaseId: str | None = None  # noqa: N815
    index: _Index = -1


class _Artifact(_Read):
    location: _ArtifactLocation | None = None
    parentIndex: _Index = -1  # noqa: N815


class _Physical(_Read):
    artifactLocation: _ArtifactLocation | None = None  # noqa: N815
    region: Region | None = None


class _Location(_Read):
    physicalLocation: _Physical | None = None  # noqa: N815


class _Message(_Read):
    text: str | None = None
    id: str | None = None
    arguments: list[str] = []


class _RuleReference(_Read):
    id: str | None = None
    index: _Index = -1


class _Suppression(_Read):
    status: str = "accepted"


class _Result(_Read):
    ruleId: str | None = None  # noqa: N815
    ruleIndex: _Index = -1  # noqa: N815
    rule: _RuleReference | None = None
    kind: str = "fail"
    level: Literal["none", "note", "warning", "error"] | None = None
    message: _Message = _Message()
    locations: list[_Location] = []
    suppressions: list[_Suppression] = []
    baselineState: str | None = None  # noqa: N815


class _Text(_Read):
    text: str = ""


class _Configuration(_Read):
    level: Literal["none", "note", "warning", "error"] = "warning"


class _Rule(_Read):
    id: str = ""
    messageStrings: Mapping[str, _Text] = {}  # noqa: N815
    defaultConfiguration: _Configuration = _Configuration()  # noqa: N815


class _Driver(_Read):
    name: str = ""
    rules: list[_Rule] = []


class _Tool(_Read):
    driver: _Driver


class _Run(_Read):
    tool: _Tool
    results: list[_Result] | None = None
    artifacts: list[_Artifact] = []
    originalUriBaseIds: Mapping[str, _ArtifactLocation] = {}  # noqa: N815
    columnKind: Literal["utf16CodeUnits", "unicodeCodePoints"] = "unicodeCodePoints"  # noqa: N815


class _Log(_Read):
    version: Literal["2.1.0"]
    runs: list[_Run]


@dataclass(frozen=True, slots=True)
class Alert:
    """One complaint: `path` relative to the project; `level` error, warning or note; `place` as "run 0, result 3"."""

    path: str
    region: Region
    message: str
    rule: str
    level: str
    tool: str
    place: str
    utf16: bool = False  # columns count UTF-16 code units, else characters


def read_alerts(text: str, *, root: Path | None = None) -> tuple[Alert, ...]:
    """Alerts in the order of the file, each once; results that complain of nothing or are suppressed are left out.

    Absolute file URIs are understood below `root`. Raises InputError (field "sarif.runs.0.results.3") for what is
    no SARIF 2.1.0, for results without a place, and for places outside of the project.
    """
    if len(text) > MAX_SARIF_BYTES:
        raise InputError(f"the SARIF file is longer than {MAX_SARIF_BYTES} characters", field="sarif")
    try:
        log = _Log.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        message = f"{where}: {first['msg']}" if where else str(first["msg"])
        raise InputError(f"no SARIF 2.1.0: {message}", field=f"sarif.{where}".rstrip(".")) from error
    except ValueError as error:  # half of a surrogate pair
        raise InputError(f"no SARIF 2.1.0: {error}", field="sarif") from error
    found = tuple({_identity(alert): alert for run in _alerts(log, root) for alert in run}.values())
    if len(found) > MAX_ALERTS:
        raise InputError(f"the SARIF file has {len(found)} alerts; at most {MAX_ALERTS} are taken", field="sarif")
    return found


def _identity(alert: Alert) -> tuple[object, ...]:
    return alert.path, alert.region, alert.message, alert.rule


def _alerts(log: _Log, root: Path | None) -> Iterator[Iterator[Alert]]:
    for number, run in enumerate(log.runs):
        yield (
            _alert(run, result, (number, n), root)
            for n, result in enumerate(run.results or [])
            if result.kind not in _SILENT
            and result.baselineState != "absent"
            and not any(s.status == "accepted" for s in result.suppressions)
        )


def _alert(run: _Run, result: _Result, at: tuple[int, int], root: Path | None) -> Alert:
    place = f"run {at[0]}, result {at[1]}"
    physical = next((where.physicalLocation for where in result.locations if where.physicalLocation), None)
    rule = _rule_of(run, result)
    try:
        if physical is None or physical.artifactLocation is None:
            raise InputError("it names no file; Emend repairs what has a place")
        path = _path(run, physical.artifactLocation, root)
    except (InputError, ValueError) as error:
        raise InputError(f"{place}: {error}", field=f"sarif.runs.{at[0]}.results.{at[1]}") from error
    return Alert(
        path=path,
        region=physical.region or Region(),
        message=_message(result.message, rule),
        rule=rule.id,
        level=(result.level or rule.defaultConfiguration.level).replace("none", "note"),
        tool=run.tool.driver.name,
        place=place,
        utf16=run.columnKind == "utf16CodeUnits",
    )


def _rule_of(run: _Run, result: _Result) -> _Rule:
    reference = result.rule or _RuleReference()
    index = result.ruleIndex if result.ruleIndex >= 0 else reference.index
    identity = result.ruleId or reference.id or ""
    rules = run.tool.driver.rules
    if 0 <= index < len(rules) and (not identity or identity.startswith(rules[index].id)):
        return rules[index].model_copy(update={"id": identity or rules[index].id})
    return next((rule for rule in rules if rule.id == identity), _Rule(id=identity))


def _message(message: _Message, rule: _Rule) -> str:
    text = message.text if message.text is not None else rule.messageStrings.get(message.id or "", _Text()).text
    for number, argument in enumerate(message.arguments):
        text = text.replace(f"{{{number}}}", argument)
    return text.replace("{{", "{").replace("}}", "}") if message.arguments else text


def _path(run: _Run, location: _ArtifactLocation, root: Path | None) -> str:
    """The relative path that a location means. Raises InputError for one outside of the project."""
    if 0 <= location.index < len(run.artifacts):
        known = run.artifacts[location.index]
        if known.parentIndex >= 0:
            raise InputError("its file lies inside of another file, as in an archive; unpack that one first")
        location = location if location.uri is not None else known.location or location
    if location.uri is None:
        raise InputError("its location has no uri")
    base, top = _base(run, location.uriBaseId)
    uri = urljoin(base, location.uri) if base else location.uri
    return check_member(_relative(uri, root, top))


def _base(run: _Run, name: str | None) -> tuple[str, str]:
    """The base URI of that name, and the absolute one that it begins with ("": it builds on the project's root)."""
    base = ""
    for _ in range(_MAX_BASES):
        known = run.originalUriBaseIds.get(name or "")
        if known is None or known.uri is None:
            return base, ""
        base = urljoin(known.uri, base) if base else known.uri
        if urlsplit(known.uri).scheme:
            return base, known.uri
        name = known.uriBaseId
    raise InputError(f"its base URIs build on more than {_MAX_BASES} others")


def _relative(uri: str, root: Path | None, top: str) -> str:
    """The path below `root`; below `top` where the tool ran elsewhere, as on another machine."""
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost"):
        raise InputError(f"{uri[:200]!r} is no file of the project")
    path = _decoded(parts.path)
    if parts.scheme == "":
        return path.removeprefix("./")
    for folder in (root.as_posix() if root else "", _decoded(urlsplit(top).path)):
        if folder and path.startswith(folder.rstrip("/") + "/"):
            return path.removeprefix(folder.rstrip("/") + "/")
    raise InputError(f"{uri[:200]!r} does not lie in the project")


def _decoded(path: str) -> str:
    try:
        return unquote_to_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path[:200]!r} is no percent-encoded UTF-8") from error


def lines_of(alert: Alert, source: Source) -> tuple[int, int] | None:
    """First and last line of an alert, inclusive; None where it means the whole file, or no line that is there."""
    region = alert.region
    if region.startLine is None:
        if region.charOffset < 0:
            return None
        start = min(_characters(source.text, region.charOffset, utf16=alert.utf16), len(source.text))
        end = min(start + region.charLength, len(source.text))
        return source.position(start)[0], source.position(max(start, end - 1))[0]
    if region.startLine > source.line_count:
        return None
    last = min(max(region.endLine or region.startLine, region.startLine), source.line_count)
    ends_before = region.endColumn == 1 and last > region.startLine
    return region.startLine, last - ends_before


def _characters(text: str, units: int, *, utf16: bool) -> int:
    """How many characters so many units are."""
    if not utf16:
        return units
    return len(text.encode("utf-16-le", "surrogatepass")[: 2 * units].decode("utf-16-le", "replace"))


def alert_request(alert: Alert, source: Source, budget: Budget) -> RepairRequest:
    """The repair that an alert asks for: its file, its message as evidence, its place."""
    lines = lines_of(alert, source)
    column = alert.region.startColumn or 0
    if lines and column > 1:
        column = 1 + _characters(source.line(lines[0]), column - 1, utf16=alert.utf16)
    first = lines[0] if lines else 1
    evidence = Diagnostic(source.path, first, alert.message, column, alert.rule, alert.tool, alert.level)
    location = Location(source.path, *lines) if lines else None
    return RepairRequest((source,), Defect((evidence,)), budget, location)
