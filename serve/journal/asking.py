"""What callers ask of the journal: filters as HTTP, the page and the command line give them, read into values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, get_args
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from repair.errors import InputError
from repair.verdicts import Verdict
from serve.store.journal import LABEL
from serve.store.journalwanted import Decision, Wanted

LANGUAGES = ("python", "javascript", "typescript", "tsx", "java", "text")
VERDICTS = (*(verdict.value for verdict in Verdict), "none")
DECISIONS: tuple[Decision, ...] = get_args(Decision)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO = timedelta(microseconds=1)
_Time = Annotated[str | None, Field(max_length=40, examples=["2026-11-25", "2026-11-25T16:05:00Z"])]


class JournalAsk(BaseModel):
    """Filters of the journal: an entry must have all that are given."""

    model_config = ConfigDict(frozen=True)

    label: Annotated[str | None, Field(pattern=LABEL, description="One of its labels", examples=["off-by-one"])] = None
    language: Annotated[
        Literal["python", "javascript", "typescript", "tsx", "java", "text"] | None, Field(examples=["python"])
    ] = None
    verdict: Annotated[
        str | None,
        Field(
            pattern=f"^({'|'.join(VERDICTS)})$", examples=["plausible"],
            description='Of the chosen or else the best patch; "none" where there is no patch',
        ),
    ] = None  # fmt: skip
    model: Annotated[str | None, Field(max_length=200, description="The name of the model", examples=["emend"])] = None
    decision: Annotated[
        Decision | None, Field(description="What was said last of one of its patches", examples=["accepted"])
    ] = None
    text: Annotated[
        str | None, Field(max_length=200, description="Words in request or answer", examples=["NameError"])
    ] = None
    since: Annotated[_Time, Field(description="A day or a time by ISO 8601; UTC where it names no zone")] = None
    until: Annotated[_Time, Field(description="As `since`; a day counts to its end")] = None

    def wanted(self) -> Wanted:
        """The value that the store takes. Raises InputError for a time that is none."""
        return Wanted(
            label=self.label, language=self.language, verdict=self.verdict, model=self.model, decision=self.decision,
            text=self.text, since=_time(self.since, "since"), until=_time(self.until, "until", whole_day=True),
        )  # fmt: skip

    def query(self, **more: str | None) -> str:
        """The filters as the query of an address, "" where there are none."""
        given = {**self.model_dump(), **more}
        return urlencode({name: value for name, value in given.items() if value})


def asked(**given: str | None) -> JournalAsk:
    """Filters from texts, of which empty ones do not count. Raises InputError naming the field."""
    try:
        return JournalAsk.model_validate({name: value for name, value in given.items() if value})
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        allowed = {"verdict": VERDICTS, "decision": DECISIONS, "language": LANGUAGES}.get(field)
        advice = f"one of {', '.join(allowed)}" if allowed else str(first["msg"])
        raise InputError(f"{field}: {advice}", field=field) from error


def _time(text: str | None, field: str, *, whole_day: bool = False) -> int | None:
    """Microseconds since 1970; of a day its begin, or with `whole_day` its end."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
        at = at.replace(tzinfo=at.tzinfo or UTC)
        if whole_day and len(text) <= len("2026-11-25"):
            at += timedelta(days=1)
        return (at - _EPOCH) // _MICRO
    except (ValueError, OverflowError) as error:
        raise InputError(f"{field}: give a day as 2026-11-25 or a time as 2026-11-25T16:05:00Z", field=field) from error
