"""Where a reference says that the fault is, and how far a ranking or a patch is from it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher

from repair.languages import enclosing_function
from repair.sources import Source


def changed_lines(before: str, after: str) -> tuple[int, ...]:
    """Lines of `before` (1-based) that `after` changes; of an insertion the line it stands before."""
    old, new = before.split("\n"), after.split("\n")
    changed: set[int] = set()
    for tag, start, end, _, _ in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            changed.update(range(start + 1, max(end, start + 1) + 1))
    return tuple(sorted(min(line, len(old)) for line in changed))


def size_of_change(before: str, after: str) -> int:
    """Lines removed and added."""
    old, new = before.split("\n"), after.split("\n")
    parts = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return sum((i2 - i1) + (j2 - j1) for tag, i1, i2, j1, j2 in parts if tag != "equal")


def line_rank(suspects: Sequence[int], faulty: Sequence[int]) -> int | None:
    """Rank of the first suspect that is a faulty line."""
    return next((rank for rank, line in enumerate(suspects, 1) if line in faulty), None)


Place = tuple[str, int]  # path and line


def function_rank(sources: Mapping[str, Source], suspects: Sequence[Place], faulty: Iterable[Place]) -> int | None:
    """Rank of a faulty function among the different functions of the suspects; a file's code outside of any is one."""
    wanted = {_function_of(sources, place) for place in faulty}
    seen: list[tuple[str, str]] = []
    for place in suspects:
        name = _function_of(sources, place)
        if name in wanted:
            return len(seen) + (name not in seen)
        if name not in seen:
            seen.append(name)
    return None


def _function_of(sources: Mapping[str, Source], place: Place) -> tuple[str, str]:
    path, line = place
    source = sources.get(path)
    found = enclosing_function(source, min(line, source.line_count)) if source else None
    return path, found.qualified_name if found else ""
