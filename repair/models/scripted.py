"""ScriptedModel: a repair model that answers what it was told to. For tests, demonstrations and dry runs.

Each answer is a fixed value or a function of what was asked. It has no weights and draws no random numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from repair.candidates import Completion
from repair.model import Decoding, LineBelief, Usage
from repair.prompts import numbered_prompt
from repair.replies import render_reply
from repair.views import Hunk, View

Hunks = tuple[Hunk, ...]
Answer = Completion | str | Hunks
"""A reply as a Completion, as its text, or as the hunks that it should say (none: no fault)."""


@dataclass(frozen=True, slots=True)
class Call:
    """One question that was asked."""

    method: Literal["locate", "propose", "score"]
    view: View


@dataclass(slots=True)
class ScriptedModel:
    """Answers from a script; see `repair.model.Model` for the meaning of each method.

    `belief` None means no probabilities. `completions` are cut to the number that was asked for.
    `scores` maps hunks to log-probabilities, those not in it get `unscored`; None means that it cannot score.
    `calls` records what was asked, in order.
    """

    belief: LineBelief | Callable[[View], LineBelief | None] | None = None
    completions: Sequence[Answer] | Callable[[View, Decoding], Iterable[Answer]] = ()
    scores: Mapping[Hunks, float] | Callable[[View, Sequence[Hunks]], Sequence[float] | None] | None = None
    unscored: float = -100.0
    name: str = "scripted"
    calls: list[Call] = field(default_factory=list[Call])
    _read: int = field(default=0, init=False)
    _written: int = field(default=0, init=False)

    @property
    def usage(self) -> Usage:
        """Words read and tokens written (words, for answers that do not say how many tokens they have)."""
        return Usage(self._read, self._written)

    def locate(self, view: View) -> LineBelief | None:
        """The scripted belief."""
        self._note(Call("locate", view))
        return self.belief(view) if callable(self.belief) else self.belief

    def propose(self, view: View, decoding: Decoding) -> Iterator[Completion]:
        """The scripted completions, in their order, at most `decoding.candidates`."""
        self._note(Call("propose", view))
        answers = self.completions(view, decoding) if callable(self.completions) else self.completions
        for answer in islice(answers, decoding.candidates):
            completion = _completion(answer)
            self._written += completion.tokens
            yield completion

    def score(self, view: View, changes: Sequence[Hunks]) -> Sequence[float] | None:
        """The scripted scores, one for each change."""
        self._note(Call("score", view))
        if self.scores is None or callable(self.scores):
            return self.scores(view, changes) if self.scores else None
        return [self.scores.get(change, self.unscored) for change in changes]

    def _note(self, call: Call) -> None:
        self.calls.append(call)
        self._read += len(numbered_prompt(call.view).split())


def _completion(answer: Answer) -> Completion:
    if isinstance(answer, Completion):
        return answer if answer.tokens else Completion(answer.text, len(answer.text.split()), answer.logprob)
    text = answer if isinstance(answer, str) else render_reply(answer)
    return Completion(text, len(text.split()))
