"""The logit lens (nostalgebraist 2020): what the model would say already after each layer, read by its own head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from repair.errors import ModelError
from repair.explain.glass import Watch
from repair.explain.passages import Passage, passage, unchanged
from repair.explain.values import LensTable, Subject
from repair.models.compact import CompactFormat
from repair.models.numbered import NumberedFormat

if TYPE_CHECKING:
    from repair.explain.glass import Glass
    from repair.models.local import Format

_SAME = 1e-3  # relative difference of logits that is no other function


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """The answer's tokens read off after each layer; tensors on the CPU."""

    best: Tensor  # (layers + 1, positions): ids of the likeliest token
    chance: Tensor  # (layers + 1, positions): its probability
    said: Tensor  # (layers + 1,): log-probability of the whole answer
    direct: bool  # whether the head's logits after the last layer are the model's


def lens_table(glass: Glass, subject: Subject) -> LensTable:
    """Rows: the embeddings, then each layer; columns: the answer's tokens, each at the position that says it.

    The last row is what the model itself says. Raises ModelError when the model fails or has no last norm.
    """
    answers = glass.local().answers
    new = passage(answers, subject.view, subject.hunks)
    fixed = _read(glass, new)
    original = _read(glass, passage(answers, subject.view, unchanged(subject.view, subject.hunks)))
    notes = () if fixed.direct else ("this model changes its logits after the head: only the last row has that",)
    return LensTable(
        positions=new.tokens[new.prompt :],
        words=tuple(tuple(token_text(answers, token) for token in row) for row in fixed.best.tolist()),
        chance=fixed.chance.numpy(),
        fixed=fixed.said.numpy().astype(np.float32),
        original=original.said.numpy().astype(np.float32),
        notes=notes,
    )


def _read(glass: Glass, found: Passage) -> _Read:
    """All `hidden` of a Glass are raw, so every one is normed before the head; layer after layer, for the memory."""
    rows = tuple(range(found.prompt - 1, len(found.ids) - 1))
    seen = glass.run(found.ids, Watch(rows=rows, hidden=True))
    labels = torch.tensor(found.ids[found.prompt :], device=glass.device)
    states = [state[list(rows)] for state in seen.hidden]
    with torch.no_grad():
        last = _logits(glass, states[-1])
        direct = bool((last - seen.logits).abs().max() <= _SAME * max(1.0, float(seen.logits.abs().max())))
        tables = (*(_logits(glass, state) for state in states[:-1]), seen.logits)
        best, chance, said = list[Tensor](), list[Tensor](), list[Tensor]()
        for logits in tables:
            likely = torch.log_softmax(logits, -1)
            top, at = likely.max(-1)
            best.append(at.cpu())
            chance.append(top.exp().cpu())
            said.append(likely.gather(1, labels[:, None]).double().sum().cpu())
    return _Read(torch.stack(best), torch.stack(chance), torch.stack(said), direct)


def _logits(glass: Glass, states: Tensor) -> Tensor:
    try:
        return glass.head(glass.norm(states)).float()
    except AttributeError as error:
        raise ModelError("the last norm of this model cannot be found: there is no lens for it") from error


def token_text(answers: Format, token: int) -> str:
    """A token for people: special ones by name, one that the vocabulary only pads as `<|id N|>`."""
    if isinstance(answers, CompactFormat):
        if token >= answers.encoder.vocabulary:
            return f"<|id {token}|>"
        return "".join(piece.text for piece in answers.encoder.decode([token]))
    assert isinstance(answers, NumberedFormat)
    if token >= len(answers.tokenizer):
        return f"<|id {token}|>"
    return _decoded(answers, [token])


def _decoded(answers: NumberedFormat, tokens: Sequence[int]) -> str:
    return str(answers.tokenizer.decode(list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False))
