"""From observations to what fails, what passes, and a verdict. Pure: runs nothing.

Rules (SERVICE.md "Honest verdicts"): before, the failing ids fail every time; after, the same ids pass, no
passing id fails or vanishes; a run that did not end is no pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from repair.candidates import Candidate
from repair.edits import Patch
from repair.errors import OracleError, PatchError
from repair.languages import parses
from repair.oracle import Baseline
from repair.sandbox import Execution, Limits, Stop
from repair.sources import Source
from repair.spectrum import Spectrum
from repair.verdicts import Judgement, Observation, Outcome, Verdict

FAILED = (Outcome.FAILED, Outcome.ERROR)
WHOLE = "the whole run"  # the id of the only test where an oracle tells no single ones
ONLY_WHOLE = frozenset({WHOLE})
_STOPPED = {
    Stop.WALL: "did not end within {limits.wall_seconds:.3g} s",
    Stop.CPU: "used more than {limits.cpu_seconds:.3g} s of CPU time",
    Stop.MEMORY: "used more memory than allowed",
    Stop.OUTPUT: "printed more than allowed",
    Stop.DISK: "wrote more to the disk than allowed",
    Stop.PROCESSES: "started more processes than allowed",
}


@dataclass(frozen=True, slots=True)
class Settled:
    """Ids sorted by how they ended over all baseline runs."""

    failing: frozenset[str]
    passing: frozenset[str]
    flaky: frozenset[str]


def stopped_reason(execution: Execution, limits: Limits) -> str:
    """Why a program was ended by the sandbox, "" when it ended by itself."""
    return _STOPPED[execution.stopped].format(limits=limits) if execution.stopped else ""


def decoded(execution: Execution, limit: int = 20_000) -> str:
    """Standard output and error as text, the middle left out when long."""
    text = (execution.stdout + execution.stderr).decode("utf-8", "replace")
    return text if len(text) <= limit else f"{text[: limit // 2]}\n[...]\n{text[-limit // 2 :]}"


def ended_ids(observation: Observation, *outcomes: Outcome) -> frozenset[str]:
    """Ids that ended so; the whole run is one test where there are no others."""
    if observation.tests:
        return observation.ids(*outcomes)
    passed = Outcome.PASSED in outcomes
    return ONLY_WHOLE if observation.passed == passed else frozenset()


def settle(runs: Iterable[Observation]) -> Settled:
    """What failed in every run, passed in every run, and did neither."""
    runs = tuple(runs)
    failed = [ended_ids(run, *FAILED) for run in runs]
    passed = [ended_ids(run, Outcome.PASSED) for run in runs]
    failing = frozenset.intersection(*failed)
    passing = frozenset.intersection(*passed)
    return Settled(failing, passing, frozenset.union(*failed, *passed) - failing - passing)


def steady(run: Callable[[], Observation]) -> tuple[Observation, Settled]:
    """Run the unpatched code twice, a third time only when the two differ. Returns the first run.

    Raises OracleError when nothing fails every time although something failed.
    """
    first, second = run(), run()
    runs = [first, second]
    settled = settle(runs)
    if settled.flaky:
        runs.append(run())
        settled = settle(runs)
    failed = [r for r in runs if not r.passed]
    if failed and not settled.failing and not settled.flaky:
        told = [line for line in failed[0].output.split("\n") if line.strip()]
        raise OracleError(f"no test fails, yet the test command ends with failure: {told[-1].strip() if told else ''}")
    if failed and not settled.failing:
        names = ", ".join(sorted(settled.flaky)[:3]) or "the run"
        raise OracleError(
            f"every failing test is flaky ({names}): it passes in some runs of the same code; fix its seed first"
        )
    return first, settled


def unlike_base(baseline: Baseline, after: Observation, *, partly: bool = False) -> tuple[Verdict, str]:
    """Verdict of a candidate's run against the baseline, and its reason; `partly` when only failing tests ran."""
    failed, passed = ended_ids(after, *FAILED), ended_ids(after, Outcome.PASSED)
    if still := sorted(baseline.failing - passed):
        return Verdict.UNFIXED, after.reason or f"{_named(still)} still {'fail' if len(still) > 1 else 'fails'}"
    if worse := [] if partly else sorted(baseline.passing - passed):
        gone = [t for t in worse if t not in failed]
        return Verdict.REGRESSED, f"{_named(gone or worse)} passed before, now {'gone' if gone else 'failing'}"
    if new := sorted(failed - baseline.flaky):
        return Verdict.REGRESSED, f"{_named(new)} fails and was not there before"
    if not after.complete:
        return Verdict.UNDECIDED, after.reason or "the run did not end"
    if not partly and not after.passed and not failed:
        return Verdict.UNFIXED, after.reason or "the tests pass, yet the command's exit status says failure"
    return Verdict.PLAUSIBLE, f"{len(passed)} test{'s' * (len(passed) != 1)} pass"


def _named(ids: list[str]) -> str:
    return ids[0] if len(ids) == 1 else f"{ids[0]} and {len(ids) - 1} more"


def patched_sources(sources: Mapping[str, Source], patch: Patch) -> dict[str, Source]:
    """The changed files after the patch. Raises PatchError when it does not fit."""
    texts = patch.apply({path: source.text for path, source in sources.items()})
    return {path: sources[path].with_text(texts[path]) for path in patch.paths}


def applied(candidate: Candidate, sources: Mapping[str, Source], *, covered: bool) -> Mapping[str, Source] | Judgement:
    """The changed files, or the judgement that needs no run: INAPPLICABLE, BROKEN."""
    if not covered:
        reason = "touches a file that a repair may not touch"
        return Judgement(candidate, Verdict.INAPPLICABLE, reason=reason)
    try:
        changed = patched_sources(sources, candidate.patch)
    except PatchError as error:
        return Judgement(candidate, Verdict.INAPPLICABLE, reason=str(error))
    for path, source in changed.items():
        if error := parses(source):
            return Judgement(candidate, Verdict.BROKEN, reason=f"{path}:{error.line}: {error.message}")
    return changed


def candidate_limits(cap: Limits, wall: float, cpu: float) -> Limits:
    """Limits of a candidate from what the unpatched code takes: 5 times as much, at least 1 s of CPU time.

    The wall clock gets at least three times the CPU's, so that a busy machine condemns nobody; never above `cap`.
    """
    cpu = min(cap.cpu_seconds, max(1.0, 5 * cpu))
    return replace(cap, cpu_seconds=cpu, wall_seconds=min(cap.wall_seconds, max(3 * cpu, 5 * wall)))


def spectrum_of(lines: Mapping[str, Mapping[str, frozenset[int]]], settled: Settled) -> Spectrum | None:
    """Counts of failing and passing tests per executed line; None when no failing test was traced."""
    counts: dict[bool, dict[tuple[str, int], int]] = {True: {}, False: {}}
    ran = {True: 0, False: 0}
    for test_id, files in lines.items():
        if test_id not in settled.failing and test_id not in settled.passing:
            continue
        fails = test_id in settled.failing
        ran[fails] += 1
        for path, numbers in files.items():
            for number in numbers:
                counts[fails][path, number] = counts[fails].get((path, number), 0) + 1
    return Spectrum(ran[True], ran[False], counts[True], counts[False]) if ran[True] else None


def first_lines(text: str, count: int = 40) -> str:
    """At most `count` lines of `text`."""
    lines = text.split("\n")
    return "\n".join(lines if len(lines) <= count else [*lines[:count], "..."])
