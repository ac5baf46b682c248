"""Splits: which records are for training, for validation, for the test. Decided by repository, file or time.

Owns the rule and nothing else; the same record and choices always give the same split, in any order.
"""

from __future__ import annotations

import hashlib

from data.plans import Split
from data.records import Origin, Record
from data.steps import Rejection

TRAIN, VALIDATION, TEST = SPLITS = ("train", "validation", "test")


def repository_split(repository: str, split: Split) -> str:
    """The split that a repository lies in: as named, else by a hash of its name."""
    if repository in split.test_repositories:
        return TEST
    if repository in split.validation_repositories:
        return VALIDATION
    number = int(hashlib.sha256(f"{split.seed}:{repository}".encode()).hexdigest()[:15], 16) / 16**15
    if number < split.test:
        return TEST
    return VALIDATION if number < split.test + split.validation else TRAIN


def _unit(record: Record, split: Split) -> str:
    """What must not be divided: the repository, or one file of it."""
    whole = split.by == "repository" or record.repository in (*split.test_repositories, *split.validation_repositories)
    return record.repository if whole else f"{record.repository}/{record.path}"


def split_of(record: Record, split: Split) -> str | Rejection:
    """A record's split, or why it is in none.

    With a date, test records are of that day or later and all others are earlier, so that nothing known at test
    time was learned from the future; records without a date (injected ones) follow their repository alone.
    """
    if record.origin is Origin.SUITE:
        return TEST
    late = bool(split.after) and record.authored[:10] >= split.after
    if split.by == "time":
        if late:
            return TEST
        return VALIDATION if repository_split(record.repository, split) == VALIDATION else TRAIN
    own = repository_split(_unit(record, split), split)
    if not split.after or not record.authored or (own == TEST) == late:
        return own
    before = "of a test repository, from before split.after"
    return Rejection("split", "of a repository for training, from split.after or later" if late else before)
