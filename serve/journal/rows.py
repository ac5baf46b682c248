"""The export of the journal: what was accepted and rejected, as `emend data build` reads it (source `feedback`).

JSON lines of `{language, path, text_before, text_after, error, accepted, at, labels}`, one for each file of a patch
that somebody judged.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from repair.diffs import parse_diff
from repair.errors import InputError, PatchError
from repair.sources import Source, language_of
from serve.routes.times import rfc3339
from serve.store import Store
from serve.store.feedback import Said
from serve.store.journalwanted import EVERYTHING, Wanted

_PAGE = 200


@dataclass(slots=True)
class Count:
    """Rows that were made, and patches that could not become rows."""

    rows: int = 0
    left_out: int = 0


def export_rows(store: Store, count: Count, wanted: Wanted = EVERYTHING) -> Generator[dict[str, Any]]:
    """A row for each file of each judged patch of the entries wanted, newest first. Blocks. Raises StoreError."""
    before: str | None = None
    while True:
        entries, before = store.journal.list(_PAGE, before, wanted)
        judged = store.feedback.of_all([entry.id for entry in entries])
        for short in entries:
            said = {word.patch: word for word in judged.get(short.id, ())}  # of two words the later one
            entry = store.journal.get(short.id) if said else None
            if entry is None:
                continue
            for row in _rows(json.loads(entry.request), json.loads(entry.answer), said, count):
                count.rows += 1
                yield {**row, "labels": list(entry.labels)}
        if before is None:
            return


def _rows(
    request: Mapping[str, Any], answer: Mapping[str, Any], said: Mapping[int, Said], count: Count
) -> Iterator[dict[str, Any]]:
    patches = answer.get("patches", [])
    texts = {file["path"]: str(file["text"]) for file in request.get("files") or []}
    error = request.get("error") or ""
    for number, word in sorted(said.items()):
        if number >= len(patches):
            count.left_out += 1
            continue
        try:
            changed = _changed(texts, str(patches[number]["diff"]), request.get("language") or "")
        except (PatchError, InputError):
            count.left_out += 1
            continue
        for source, after in changed:
            yield {
                "language": source.language,
                "path": source.path,
                "text_before": source.text,
                "text_after": after,
                "error": error,
                "accepted": word.accepted,
                "at": rfc3339(word.created),
            }


def _changed(texts: Mapping[str, str], diff: str, language: str) -> list[tuple[Source, str]]:
    """Each file that a diff changes, and its text afterwards. Raises PatchError where it does not fit."""
    sources = {
        path: Source.from_bytes(path, text.encode(), language=language or language_of(path))
        for path, text in texts.items()
    }
    patch = parse_diff(diff, sources)
    return [(sources[file.path], file.apply(sources[file.path].text)) for file in patch.files]
