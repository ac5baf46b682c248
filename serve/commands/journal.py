"""`emend journal list | show | label | delete | export`: what a service kept of repairs, in its store.

The export is what `emend data build` reads as a source of kind "feedback" (`serve.journal.rows`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.table import Column, Table
from rich.text import Text

from repair.errors import InputError
from serve.commands.keys import opened
from serve.journal.asking import JournalAsk
from serve.journal.rows import Count, export_rows
from serve.journal.shown import journal_entry, journal_page
from serve.printing import stderr, stdout
from serve.settings import Settings

_ALL = JournalAsk()


def list_entries(settings: Settings, limit: int = 50, asked: JournalAsk = _ALL, *, as_json: bool = False) -> int:
    """Print the newest entries that have what is asked, without their texts. 1 when there is none."""
    with opened(settings) as store:
        page = journal_page(store, limit, None, asked.wanted())
    if as_json:
        sys.stdout.write(page.model_dump_json(indent=2) + "\n")
    elif not page.entries and asked != _ALL:
        stderr().print("no entry has all of that")
    elif not page.entries:
        stderr().print("the journal is empty; `journal = true` in emend.toml makes a service keep repairs")
    else:
        whole = Column("id", no_wrap=True, min_width=len(page.entries[0].id))  # to be copied
        table = Table(whole, "created (UTC)", "fault", "verdict", "said", "labels", box=None)
        for entry in page.entries:
            accepted = sum(entry.feedback.values())
            said = f"{accepted} accepted, {len(entry.feedback) - accepted} rejected" if entry.feedback else ""
            fault = _plain(f"{entry.language} {entry.error_type}".strip())
            created = entry.created[:16].replace("T", " ")
            table.add_row(entry.id, created, fault, _plain(entry.verdict), said, " ".join(entry.labels))
        stdout().print(table)
    return 0 if page.entries else 1


def show(settings: Settings, entry_id: str) -> int:
    """Print an entry as JSON. Raises InputError for one that is not there."""
    with opened(settings) as store:
        entry = journal_entry(store, entry_id)
    if entry is None:
        raise _absent(entry_id)
    sys.stdout.write(json.dumps(entry.model_dump(mode="json"), indent=2) + "\n")  # ASCII: nothing drives the terminal
    return 0


def label(settings: Settings, entry_id: str, labels: Sequence[str], *, remove: bool = False) -> int:
    """Set or remove labels and print those that the entry has then. Raises InputError."""
    with opened(settings) as store:
        change = store.journal.unlabel if remove else store.journal.label
        left = change(entry_id, tuple(labels))
    if left is None:
        raise _absent(entry_id)
    stderr().print(f"entry {entry_id}: {', '.join(left) or 'no labels'}", markup=False)
    return 0


def delete(settings: Settings, entry_id: str) -> int:
    """Delete an entry and what was said of it. Raises InputError for one that is not there."""
    with opened(settings) as store:
        if not store.journal.remove(entry_id):
            raise _absent(entry_id)
    stderr().print(f"entry {entry_id} is deleted", markup=False)
    return 0


def export(settings: Settings, output: Path | None = None, asked: JournalAsk = _ALL) -> int:
    """Write the judged patches as JSON lines to a file (None: stdout), whole or not at all. 1 when there is none."""
    count = Count()
    with opened(settings) as store:
        lines = (json.dumps(row) + "\n" for row in export_rows(store, count, asked.wanted()))
        if output is None:
            sys.stdout.writelines(lines)
        else:
            _write(output, lines)
    told = f"{count.rows} rows"
    if count.left_out:
        told += f"; {count.left_out} patches left out: they no longer fit the text, from which secrets were taken"
    stderr().print(told, markup=False)
    return 0 if count.rows else 1


def _absent(entry_id: str) -> InputError:
    return InputError(f"there is no entry {entry_id!r}; see `emend journal list`", field="ID")


def _plain(text: str) -> Text:
    """As text: no markup, and nothing that drives the terminal."""
    return Text("".join(one if one.isprintable() else "?" for one in text))


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
