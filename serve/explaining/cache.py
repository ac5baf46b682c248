"""Explanations that were computed lately, by what they were computed from: in memory, bounded."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from dataclasses import asdict, dataclass, field

from repair.errors import EmendError
from serve.explaining.computing import Answer
from serve.explaining.wire import ExplanationIn
from serve.loaded import stamp_of
from serve.modelnames import Choice

_MOST = 64
_MOST_BYTES = 64 * 1024 * 1024
_NOT_ASKED = frozenset({"pictures", "journal", "options"})  # what changes nothing of what is computed


def key_of(body: ExplanationIn, choice: Choice, seconds: float) -> str:
    """A digest of model, adapter as its files are now, everything that the prompt is made of, change and questions."""
    told = body.model_dump(mode="json", exclude=set(_NOT_ASKED))
    told["interventions"] = asdict(body.interventions.value())
    try:
        stamp = stamp_of(choice.directory)
    except EmendError:  # the process will say so
        stamp = ()
    names = [choice.model, choice.adapter, choice.spec, stamp, body.options.seed, seconds]
    return hashlib.sha256(json.dumps([names, told], sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()


def _size(answer: Answer) -> int:
    return len(answer.values) + len(answer.pictured) + len(answer.report)  # about bytes: code is mostly ASCII


@dataclass(slots=True)
class Cache:
    """The last answers; the one not used for the longest goes first."""

    most: int = _MOST
    most_bytes: int = _MOST_BYTES
    _held: OrderedDict[str, Answer] = field(default_factory=OrderedDict[str, Answer])
    _bytes: int = 0

    def get(self, key: str) -> Answer | None:
        """What was kept."""
        found = self._held.get(key)
        if found is not None:
            self._held.move_to_end(key)
        return found

    def put(self, key: str, answer: Answer) -> None:
        """Keep one, unless it is larger than all may be."""
        if _size(answer) > self.most_bytes:
            return
        before = self._held.pop(key, None)
        self._bytes += _size(answer) - (_size(before) if before else 0)
        self._held[key] = answer
        while len(self._held) > self.most or self._bytes > self.most_bytes:
            self._bytes -= _size(self._held.popitem(last=False)[1])
