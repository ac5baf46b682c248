"""The pages of the journal: a list to filter, and one entry. Labels and deletions go to /v1/journal by scripts."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response

from repair.errors import InputError
from serve.journal.asking import DECISIONS, LANGUAGES, VERDICTS, JournalAsk, asked
from serve.observe.stages import STAGES
from serve.store.journal import LABEL
from serve.web.pages import Pages, to_login, visitor
from serve.wire_jobs import JournalEntryOut, JournalOut

_MOST_LINES = 2000  # of a text; a page with more is of no use
_NOTHING = JournalOut(entries=[])
_STAGE_WORDS = {
    "queue": "waited for a place",
    "suspects": "suspects found",
    "first_candidate": "first candidate judged",
    "repair": "all judged and ranked",
}
_SUMMARY_WORDS = {
    "no_fault": "P(no fault)",
    "location_entropy_bits": "entropy of the location, bits",
    "chosen_margin": "margin of the best patch",
    "chosen_origin": "origin of the best patch",
}


class JournalLook(Protocol):
    """What the pages show."""

    @property
    def kept(self) -> bool:
        """Whether the service keeps repairs."""
        ...

    async def entries(self, asked: JournalAsk, before: str | None) -> JournalOut:
        """Entries, newest first. Raises InputError."""
        ...

    async def entry(self, entry_id: str) -> JournalEntryOut | None:
        """An entry with its texts, None where there is none."""
        ...

    async def words(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Labels and models to choose from."""
        ...


def journal_pages(look: JournalLook) -> Callable[[APIRouter, Pages], None]:
    """What adds the routes to those of the other pages."""

    def add(router: APIRouter, pages: Pages) -> None:
        @router.get("/journal")
        async def journal(
            request: Request,
            before: Annotated[str | None, Query(max_length=200)] = None,
            hx_request: Annotated[bool, Header()] = False,
        ) -> Response:
            if visitor(request) is None:
                return to_login()
            return await _listed(look, pages, request, before, "journal_rows" if hx_request else "journal")

        @router.get("/journal/{entry_id}")
        async def entry(request: Request, entry_id: str) -> Response:
            if visitor(request) is None:
                return to_login()
            found = await look.entry(entry_id)
            if found is None:
                return pages.render(request, "journal_missing", 404, {})
            labels, _ = await look.words()
            return pages.show(request, "journal_entry", **_shown(found), known_labels=labels, pattern=LABEL)

    return add


async def _listed(look: JournalLook, pages: Pages, request: Request, before: str | None, name: str) -> Response:
    given = {field: request.query_params.get(field, "") for field in JournalAsk.model_fields}
    refused, filters, found = "", JournalAsk(), _NOTHING
    try:
        filters = asked(**given)
        found = await look.entries(filters, before)
    except InputError as error:
        refused = str(error)
    labels, models = await look.words()
    told = {"found": found, "given": given, "refused": refused, "kept": look.kept, "filtered": any(given.values())}
    choices = {"labels": labels, "models": models, "languages": LANGUAGES, "verdicts": VERDICTS, "decisions": DECISIONS}
    urls = {"here": _url(filters, before), "older": _url(filters, found.next), "export": f"?{filters.query()}"}
    answer = pages.render(request, name, 422 if refused else 200, {**told, **choices, **urls})
    answer.headers["Vary"] = "HX-Request"
    return answer


def _url(filters: JournalAsk, before: str | None) -> str:
    query = filters.query(before=before)
    return f"/journal?{query}" if query else "/journal"


def _shown(entry: JournalEntryOut) -> dict[str, object]:
    """What the template shows of an entry, in its order."""
    request, answer = entry.request or {}, entry.answer or {}
    tests = request.get("test") or {}
    return {
        "entry": entry,
        "files": [_text(file) for file in request.get("files") or []],
        "tests": [_text(file) for file in tests.get("files") or []],
        "command": tests.get("command") or "",
        "error": request.get("error") or "",
        "archive": request.get("archive_left_out") or "",
        "patches": _patches(entry, answer),
        "suspects": _suspects(answer),
        "stages": _stages(entry.timing),
        "summaries": [(kind, *_summary(told)) for kind, told in entry.summaries.items()],
        "notes": answer.get("notes") or [],
    }


def _text(file: Mapping[str, Any]) -> dict[str, object]:
    lines = str(file["text"]).split("\n")
    if lines[-1] == "":
        lines.pop()
    return {"path": file["path"], "lines": lines[:_MOST_LINES], "more": max(0, len(lines) - _MOST_LINES)}


def _patches(entry: JournalEntryOut, answer: Mapping[str, Any]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for number, patch in enumerate(answer.get("patches") or []):
        lines = str(patch["diff"]).rstrip("\n").split("\n")[:_MOST_LINES]
        said = entry.feedback.get(number)
        found.append(
            {
                "number": number,
                "chosen": number == answer.get("chosen"),
                "verdict": patch["verdict"],
                "origin": patch["origin"],
                "score": f"{float(patch['score']):.2f}",
                "tests": patch["tests"],
                "said": "" if said is None else "accepted" if said else "rejected",
                "comment": entry.comments.get(number, ""),
                "lines": [(_line_class(line), line) for line in lines],
            }
        )
    return found


def _line_class(line: str) -> str:
    if line.startswith(("+++", "---", "@@")):
        return "hunk"
    return {"+": "added", "-": "removed"}.get(line[:1], "")


def _suspects(answer: Mapping[str, Any]) -> list[dict[str, object]]:
    """As the repair page marks them: the bar's length and colour are relative to the hottest one."""
    faults = answer.get("fault") or []
    most = max([0.5, *(float(fault["suspiciousness"]) for fault in faults)])
    return [
        {
            "path": fault["path"],
            "line": fault["span"]["start_line"],
            "percent": f"{100 * float(fault['suspiciousness']):.0f}",
            "level": min(5, max(1, math.ceil(float(fault["suspiciousness"]) / most * 5))),
            "reasons": fault.get("reasons") or [],
        }
        for fault in faults
    ]


def _stages(timing: Mapping[str, float]) -> list[dict[str, object]]:
    """Each stage with its begin and length, in seconds and in percent of the whole."""
    whole = max(timing.values(), default=0.0) or 1.0
    found: list[dict[str, object]] = []
    begin = 0.0
    for stage in STAGES:
        if stage not in timing:
            continue
        took = max(0.0, timing[stage] - begin)
        place = {"x": f"{100 * begin / whole:.2f}", "width": f"{max(0.5, 100 * took / whole):.2f}"}
        found.append({"word": _STAGE_WORDS[stage], "took": f"{took:.3f}", "end": f"{timing[stage]:.3f}", **place})
        begin = max(begin, timing[stage])
    return found


def _summary(told: Mapping[str, Any]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Plain values by name, and the rest as JSON by name."""
    plain: list[tuple[str, str]] = []
    rest: list[tuple[str, str]] = []
    for name, value in told.items():
        word = _SUMMARY_WORDS.get(name, name.replace("_", " "))
        if isinstance(value, dict) and value and all(isinstance(one, int | float) for one in value.values()):
            plain.append((word, ", ".join(f"{key.replace('_', ' ') or '(none)'} {one}" for key, one in value.items())))
        elif isinstance(value, dict | list):
            if value:
                rest.append((word, json.dumps(value, indent=2, ensure_ascii=False)))
        elif value is not None:
            plain.append((word, str(value)))
    return plain, rest
