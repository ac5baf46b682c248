"""`emend journal list | show | delete | export`: what a service kept of repairs, in its store.

The export is what `emend data build` reads as a source of kind "feedback": JSON lines of
`{language, path, text_before, text_after, error, accepted, at}`, one for each file of a patch that somebody judged.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from repair.diffs import parse_diff
from repair.errors import InputError, PatchError
from repair.sources import Source, language_of
from serve.commands.keys import opened
from serve.printing import stderr, stdout
from serve.routes.journal import journal_entry, journal_page
from serve.routes.times import rfc3339
from serve.settings import Settings
from serve.store import Store
from serve.store.feedback import Said

_PAGE = 200


@dataclass(slots=True)
class _Count:
    rows: int = 0
    left_out: int = 0


def list_entries(settings: Settings, limit: int = 50, *, as_json: bool = False) -> int:
    """Print the newest entries, without their texts. 1 when there is none."""
    with opened(settings) as store:
        page = journal_page(store, limit, None)
    if as_json:
        sys.stdout.write(page.model_dump_json(indent=2) + "\n")
    elif not page.entries:
        stderr().print("the journal is empty; `journal = true` in emend.toml makes a service keep repairs")
    else:
        table = Table("id", "created", "key", "accepted", "rejected", box=None)
        for entry in page.entries:
            accepted = sum(entry.feedback.values())
            told = (str(accepted), str(len(entry.feedback) - accepted))
            table.add_row(entry.id, entry.created, entry.key, *told)
        stdout().print(table)
    return 0 if page.entries else 1


def show(settings: Settings, entry_id: str) -> int:
    """Print an entry as JSON. Raises InputError for one that is not there."""
    with opened(settings) as store:
        entry = journal_entry(store, entry_id)
    if entry is None:
        raise InputError(f"there is no entry {entry_id!r}; see `emend journal list`", field="ID")
    sys.stdout.write(json.dumps(entry.model_dump(mode="json"), indent=2) + "\n")  # ASCII: nothing drives the terminal
    return 0


def delete(settings: Settings, entry_id: str) -> int:
    """Delete an entry and what was said of it. Raises InputError for one that is not there."""
    with opened(settings) as store:
        if not store.journal.remove(entry_id):
            raise InputError(f"there is no entry {entry_id!r}; see `emend journal list`", field="ID")
    stderr().print(f"entry {entry_id} is deleted", markup=False)
    return 0


def export(settings: Settings, output: Path | None = None) -> int:
    """Write the judged patches as JSON lines to a file (None: stdout), whole or not at all. 1 when there is none."""
    count = _Count()
    with opened(settings) as store:
        lines = (json.dumps(row) + "\n" for row in export_rows(store, count))
        if output is None:
            sys.stdout.writelines(lines)
        else:
            _write(output, lines)
    told = f"{count.rows} rows"
    if count.left_out:
        told += f"; {count.left_out} patches left out: they no longer fit the text, from which secrets were taken"
    stderr().print(told, markup=False)
    return 0 if count.rows else 1


def _write(output: Path, lines: Iterator[str]) -> None:
    partial = output.with_name(output.name + ".partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.writelines(lines)
        partial.replace(output)
    except OSError as error:
        raise InputError(f"{output}: {error.strerror or error}", field="output") from error
    finally:
        partial.unlink(missing_ok=True)


def export_rows(store: Store, count: _Count) -> Generator[dict[str, Any]]:
    """A row for each file of each patch that somebody accepted or rejected; `count` tells how many."""
    before: str | None = None
    while True:
        entries, before = store.journal.list(_PAGE, before)
        for short in entries:
            said = {word.patch: word for word in store.feedback.of(short.id)}  # of two words the later one
            entry = store.journal.get(short.id) if said else None
            if entry is None:
                continue
            for row in _rows(json.loads(entry.request), json.loads(entry.answer), said, count):
                count.rows += 1
                yield row
        if before is None:
            return


def _rows(
    request: dict[str, Any], answer: dict[str, Any], said: dict[int, Said], count: _Count
) -> Iterator[dict[str, Any]]:
    patches = answer.get("patches", [])
    texts = {file["path"]: str(file["text"]) for file in request["files"]}
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


def _changed(texts: dict[str, str], diff: str, language: str) -> list[tuple[Source, str]]:
    """Each file that a diff changes, and its text afterwards. Raises PatchError where it does not fit."""
    sources = {
        path: Source.from_bytes(path, text.encode(), language=language or language_of(path))
        for path, text in texts.items()
    }
    patch = parse_diff(diff, sources)
    return [(sources[file.path], file.apply(sources[file.path].text)) for file in patch.files]
