"""Meter: a loaded network to the scores of held-out examples.

Owns how answers become a Score, and how a network that is being trained is asked as if it were served. Must not know
files of examples, nor how the network was trained. No test of any program is run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from repair.errors import InputError
from repair.model import Decoding, LineBelief
from repair.prompts import shown_hunks
from repair.replies import Change, parse_reply
from repair.views import Hunk, View
from training.heldout import Held
from training.probes import Answer, Probe, Question, code_bytes
from training.reading import Logits, read
from training.scores import Score
from training.searching import searched

if TYPE_CHECKING:
    from torch import nn

    from repair.model import Model

_AT_ONCE = 512  # examples whose readings are held in memory


@dataclass(frozen=True, slots=True)
class Effort:
    """What is asked beside the passes, for each faulty example; 0 leaves it out."""

    proposals: int = 0  # of the model: exact@k; 100 take a third of a second with the embedded model
    searched: int = 0  # candidates in the order in which a repair would judge them: searched@k; 100 take four seconds

    def __post_init__(self) -> None:
        if min(self.proposals, self.searched) < 0:
            raise InputError("the number of candidates must not be negative", field="candidates")


NONE = Effort()


@dataclass(frozen=True, slots=True)
class Meter:
    """A network behind a function, with its format. `answers` is asked for proposals (and beliefs, when numbered)."""

    logits: Logits
    probe: Probe
    answers: Callable[[], Model]

    def score(self, heldout: Sequence[Held], effort: Effort = NONE) -> list[Score]:
        """A score of each example that fits the context, in order."""
        scores: list[Score] = []
        for at in range(0, len(heldout), _AT_ONCE):
            scores += self._scores(heldout[at : at + _AT_ONCE], effort)
        return scores

    def _scores(self, heldout: Sequence[Held], effort: Effort) -> list[Score]:
        asked = [(held, question) for held in heldout if (question := self.probe.question(held.pair)) is not None]
        asks = [ask for _, question in asked for ask in question.asks]
        readings = iter(read(self.logits, asks, self.probe.vocabulary, self.probe.words))
        answers = [
            (held, question, self.probe.answer(held.pair.view, question, [next(readings) for _ in question.asks]))
            for held, question in asked
        ]
        return [self._score(held, question, answer, effort) for held, question, answer in answers]

    def _score(self, held: Held, question: Question, answer: Answer, effort: Effort) -> Score:
        view, hunks = held.pair.view, held.pair.hunks
        belief = answer.belief or self.answers().locate(view) or LineBelief({})
        rank, line_rank = _ranks(belief, view, hunks)
        greedy = rank == 1 if answer.belief else bool(answer.greedy[: question.given].all())
        rest = bool(answer.greedy[question.given :].all())
        bits = -answer.code / math.log(2)
        proposed = self._proposed(view, hunks, belief, effort.proposals) if effort.proposals and hunks else -1
        found = searched(view, hunks, belief, self.answers(), effort.searched) if effort.searched and hunks else -1
        return Score(
            held.id, bool(hunks), rank, line_rank, belief.no_fault >= max(belief.lines.values(), default=0.0),
            belief.no_fault, greedy and rest, rest, float(bits.sum()), code_bytes(view.lines),
            float(bits[question.clean].sum()), self.probe.clean_bytes(held.pair), proposed, found,
            held.pair.bug_classes,
        )  # fmt: skip

    def _proposed(self, view: View, hunks: Sequence[Hunk], belief: LineBelief, candidates: int) -> int:
        """Rank of the reference among the different texts that are proposed, 0 where it is none of them."""
        wanted, seen = applied(view, hunks), set[tuple[str, ...]]()
        for completion in self.answers().propose(view, Decoding(lines=belief.lines, candidates=candidates)):
            reply = parse_reply(completion.text, view)
            if isinstance(reply, Change):
                seen.add(text := applied(view, reply.hunks))
                if text == wanted:
                    return len(seen)
        return 0


def applied(view: View, hunks: Sequence[Hunk]) -> tuple[str, ...]:
    """The view's lines after a change. Two changes with one outcome are one repair."""
    lines = list(view.lines)
    for hunk in sorted(hunks, reverse=True):
        at = hunk.first - view.first_line
        lines[at : at + hunk.last - hunk.first + 1] = hunk.text.split("\n") if hunk.text else []
    return tuple(lines)


def _ranks(belief: LineBelief, view: View, hunks: Sequence[Hunk]) -> tuple[int, int]:
    """(rank among lines and "no fault", rank among lines or 0); ties do a model no harm, NaN ranks last."""
    lines = belief.lines.values()
    if not hunks:
        return 1 + sum(not chance <= belief.no_fault for chance in lines), 0
    right = belief.lines[shown_hunks(view, hunks)[0].first]
    line_rank = 1 + sum(not chance <= right for chance in lines)
    return line_rank + (not belief.no_fault <= right), line_rank


@contextmanager
def serving(network: nn.Module) -> Generator[None, None, None]:
    """The network as it is served (no dropout, plain attention), and afterwards as it was."""
    learning = [module for module in network.modules() if module.training]
    base = cast("Any", inner(network))
    attention = getattr(getattr(base, "config", None), "_attn_implementation", "sdpa")
    own = attention not in ("sdpa", "eager")  # kernels of training want packed rows, or no masks of ours
    network.eval()
    if own:
        base.set_attn_implementation("sdpa")
    try:
        yield
    finally:
        if own:
            base.set_attn_implementation(attention)
        for module in learning:
            module.training = True


def inner(network: nn.Module) -> nn.Module:
    """The model of transformers within peft's wrapper."""
    return cast("Any", network).get_base_model() if hasattr(network, "get_base_model") else network
