"""Patch files in the form of `git format-patch`, which `git am --keep-cr` and `git apply` both take.

Format: mbox with one mail a file (git's mailinfo: headers, message, "---", diff, "-- "). The date is that of the
repaired commit, so that equal runs write equal bytes. The diff's bytes are those of the files: each file's part is
encoded as the file is, its line ends kept (that is what `--keep-cr` is for).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.header import Header
from email.utils import format_datetime, formataddr

from repair.diffs import diff_paths, quote_path, render_diff, split_lines
from repair.edits import patch_between
from repair.errors import InputError, PatchError
from repair.projects.values import Outcome, Reproduction
from repair.sources import Source
from serve.batch.commits import Commits, sources_at
from serve.batch.messages import all_message, fix_message, test_message
from serve.batch.report import RunInfo
from serve.batch.wording import entries

_FROM = f"From {'0' * 40} Mon Sep 17 00:00:00 2001\n"  # the date is format-patch's mark, the same in each of its files
UNKNOWN_DATE = 1_000_684_800  # that mark, for a commit whose date is not at hand
_FILE = re.compile(r"^(?=diff --git )", re.MULTILINE)
_NO_NEWLINE = "\\ No newline at end of file\n"


@dataclass(frozen=True, slots=True)
class PatchFile:
    """A file to write: its path below the folder of patches, its bytes, the fault's key ("" for all of them)."""

    path: str
    content: bytes
    fault: str = ""


def patch_files(outcome: Outcome, run: RunInfo, commits: Commits) -> tuple[PatchFile, ...]:
    """`NAME/NN-slug.patch` for each patch, `NN-slug.test.patch` for each reproduction test, `NAME/all.patch`."""
    return tuple(_patch_files(outcome, run, commits))


def _patch_files(outcome: Outcome, run: RunInfo, commits: Commits) -> Iterator[PatchFile]:
    commit = outcome.diagnosis.commit if outcome.diagnosis else ""
    known = entries(outcome)

    def mailed(message: str, diff: bytes) -> bytes:
        return mail(message, diff, run, commits.date(commit) if commit else None, base=commit)

    for entry in known:
        stem = f"{outcome.name}/{entry.name}"
        if entry.patched and entry.fix is not None:
            diff = diff_bytes(entry.fix.diff, commit, commits)
            yield PatchFile(f"{stem}.patch", mailed(fix_message(entry, run), diff), entry.key)
        if entry.fix is not None and entry.fix.reproduction is not None:
            diff = reproduction_diff(entry.fix.reproduction, commit, commits)
            yield PatchFile(f"{stem}.test.patch", mailed(test_message(entry, run), diff), entry.key)
    if outcome.combination is not None and outcome.combination.passed and outcome.combination.diff:
        diff = diff_bytes(outcome.combination.diff, commit, commits)
        yield PatchFile(f"{outcome.name}/all.patch", mailed(all_message(outcome, known, run), diff))


def mail(message: str, diff: bytes, run: RunInfo, date: int | None, *, base: str = "") -> bytes:
    """One mail. `message` begins with its subject and ends with a newline; `date` in seconds since 1970, UTC."""
    first, _, body = message.partition("\n")
    name, address = run.signature
    when = format_datetime(datetime.fromtimestamp(UNKNOWN_DATE if date is None else date, UTC))
    head = (
        f"{_FROM}From: {formataddr((name, address))}\nDate: {when}\nSubject: [PATCH] {_header(first)}\n"
        "MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\n\n"
    )
    told = f"base-commit: {base}\n" if base else ""
    text = f"{head}{body.strip(chr(10))}\n---\n\n".encode()
    return text + diff + f"{told}-- \nEmend {run.version}\n\n".encode()


def _header(text: str) -> str:
    if text.isascii() and "=?" not in text:
        return text
    return Header(text, "utf-8", maxlinelen=70, header_name="Subject: [PATCH]").encode()


def diff_bytes(diff: str, commit: str, commits: Commits) -> bytes:
    """A diff as bytes that fit the files of the commit, each part in its file's encoding (UTF-8 where unknown)."""
    return b"".join(_encoded(part, _encodings(part, commit, commits)) for part in _FILE.split(diff) if part)


def _encodings(part: str, commit: str, commits: Commits) -> Mapping[str, Source]:
    try:
        paths = diff_paths(part)
    except PatchError:  # creates or deletes a file: nothing that has an encoding yet
        return {}
    return sources_at(commits, commit, paths)


def _encoded(part: str, sources: Mapping[str, Source]) -> bytes:
    for encoding in sorted({source.encoding for source in sources.values()}):
        try:
            return part.encode(encoding)
        except UnicodeError:
            continue
    return part.encode("utf-8", "surrogateescape")


def reproduction_diff(test: Reproduction, commit: str, commits: Commits) -> bytes:
    """The diff that adds a reproduction test, or changes the file where the commit has one of that name.

    Raises InputError for a file of that name that is no text.
    """
    content = commits.content(commit, test.path)
    if content is None:
        return _creation(test.path, test.text).encode("utf-8", "surrogateescape")
    source = Source.from_bytes(test.path, content)
    diff = render_diff(patch_between({test.path: source.text}, {test.path: test.text}), {test.path: source})
    if not diff:
        raise InputError(f"{test.path}: the commit has this very test already", field="reproduction")
    return diff.encode(source.encoding)


def _creation(path: str, text: str) -> str:
    old, new = quote_path(f"a/{path}"), quote_path(f"b/{path}")
    tab = "\t" if " " in path and not new.startswith('"') else ""
    lines = split_lines(text)
    body = "".join(f"+{line}" for line in lines)
    ending = "" if text.endswith("\n") else f"\n{_NO_NEWLINE}"
    count = "1" if len(lines) == 1 else f"1,{len(lines)}"
    hunk = f"--- /dev/null\n+++ {new}{tab}\n@@ -0,0 +{count} @@\n{body}{ending}" if lines else ""
    return f"diff --git {old} {new}\nnew file mode 100644\n{hunk}"
