"""What `emend explain` computes: the change, by repairing or from a diff, the opened model, and the explanation."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.status import Status

from repair.candidates import Candidate
from repair.defects import FailingTest, RepairRequest
from repair.diffs import parse_diff
from repair.edits import Patch
from repair.errors import EmendError, InputError, NothingToRepair
from repair.explain.values import Checked, Explanation, RunValues, Subject
from repair.oracle import Oracle
from repair.oracles.tests import TestOracle
from repair.pipeline import informed
from repair.verdicts import Judgement, Outcome, RepairResult
from serve.commands.fix import best, followed
from serve.commands.given import Given
from serve.explaining.subjects import subject_of
from serve.oracles import events_of

if TYPE_CHECKING:
    from repair.explain.explain import Makers, Matter, Wanted
    from repair.explain.glass import Glass
    from repair.explain.reference import Reference
    from repair.model import Model

_SERVERS = ("http://", "https://")
_OPERATORS = 15  # rows of the profile


@dataclass(frozen=True, slots=True)
class Change:
    """A change to explain: the request with all that is known of the failure, the patch and what the tests said."""

    request: RepairRequest
    patch: Patch
    judgement: Judgement | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explained:
    """An explanation, and the table of operators where it was profiled."""

    explanation: Explanation
    operators: str = ""


def change_of(  # noqa: PLR0913 - what was typed
    request: RepairRequest,
    oracle: Oracle,
    given: Given,
    *,
    text: str = "",
    candidate: int | None = None,
    device: str | None = None,
    status: Status | None = None,
) -> Change | None:
    """The change that a diff's `text` means, else the one that a repair chooses; None where it finds none.

    Raises InputError for a candidate that there is not or a diff that does not fit, else as `repair` does.
    """
    if text:
        return _given(request, oracle, text, tests=given.test is not None, status=status)
    from repair.models.select import load_model

    model = load_model(given.model, adapter=str(given.adapter) if given.adapter else None, device=device)
    if status:
        status.update("running the tests" if given.test else "reading the code")
    with closing(events_of(request, model, oracle)) as events:
        result = followed(events, status)
    chosen = _chosen(result, candidate)
    if chosen is None:
        return None
    notes = result.notes if given.test else ()
    if not chosen.candidate.origin.startswith("model"):
        notes += (
            f"this change comes from the search ({chosen.candidate.origin}), not from the model: "
            "told is what the model makes of it",
        )
    return Change(result.request, chosen.candidate.patch, chosen, notes)


def _chosen(result: RepairResult, number: int | None) -> Judgement | None:
    """Candidate `number` of the ranked ones, else the chosen one, else the first."""
    if number is None:
        return best(result) or next(iter(result.judgements), None)
    if number > len(result.judgements):
        raise InputError(f"--candidate {number}: the repair has {len(result.judgements)} candidates", field="candidate")
    return result.judgements[number - 1]


def _given(request: RepairRequest, oracle: Oracle, text: str, *, tests: bool, status: Status | None) -> Change:
    sources = {source.path: source for source in request.sources}
    try:
        patch = parse_diff(text, sources)
    except InputError as error:
        raise InputError(f"--patch: {error}", field="patch") from error
    if not patch:
        raise InputError("--patch: the diff changes nothing", field="patch")
    if not tests:
        return Change(request, patch)
    if status:
        status.update("running the tests")
    with oracle.open() as bench:
        try:
            baseline = bench.baseline()
        except NothingToRepair as nothing:
            return Change(request, patch, notes=(f"{nothing}: the model is shown no failing test",))
        judgement = bench.judge(Candidate(patch, origin="given"))
    return Change(informed(request, baseline), patch, judgement, baseline.notes)


def explained(  # noqa: PLR0913 - what was typed
    change: Change,
    oracle: Oracle,
    given: Given,
    *,
    device: str | None = None,
    wanted: Wanted,
    trace: Path | None = None,
    status: Status | None = None,
) -> Explained:
    """Explain a change; with `trace` the profile is written there. Raises InputError, ModelError."""
    from repair.explain.explain import Makers, Matter, composed

    subject, notes = subject_of(change.request, change.patch)
    if status:
        status.update("opening the model")
    model, glass, reference, remark = _opened(given, device)
    if status:
        status.update("explaining")
    matter, operators = Matter(subject, model, glass, reference, wanted), ""
    if trace is None:
        found = composed(matter, Makers())
    else:
        found, operators = _profiled(matter, trace)
    values, note = _values(change, oracle, subject, status)
    said = (*change.notes, *notes, remark, *found.notes, note)
    whole = replace(
        found, model=_label(given, found.model), checked=_tests(change), values=values, notes=tuple(filter(None, said))
    )
    return Explained(whole, operators)


def _opened(given: Given, device: str | None) -> tuple[Model, Glass | None, Reference | None, str]:
    """The model, with its inside where it lies on this machine; why its reference is not used, "" where it is."""
    if given.model is not None and given.model.startswith(_SERVERS):
        from repair.models.select import load_model

        model = load_model(given.model, adapter=str(given.adapter) if given.adapter else None)
        if model is None:  # pragma: no cover - a server is a model
            raise InputError("there is no such model server", field="model")
        return model, None, None, ""
    from repair.explain.glass import open_glass
    from repair.explain.reference import read_reference

    glass = open_glass(given.model, adapter=given.adapter, device=device)
    try:
        return glass.local(), glass, read_reference(glass), ""
    except EmendError as error:
        return glass.local(), glass, None, f"the reference of this model is not used: {error}"


def _label(given: Given, name: str) -> str:
    """The embedded model lies in a cache folder whose name says nothing."""
    if given.model is not None:
        return name
    return f"embedded+{given.adapter}" if given.adapter else "embedded"


def _tests(change: Change) -> Checked | None:
    """What the tests said of the change; None where none ran."""
    judged = change.judgement
    if judged is None or not judged.observations:
        return None
    last = judged.observations[-1]
    return Checked(
        judged.verdict.value, len(last.ids(Outcome.PASSED)), len(last.ids(Outcome.FAILED, Outcome.ERROR)),
        _failing(change.request), judged.reason,
    )  # fmt: skip


def _failing(request: RepairRequest) -> tuple[str, ...]:
    return tuple(one.test_id for one in request.defect.evidence if isinstance(one, FailingTest))


def _values(change: Change, oracle: Oracle, subject: Subject, status: Status | None) -> tuple[RunValues | None, str]:
    """Run-time values of the first failing test, and why there are none."""
    failing = _failing(change.request)
    if not isinstance(oracle, TestOracle) or not failing:
        return None, ""
    if status:
        status.update("running the failing test once more")
    from repair.explain.runtime import observed

    try:
        return observed(oracle, failing[0], subject, change.request.source(subject.view.path))
    except EmendError as error:
        return None, f"no run-time values: {error}"


def _profiled(matter: Matter, trace: Path) -> tuple[Explanation, str]:
    """Explain under torch's profiler: a Chrome trace with a span for each part, and the operators that cost most."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    from repair.explain.explain import composed

    activities = [ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities, acc_events=True) as done:
        found = composed(matter, _spanned())
    try:
        done.export_chrome_trace(str(trace))
    except (OSError, RuntimeError) as error:
        raise InputError(f"--profile: {trace} cannot be written ({error})", field="profile") from error
    return found, _operators(done)


