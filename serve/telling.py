"""Events of a repair in the words of the wire: a name and its JSON, for streams, jobs and answers alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from repair.pipeline import CandidateJudged, Event, Finished, SuspectsFound
from repair.sources import Source
from repair.verdicts import RepairResult
from serve.limits import MIB
from serve.wire import MAX_PATCHES, LocalizationOut, localization_out, patch_out, repair_out

_CUT = "the answer was too large: the last patches were left out"


@dataclass(frozen=True, slots=True)
class Told:
    """One event: `name` is suspects, candidate, result or localization, `data` the JSON of its wire model."""

    name: str
    data: str


@dataclass(frozen=True, slots=True)
class Telling:
    """Says the events of one request: its id, the model's name, and the files that spans are counted in."""

    id: str
    model: str
    sources: Mapping[str, Source]
    max_bytes: int = 8 * MIB  # of one answer; of a longer one the last patches are left out

    def localization(self, found: SuspectsFound) -> LocalizationOut:
        """The suspects as the answer of /v1/localizations."""
        return localization_out(
            found.suspects, self.sources, identity=self.id, model=self.model, no_fault=found.no_fault
        )

    def tell(self, event: Event) -> Told:
        """An event of `repair.pipeline`."""
        match event:
            case SuspectsFound():
                return Told("suspects", self.localization(event).model_dump_json())
            case CandidateJudged():
                return Told("candidate", patch_out(event.judgement, self.sources).model_dump_json())
            case Finished():
                return Told("result", self._result(event.result))

    def _result(self, result: RepairResult) -> str:
        """The answer of /v1/repairs, with as many patches as fit."""
        most = MAX_PATCHES
        while True:
            out = repair_out(result, identity=self.id, model=self.model, most=most)
            text = out.model_dump_json()
            if len(text.encode()) <= self.max_bytes or most == 0:
                return text
            most //= 2
            result = replace(result, notes=(*(n for n in result.notes if n != _CUT), _CUT))
