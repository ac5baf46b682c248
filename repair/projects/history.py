"""What the history of a repository says of where a fault may be: what changed lately, and what since a good commit.

One Protocol for the effect (git processes) and a fake for tests. Reads only, each process within seconds, so that a
long history costs no more than a short one; what git cannot say in time is not known, and nothing is raised for it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from repair import git

_COMMITS = 500  # so many newest commits are looked at for changed files
_SECONDS = 20.0  # for one git process
_DAY = 86_400.0
_HUNK = re.compile(r"@@ -\d+(?:,\d+)? \+(\d+)(?:,(\d+))? @@")
_SUBJECT = 60  # characters shown


@dataclass(frozen=True, slots=True)
class Touch:
    """A commit that changed something, `days` before the commit under repair (0 at least)."""

    commit: str
    days: float
    subject: str = ""
    changes: int = 1  # commits that touched the same file among those looked at

    def __str__(self) -> str:
        """`2 days before, in 1a2b3c4 'Speed up ordinal'`."""
        days = round(self.days)
        when = "at the same day" if days == 0 else f"{days} day{'s' * (days != 1)} before"
        subject = self.subject if len(self.subject) <= _SUBJECT else f"{self.subject[: _SUBJECT - 3]}..."
        return f"{when}, in {self.commit[:7]} '{subject}'"


class History(Protocol):
    """The past of one commit."""

    def files(self) -> Mapping[str, Touch]:
        """The newest commit that touched each file, of files touched lately."""
        ...

    def lines(self, path: str, lines: Collection[int]) -> Mapping[int, Touch]:
        """The commit that each of the 1-based lines comes from."""
        ...

    def since(self, green: str) -> frozenset[tuple[str, int]] | None:
        """Lines of today's files that differ from those of a good commit; None when there is no such commit."""
        ...


@dataclass(frozen=True, slots=True)
class RecordedHistory:
    """A History that says what it was given: for tests, and the empty one for a tree without git."""

    touched: Mapping[str, Touch] = field(default_factory=dict[str, Touch])
    blamed: Mapping[tuple[str, int], Touch] = field(default_factory=dict[tuple[str, int], Touch])
    changed: Mapping[str, frozenset[tuple[str, int]]] = field(
        default_factory=dict[str, frozenset[tuple[str, int]]]
    )  # by the good commit

    def files(self) -> Mapping[str, Touch]:
        """See History."""
        return self.touched

    def lines(self, path: str, lines: Collection[int]) -> Mapping[int, Touch]:
        """See History."""
        return {line: touch for (p, line), touch in self.blamed.items() if p == path and line in lines}

    def since(self, green: str) -> frozenset[tuple[str, int]] | None:
        """See History."""
        return self.changed.get(green)


@dataclass(frozen=True, slots=True)
class GitHistory:
    """The history of `commit` (an id) in a git folder."""

    git_dir: Path
    commit: str
    seconds: float = _SECONDS

    def files(self) -> Mapping[str, Touch]:
        """See History."""
        form = "--format=%x1e%H%x1f%ct%x1f%s"
        out = self._ask("log", "--name-only", "--no-renames", f"--max-count={_COMMITS}", form, self.commit, "--")
        newest: dict[str, tuple[str, int, str]] = {}
        counts: dict[str, int] = {}
        now = 0
        for section in out.split("\x1e")[1:]:
            head, _, names = section.partition("\n")
            name, when, subject = [*head.split("\x1f", 2), "", ""][:3]
            now = now or _whole(when)
            for path in filter(None, names.split("\n")):
                newest.setdefault(path, (name, _whole(when), subject))
                counts[path] = counts.get(path, 0) + 1
        return {p: Touch(c, max(0, now - at) / _DAY, s, counts[p]) for p, (c, at, s) in newest.items()}

    def lines(self, path: str, lines: Collection[int]) -> Mapping[int, Touch]:
        """See History."""
        ranges = [word for first, last in _ranges(lines) for word in ("-L", f"{first},{last}")]
        if not ranges:
            return {}
        out = self._ask("blame", "--line-porcelain", *ranges, self.commit, "--", path)
        found: dict[int, Touch] = {}
        now = _whole(self._ask("log", "-1", "--format=%ct", self.commit, "--").strip())
        name, line, when = "", 0, 0
        for text in out.split("\n"):
            word, _, rest = text.partition(" ")
            if len(word) >= 40 and word.strip("0123456789abcdef") == "":
                name, line = word, _whole(rest.split(" ")[1]) if " " in rest else 0
            elif word == "committer-time":
                when = _whole(rest)
            elif word == "summary":
                found[line] = Touch(name, max(0, now - when) / _DAY, rest)
        return found

    def since(self, green: str) -> frozenset[tuple[str, int]] | None:
        """See History. Where lines were only taken away, those around the gap."""
        wanted = self._ask("rev-parse", "--quiet", "--verify", "--end-of-options", f"{green}^{{commit}}").strip()
        if not wanted:
            return None
        options = ("-U0", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color", "--dst-prefix=b/")
        found: set[tuple[str, int]] = set()
        path = ""
        for text in self._ask("diff", *options, wanted, self.commit, "--").split("\n"):
            if text.startswith("+++ "):
                path = text[6:].rstrip("\t") if text.startswith("+++ b/") else ""
            elif path and (hunk := _HUNK.match(text)):
                first, count = int(hunk[1]), int(hunk[2] or 1)
                found.update((path, n) for n in (range(first, first + count) if count else (first, first + 1)))
        return frozenset(found)

    def _ask(self, *arguments: str) -> str:
        """What git prints, "" when it fails or takes too long."""
        unquoted = ("core.quotePath=false",)
        status, out, _ = git.run(str(self.git_dir), *arguments, more=unquoted, seconds=self.seconds)
        return out.decode("utf-8", "replace") if status == 0 else ""


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _ranges(lines: Collection[int]) -> list[tuple[int, int]]:
    """Runs of neighbouring numbers."""
    found: list[tuple[int, int]] = []
    for line in sorted(lines):
        if found and found[-1][1] == line - 1:
            found[-1] = (found[-1][0], line)
        else:
            found.append((line, line))
    return found