def _spanned() -> Makers:
    """Every part within a span of its name."""
    from dataclasses import fields

    from repair.explain.explain import Makers

    plain = Makers()
    return Makers(**{one.name: _in_span(one.name, getattr(plain, one.name)) for one in fields(Makers)})


def _in_span(name: str, make: Callable[..., Any]) -> Callable[..., Any]:
    def made(*given: object) -> Any:  # noqa: ANN401 - whatever the part is
        with _span("::".join(("emend", name, *(str(one) for one in given[1:])))):
            return make(*given)

    return made


@contextmanager
def _span(name: str) -> Generator[None]:
    from torch.profiler import record_function

    with record_function(name):
        yield


def _operators(done: Any) -> str:  # noqa: ANN401 - torch's profile
    """The table of operators, most time first; spans are no operators."""
    from training.profiling import spots

    found = [spot for spot in spots(done.events(), 0) if not spot.name.startswith("emend::")]
    whole = sum(spot.micros for spot in found) or 1.0
    lines = [f"{'group':<12}{'ms':>10}{'share':>9}{'calls':>9}  operator"]
    lines += [
        f"{spot.group:<12}{spot.micros / 1000:>10.1f}{100 * spot.micros / whole:>7.1f} %{spot.calls:>9}  {spot.name}"
        for spot in found[:_OPERATORS]
    ]
    return "\n".join(lines)
