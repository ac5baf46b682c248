"""Compare a patch with the reference on inputs made from the tests' own (issue 6, item 4).

1. `learn`: run the tests on the reference and record their calls; vary them within what they show of the
   contract; keep the inputs on which the reference ends normally, twice, in two orders, with the same answer.
2. `compare`: run the same inputs on the patch and compare its answers out here, so that it has nothing to forge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from eval.differential.annotations import scenarios_of_signature
from eval.differential.inputs import contracts_of, inputs
from eval.differential.scenarios import Recorded, Scenario, cut, shortened, source
from eval.differential.scripts import Answers, Pace, ended, record_calls, replay
from eval.differential.values import Json, alike, listed, shown, tagged
from eval.suites.rows import Case
from repair.oracles.programs import Programs

MIN = 20
"""Different inputs below which nothing is concluded."""
LANGUAGES = ("python", "javascript")
_LEARNING = Pace(each=0.1, together=1.5, first_hang_ends=False)
_TOGETHER = Pace(each=1.0, together=2.0)  # at least: more for a slow reference
_ALONE = Pace(each=1.0, together=1.5)  # an input that seemed to hang, by itself
_RETRIES = 3  # inputs that stop the reference itself (JavaScript has no time limit of one input)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Whether a patch agrees with the reference; None where nothing can be concluded.

    `inputs` is the number of different inputs on which the reference was asked, `witness` an input with both
    outcomes where they differ.
    """

    agrees: bool | None
    inputs: int
    reason: str
    witness: str = ""


@dataclass(frozen=True, slots=True)
class Reference:
    """What is known of a case's reference: inputs with its answers. `unfit` says why nothing can be concluded.

    A patch gets the time of `pace` for all inputs, of `alone` for one that seemed to hang.
    """

    language: str
    inputs: tuple[tuple[int, Scenario], ...] = ()
    answers: Mapping[int, Json] | None = None
    unfit: str = ""
    pace: Pace = _TOGETHER
    alone: Pace = _ALONE


def compare_with_reference(
    case: Case, patched: str, programs: Programs, *, limit: int = 200, seed: int = 0
) -> Comparison:
    """Compare patched code with the case's reference on at most `limit` inputs. Raises OracleError, SandboxError.

    For many patches of one case `learn` once and `compare` each.
    """
    return compare(learn(case, programs, limit=limit, seed=seed), patched, programs)


def learn(case: Case, programs: Programs, *, limit: int = 200, seed: int = 0) -> Reference:
    """Inputs for the case and the reference's answers. Raises OracleError, SandboxError."""
    code = case.fixed_code
    if code is None:
        return Reference(case.language, unfit="there is no reference")
    if case.language not in LANGUAGES:
        return Reference(case.language, unfit=f"inputs for {case.language} cannot be generated")
    calls = record_calls(code, case.tests, case.language, programs)
    made = _inputs(case, code, calls, limit, seed)
    if not made:
        return Reference(case.language, unfit="the tests call nothing with values that can be varied")
    expected = {call.raised for call in calls.values() if call and call.raised}
    return _asked(case, code, list(enumerate(made)), expected, programs)


def _inputs(case: Case, code: str, calls: Mapping[int, Recorded | None], limit: int, seed: int) -> Sequence[Scenario]:
    scenarios = cut(calls)
    made = inputs(scenarios, contracts_of([s for scenario in scenarios for s in scenario]), limit=limit, seed=seed)
    if len(made) >= MIN or case.language != "python" or scenarios:
        return made
    return inputs(*scenarios_of_signature(code, case.entry_point, seed), limit=limit, seed=seed)


