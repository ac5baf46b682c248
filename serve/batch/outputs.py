"""Everything that `emend batch` leaves in its folder, written at once: reports, costs, patches, pull requests, SARIF.

    OUT/report.json  costs.json  report.md  report.html  findings.sarif
    OUT/patches/NAME/NN-slug.patch  NN-slug.test.patch  all.patch
    OUT/pull-requests/NAME/NN.md  NN.json  NN.sh

Each file is replaced in one step. What an earlier write left in the two folders and this one does not write again is
removed: OUT/.written lists what is ours, files of others stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from repair.errors import InputError
from repair.projects.values import Outcome
from serve.batch.branches import PREFIX, Branch
from serve.batch.commits import Commits, GitCommits, KnownCommits, commits_at, git_dir_of
from serve.batch.findings import sarif_text
from serve.batch.markdown import markdown_report
from serve.batch.patches import patch_files
from serve.batch.pullrequests import pull_requests
from serve.batch.report import RunInfo, costs_text, report_text, write_atomically
from serve.batch.wording import top_places

_LISTING = ".written"
_OURS = re.compile(r"(patches|pull-requests)/[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")
_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,200}")
_SECRET = re.compile(r"(?<=://)[^/@\s]+@")


def write_outputs(
    out: Path,
    outcomes: Sequence[Outcome],
    *,
    run: RunInfo,
    git_dirs: Mapping[str, Path] | None = None,
    branches: Mapping[str, Sequence[Branch]] | None = None,
    prefix: str = PREFIX,
) -> None:
    """Write all of it into `out`, which is made where it is missing.

    `git_dirs` says where the history of a repository (by name) can be read, if not at its place: of addresses, the
    clone. `branches` are those that `write_branches` made. Passwords in addresses are left out everywhere.
    Raises InputError: a name that is no file name or occurs twice, `out` cannot be written.
    """
    _check(outcomes)
    shown = [_without_secrets(outcome) for outcome in outcomes]
    commits = {o.name: _commits(o, (git_dirs or {}).get(o.name)) for o in outcomes}
    files = _files(shown, run, commits, branches or {}, prefix)
    try:
        _write(out, files)
    except OSError as error:
        raise InputError(f"{error.filename or out}: {error.strerror or error}", field="out") from error


def _check(outcomes: Sequence[Outcome]) -> None:
    names = [outcome.name for outcome in outcomes]
    for name in names:
        if _NAME.fullmatch(name) is None:
            raise InputError(f"{name!r} is no name for a folder; use letters, digits, '.', '_', '-'", field="name")
        if names.count(name) > 1:
            raise InputError(f"{name} names two repositories; give each a name of its own", field="name")


def _without_secrets(outcome: Outcome) -> Outcome:
    return replace(outcome, place=_SECRET.sub("", outcome.place), reason=_SECRET.sub("", outcome.reason))


def _commits(outcome: Outcome, git_dir: Path | None) -> Commits:
    if outcome.diagnosis is None:
        return KnownCommits()
    commits = commits_at(outcome.place) if git_dir is None else GitCommits(git_dir_of(git_dir))
    if isinstance(commits, GitCommits):
        paths = [path for fix in outcome.fixes for path in fix.paths]
        paths += [fix.reproduction.path for fix in outcome.fixes if fix.reproduction]
        paths += [place.path for fault in outcome.diagnosis.faults for place in top_places(fault)[:1]]
        commits.preload(outcome.diagnosis.commit, paths)
    return commits


def _files(
    outcomes: Sequence[Outcome],
    run: RunInfo,
    commits: Mapping[str, Commits],
    branches: Mapping[str, Sequence[Branch]],
    prefix: str,
) -> dict[str, bytes]:
    """The content of each file by its path below the folder."""
    from serve.batch.html import html_report  # the template engine is only needed here

    files: dict[str, bytes] = {}
    for outcome in outcomes:
        for patch in patch_files(outcome, run, commits[outcome.name]):
            files[f"patches/{patch.path}"] = patch.content
        for request in pull_requests(outcome, run, branches.get(outcome.name, ()), prefix=prefix):
            files |= {f"pull-requests/{path}": content for path, content in request.files(outcome.name).items()}
    texts = {
        "findings.sarif": sarif_text(outcomes, commits),
        "report.md": markdown_report(outcomes, run),
        "report.html": html_report(outcomes, run),
        "costs.json": costs_text(outcomes, run),
        "report.json": report_text(outcomes, run),
    }
    return files | {path: text.encode("utf-8", "replace") for path, text in texts.items()}


def _write(out: Path, files: Mapping[str, bytes]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    listing = out / _LISTING
    earlier = listing.read_text("utf-8", "replace").split("\n") if listing.is_file() else []
    kept = {path for path in earlier if _OURS.fullmatch(path) and ".." not in path.split("/")}
    ours = {path for path in files if _OURS.fullmatch(path)}
    write_atomically(listing, _listed(kept | ours))  # before the files: a killed write leaves nothing unlisted
    for path, content in files.items():
        write_atomically(out / path, content)
    for path in sorted(kept - ours):
        (out / path).unlink(missing_ok=True)
        if not any((out / path).parent.glob("*")):
            (out / path).parent.rmdir()
    write_atomically(listing, _listed(ours))


def _listed(paths: set[str]) -> bytes:
    return "".join(f"{path}\n" for path in sorted(paths)).encode()
