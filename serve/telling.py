"""Events of a repair in the words of the wire: a name and its JSON, for streams, jobs and answers alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from repair.pipeline import CandidateJudged, Event, Finished, SuspectsFound
from repair.sources import Source
from serve.wire import LocalizationOut, localization_out, patch_out, repair_out


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
                out = repair_out(event.result, identity=self.id, model=self.model)
                return Told("result", out.model_dump_json())
