"""Framing: functions and stretches of files made parsable on their own, by lines in front of and behind them.

Owns what may stand around an indented or nested piece of code so that its parser takes it alone. Must not know
records, labels or transformations.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from repair.languages import Tree, language, parse, parses
from repair.sources import Source

_INDENTED = (("if 1:\n", ""), ("def _():\n", ""), ("async def _():\n", ""), ("class A:\n", ""))
_BRACED = (("", ""), ("class A {\n", "}\n"))


@dataclass(frozen=True, slots=True)
class Frame:
    """Text put in front of and behind a piece of code. `strict`: the language's own parser took it, not the grammar."""

    language: str
    lead: str = ""
    tail: str = ""
    strict: bool = True

    @property
    def lines(self) -> int:
        """How many lines stand in front."""
        return self.lead.count("\n")

    def source(self, text: str) -> Source:
        """The piece within its frame."""
        return Source("framed", self.lead + text + self.tail, self.language)

    def tree(self, text: str) -> Tree:
        """The syntax tree of the piece within its frame."""
        return parse(self.source(text))

    def bare(self, text: str) -> str:
        """The piece of a framed text."""
        return text[len(self.lead) : len(text) - len(self.tail)]

    def accepts(self, text: str) -> bool:
        """Whether a piece parses within this frame."""
        source = self.source(text)
        return parses(source) is None if self.strict else parse(source).error is None


def _candidates(name: str, text: str) -> tuple[tuple[str, str], ...]:
    if not language(name).layout:
        return _BRACED
    first = next((line for line in text.split("\n") if line.strip()), "")
    return _INDENTED if first[:1] in " \t" and first else (("", ""),)


@lru_cache(maxsize=256)
def frame_of(name: str, text: str) -> Frame | None:
    """The first frame in which a piece of code parses, None when there is none.

    A piece that only the grammar can read (a nested function with `nonlocal`) gets a frame that is not strict.
    """
    candidates = _candidates(name, text)
    strict = (Frame(name, lead, tail) for lead, tail in candidates)
    loose = (Frame(name, lead, tail, strict=False) for lead, tail in candidates)
    return next((f for f in (*strict, *loose) if f.accepts(text)), None)
