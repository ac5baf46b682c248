"""Which candidates are worth a run of the tests: those that parse, are new and name nothing unknown."""

from __future__ import annotations

from collections.abc import Mapping

from repair.candidates import Candidate
from repair.languages import parses, tree_key, undefined_names
from repair.sources import Source


class Admission:
    """Lets each syntax tree pass once; the unpatched sources count as seen."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = sources
        self._seen = {self._key(sources)}
        self._undefined = {path: undefined_names(source) for path, source in sources.items()}

    def _key(self, sources: Mapping[str, Source]) -> tuple[object, ...]:
        return tuple(tree_key(sources[path]) for path in sorted(sources))

    def admits(self, candidate: Candidate) -> bool:
        """Whether to judge it; remembers its tree."""
        patched = dict(self._sources)
        for file in candidate.patch.files:
            source = self._sources[file.path]
            patched[file.path] = source.with_text(file.apply(source.text))
        changed = [patched[path] for path in candidate.patch.paths]
        if any(parses(source) is not None for source in changed):
            return False
        if any(undefined_names(source) - self._undefined[source.path] for source in changed):
            return False
        key = self._key(patched)
        if key in self._seen:
            return False
        self._seen.add(key)
        return True
