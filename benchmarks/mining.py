"""Commits per second of the mining against PyDriller, in one run, over the same commits of one repository.

    python benchmarks/mining.py REPOSITORY [--commits N] [--skip M]

Both extract the same: of every file of a language that we read, the functions that differ and that both sides have,
with their text before and after, whatever the message says and however large the change. That is "extract"; "mine"
is what users run, where commits that cannot be fixes are left out by message and size first.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pydriller import Commit, ModifiedFile, Repository

from data.changes import Patched
from data.filters import FileLimits, decode
from data.outlines import changed_functions, outlines
from data.repositories import Repository as Ours
from data.repositories import open_repository
from data.sources.commits import ENDINGS, Options, Tally, Unit, candidates, work
from repair.sources import language_of

TURN = 25
WHOLE = FileLimits(smallest=1, largest=10**9)


@dataclass(slots=True)
class Spent:
    """Wall and processor seconds (child processes included) and what came of them."""

    wall: float = 0.0
    processor: float = 0.0
    functions: int = 0


@contextmanager
def measured(spent: Spent) -> Iterator[None]:
    wall, processor = time.perf_counter(), sum(os.times()[:4])
    yield
    spent.wall += time.perf_counter() - wall
    spent.processor += sum(os.times()[:4]) - processor


def by_pydriller(commits: Iterator[Commit], count: int, spent: Spent) -> list[str]:
    """Goes on with the traversal for some commits, whose ids it returns."""
    ids: list[str] = []
    with measured(spent):
        for commit in islice(commits, count):
            ids.append(commit.hash)
            for file in commit.modified_files:
                if Path(file.filename).suffix in ENDINGS and file.source_code and file.source_code_before:
                    spent.functions += len(changed(file))
    return ids


def changed(file: ModifiedFile) -> list[tuple[str, str, str]]:
    """Name, text before and text after of the functions that PyDriller says were changed."""
    before, after = (file.source_code_before or "").split("\n"), (file.source_code or "").split("\n")
    new = {method.long_name: method for method in file.methods}
    old = {method.long_name: method for method in file.methods_before}
    rows: list[tuple[str, str, str]] = []
    for method in file.changed_methods:
        name = method.long_name
        if name in new and name in old:
            left = "\n".join(before[old[name].start_line - 1 : old[name].end_line])
            right = "\n".join(after[new[name].start_line - 1 : new[name].end_line])
            if left != right:
                rows.append((name, left, right))
    return rows


def extracted(repository: Ours, ids: list[str]) -> int:
    found = 0
    with repository.contents() as contents:
        for one in repository.patches(ids, ENDINGS):
            for change in one.commit.changes if isinstance(one, Patched) else ():
                if not change.reason and (change.old, change.new) in one.hunks:
                    found += len(rows(contents.read(change.old), contents.read(change.new), change.path))
    return found


def rows(before: tuple[bytes, str], after: tuple[bytes, str], path: str) -> list[tuple[str, str, str]]:
    """The same rows as `changed` gives."""
    (left, missing), (right, gone) = decode(before[0], WHOLE), decode(after[0], WHOLE)
    if missing or gone:
        return []
    old, new = outlines(left, right, language_of(path))
    return [(piece.key[0], piece.text, other.text) for piece, other in changed_functions(old, new, 10**9)]


def mined(repository: Ours, ids: list[str]) -> int:
    options = Options()
    tasks = tuple(candidates(repository, ids, options, Tally()))
    return sum(len(one.records) for one in work(Unit(repository, "", tasks, options)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("repository")
    parser.add_argument("--commits", type=int, default=300)
    parser.add_argument("--skip", type=int, default=0, help="commits to leave out first, oldest first")
    given = parser.parse_args()
    os.environ.update(GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0="safe.directory", GIT_CONFIG_VALUE_0="*")  # for PyDriller
    repository = open_repository(given.repository)
    commits = Repository(given.repository, order="date-order", only_no_merge=True).traverse_commits()
    for _ in islice(commits, given.skip):
        pass
    spent = {"pydriller": Spent(), "extract": Spent(), "mine": Spent()}
    done = 0
    while done < given.commits:  # by turns, so that other load on the machine meets all alike
        ids = by_pydriller(commits, min(TURN, given.commits - done), spent["pydriller"])
        if not ids:
            break
        done += len(ids)
        for label, run in (("extract", extracted), ("mine", mined)):
            with measured(spent[label]):
                spent[label].functions += run(repository, ids)
    yardstick = spent["pydriller"]
    for label, one in spent.items():
        ratio = f"{yardstick.wall / one.wall:5.1f}x wall, {yardstick.processor / one.processor:5.1f}x processor time"
        print(f"{label:9} {done / one.wall:8.1f} commits/s  {one.functions:5} functions in {one.wall:5.1f} s  {ratio}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
