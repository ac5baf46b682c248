"""Sample repairs of a model in training: what it would answer to a few held-out examples, as records of the log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager

from data.mutants import Example as Pair
from repair.errors import ModelError
from repair.model import Decoding, Model
from repair.replies import Change, parse_reply, render_reply

FEW = 3


def sampler(
    asked: Callable[[], AbstractContextManager[Model]], pairs: Sequence[Pair], few: int = FEW
) -> Callable[[], Iterable[Mapping[str, object]]]:
    """A function that repairs the first `few` faulty `pairs` with the model as it is when it is called."""
    chosen = [pair for pair in pairs if pair.hunks][:few]

    def samples() -> Iterable[Mapping[str, object]]:
        with asked() as model:
            return [sample(model, pair) for pair in chosen]

    return samples


def sample(model: Model, pair: Pair) -> dict[str, object]:
    """The likeliest repair of one example beside the reference."""
    first = pair.hunks[0]
    shown = range(first.first, max(first.first, first.last) + 1)
    lines = [pair.view.lines[n - pair.view.first_line] for n in shown if n <= pair.view.last_line]
    record: dict[str, object] = {
        "id": f"{pair.view.path}:{first.first}",
        "buggy": "\n".join(lines),
        "reference": render_reply(pair.hunks),
    }
    try:
        belief = model.locate(pair.view)
        likeliest = max(belief.lines, key=lambda n: belief.lines[n]) if belief else first.first
        decoding = Decoding(candidates=1, samples=0.0, lines={likeliest: 1.0})
        text = next((completion.text for completion in model.propose(pair.view, decoding)), "")
    except ModelError as error:  # a window that is too long for this base says nothing about the training
        return {**record, "pointed": 0, "proposed": "", "right": False, "note": str(error)}
    reply = parse_reply(text, pair.view)
    right = isinstance(reply, Change) and reply.hunks == pair.hunks
    return {**record, "pointed": likeliest, "proposed": text, "right": right}
