"""Heard: a model that counts what it answers, so that a run can tell garbage from patches that fail.

Passes every question on unchanged. Owns the counting only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from repair.candidates import Completion
from repair.model import Decoding, LineBelief, Model, Usage
from repair.replies import Change, parse_reply
from repair.views import Hunk, View


@dataclass(slots=True)
class Heard:
    """`model` (see `repair.model.Model`), with the number of its answers and of those without a readable change."""

    model: Model
    proposed: int = field(default=0, init=False)
    unreadable: int = field(default=0, init=False)

    @property
    def name(self) -> str:
        """The model's."""
        return self.model.name

    @property
    def usage(self) -> Usage:
        """The model's."""
        return self.model.usage

    def locate(self, view: View) -> LineBelief | None:
        """The model's."""
        return self.model.locate(view)

    def propose(self, view: View, decoding: Decoding) -> Iterator[Completion]:
        """The model's, counted."""
        for completion in self.model.propose(view, decoding):
            self.proposed += 1
            self.unreadable += not isinstance(parse_reply(completion.text, view), Change)
            yield completion

    def score(self, view: View, changes: Sequence[tuple[Hunk, ...]]) -> Sequence[float] | None:
        """The model's."""
        return self.model.score(view, changes)
