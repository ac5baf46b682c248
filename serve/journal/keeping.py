"""Keeps what a repair was asked and what it answered, without secrets, where the operator switched the journal on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from repair.errors import InputError
from serve.journal.knowing import SUMMARY, Noting, facts_of, summary_of
from serve.observe import stages
from serve.security.redaction import redact_value
from serve.store.journal import Journal
from serve.wire import RepairIn
from serve.wire_jobs import JobKind


class Keeper:
    """Writes the journal."""

    def __init__(self, journal: Journal, *, on: bool) -> None:
        self._journal = journal
        self.on = on

    def begin(self, entry_id: str, key_id: str, kind: JobKind, request_id: str = "") -> Noting | None:
        """Follow the repair that begins now in this task; None where nothing is kept."""
        return Noting(entry_id, key_id, kind, request_id, stages.followed()) if self.on else None

    def keep(self, noting: Noting | None, request_json: str, answer_json: str) -> None:
        """Keep one that has ended (None: do not). Blocks: redacting a large body takes a while. Raises StoreError."""
        if noting is None:
            return
        request: dict[str, Any] = redact_value(_as_sent(request_json, json.loads(answer_json)))
        answer: dict[str, Any] = redact_value(json.loads(answer_json))
        facts = facts_of(request, answer, noting)
        summaries = {SUMMARY: summary_of(request, answer, noting)}
        self._journal.add(noting.id, noting.key_id, _packed(request), _packed(answer), facts, summaries)


def _as_sent(request_json: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    """The request; of an archive only the files that the answer is about, since in base64 no secret can be found."""
    request: dict[str, Any] = json.loads(request_json)
    archive = request.pop("archive", None)
    if archive is None:
        return request
    request["archive_left_out"] = f"{len(archive)} characters in base64"
    about = {edit["path"] for patch in answer.get("patches") or [] for edit in patch["edits"]}
    about |= {fault["path"] for fault in answer.get("fault") or []}
    sent = {file["path"] for file in request.get("files") or []}
    try:
        sources = RepairIn.model_validate_json(request_json).to_sources()
    except InputError:  # pragma: no cover - it was read before
        sources = ()
    found = [{"path": one.path, "text": one.text} for one in sources if one.path in about - sent]
    return {**request, "files": [*(request.get("files") or []), *found]}


def _packed(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))