def _asked(
    case: Case, code: str, made: list[tuple[int, Scenario]], expected: set[str], programs: Programs
) -> Reference:
    """Ask the reference twice, the second time in the opposite order."""
    first, _ = _answers(code, made, case.language, programs)
    usable = [(n, scenario) for n, scenario in made if _in_contract(first.get(n), expected)]
    second, seconds = _answers(code, usable[::-1], case.language, programs)
    steady = [
        (n, scenario)
        for n, scenario in usable
        if n in second and alike(first[n], second[n], strict=case.language == "javascript")
    ]
    if len(steady) >= MIN:
        pace = replace(_TOGETHER, together=min(_TOGETHER.together + 10 * seconds, 12.0))
        return Reference(case.language, tuple(steady), {n: first[n] for n, _ in steady}, pace=pace)
    if len(usable) >= MIN:
        return Reference(case.language, unfit="the reference does not answer the same twice")
    return Reference(
        case.language, unfit=f"only {len(steady)} different inputs on which the reference ends normally, {MIN} needed"
    )


def _answers(
    code: str, made: Sequence[tuple[int, Scenario]], language: str, programs: Programs
) -> tuple[dict[int, Json], float]:
    """Answers of the reference and its CPU seconds; an input at which it hangs or leaves is left out."""
    found: dict[int, Json] = {}
    seconds = 0.0
    left = list(made)
    for _ in range(_RETRIES):
        seen = replay(code, left, language, programs, _LEARNING)
        found.update(seen.by_input)
        seconds += seen.cpu_seconds
        if not seen.reason:
            break
        at = next((i for i, (n, _) in enumerate(left) if n == seen.begun), len(left))
        left = left[at + 1 :]
        if not left:
            break
    return found, seconds


def _in_contract(answers: Json, expected: set[str]) -> bool:
    """Whether the reference ended normally, or raised what the tests saw it raise."""
    if not ended(answers):
        return False
    errors = [tagged(cast("dict[str, object]", a)) for a in listed(answers) if isinstance(a, dict) and "e" in a]
    return all(name in expected for _, name in errors)


def compare(reference: Reference, patched: str, programs: Programs) -> Comparison:
    """Compare patched code with what is known of the reference. Raises OracleError, SandboxError."""
    if reference.answers is None:
        return Comparison(None, 0, reference.unfit)
    count = len(reference.inputs)
    seen = replay(patched, reference.inputs, reference.language, programs, reference.pace)
    if seen.undecided:
        return Comparison(None, count, seen.undecided)
    for number, scenario in reference.inputs:
        if not _agrees(reference, number, seen):
            if ended(seen.by_input.get(number)):
                return _differs(reference, number, scenario, seen)
            return _asked_alone(reference, number, scenario, patched, programs)
    if seen.reason:
        return Comparison(False, count, f"all inputs agree, but then {seen.reason}")
    return Comparison(True, count, f"the same on {count} inputs")


def _agrees(reference: Reference, number: int, seen: Answers) -> bool:
    assert reference.answers is not None
    got = seen.by_input.get(number)
    return ended(got) and alike(reference.answers[number], got, strict=reference.language == "javascript")


def _asked_alone(reference: Reference, number: int, scenario: Scenario, patched: str, programs: Programs) -> Comparison:
    """An input without an answer may have suffered from those before it, or from a slow machine."""
    alone = replay(patched, [(number, scenario)], reference.language, programs, reference.alone)
    if alone.undecided or _agrees(reference, number, alone):
        reason = alone.undecided or "the inputs together did not end in their time"
        return Comparison(None, len(reference.inputs), reason)
    return _differs(reference, number, scenario, alone)


def _differs(reference: Reference, number: int, scenario: Scenario, seen: Answers) -> Comparison:
    assert reference.answers is not None
    answers = seen.by_input.get(number)
    if isinstance(answers, list):
        got = _outcome(listed(answers), reference.language)
    else:
        got = f"no answer ({seen.reason or 'none was given'})"
    wanted = _outcome(reference.answers[number], reference.language)
    witness = f"{source(scenario, reference.language)}: the patch gives {got}, the reference {wanted}"
    return Comparison(False, len(reference.inputs), "it differs from the reference on an input", witness)


def _outcome(answers: Json, language: str) -> str:
    """The last answers, as text; constructors and other silent steps left out."""
    if answers == [{"timeout": 1}]:
        return "nothing within its time"
    if {"large": 1} in listed(answers):
        return "more than can be told"
    told = [shown(answer, language) for answer in listed(answers) if answer not in (None, {"n": [[], ""]})]
    return shortened(", ".join(told) or "nothing", 200)
