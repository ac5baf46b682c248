"""Whether a patch is plausible and correct, decided by the evaluator itself: the repair's own oracle is not asked.

Held-out tests decide; without them the reference's syntax tree, else its answers to inputs made from the tests' own.
Tests and reference are run here in programs of the evaluator's own, so that an oracle that always
passes, or a patch that fooled it, gains nothing. Never used by the repair.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from eval.differential import Reference, compare, learn
from eval.measurement import Decided
from eval.suites.rows import LANGUAGES, Case
from repair.edits import Patch
from repair.languages import tree_key
from repair.oracles.programs import Programs
from repair.oracles.scripts import SCRIPT_LIMITS, run_script
from repair.sandbox import Limits
from repair.sources import Source

CHECK_RUNS = 3


@dataclass(frozen=True, slots=True)
class Decision:
    """`plausible`: passes the tests. `correct` None: nothing can decide. `witness`: an input that tells it apart."""

    plausible: bool
    correct: bool | None = None
    by: Decided = Decided.NOTHING
    witness: str = ""


def source_of(case: Case, code: str) -> Source:
    """The program as a file."""
    return Source(LANGUAGES[case.language], code, case.language)


def patched_code(case: Case, patch: Patch) -> str:
    """The program with the patch."""
    source = source_of(case, case.buggy_code)
    return patch.apply({source.path: source.text})[source.path]


def unfit(case: Case, programs: Programs, limits: Limits = SCRIPT_LIMITS, *, runs: int = CHECK_RUNS) -> str:
    """Why the case measures nothing, "" when it is sound: in `runs` runs the reference passes and the fault fails."""
    for run in range(runs):
        flaky = " in some runs only" if run else ""  # an earlier run ended as it should
        if case.fixed_code is not None:
            for tests, name in ((case.tests, "tests"), (case.held_out_tests, "held_out_tests")):
                if tests is not None:
                    seen = run_script(programs, case.language, case.fixed_code, tests, limits)
                    if not seen.passed:
                        return f"the reference does not pass its {name}{flaky}: {seen.reason}"
        if run_script(programs, case.language, case.buggy_code, case.tests, limits).passed:
            return f"the buggy code passes the tests{flaky}"
    return ""


@dataclass(slots=True)
class Judge:
    """Decides patches of one case; what has the same syntax tree is decided once."""

    case: Case
    programs: Programs
    limits: Limits = SCRIPT_LIMITS
    _reference: Reference | None = None
    _known: dict[str, Decision] = field(default_factory=dict[str, Decision])

    def decide(self, patch: Patch) -> Decision:
        """Raises SandboxError, OracleError."""
        code = patched_code(self.case, patch)
        key = str(tree_key(source_of(self.case, code)))
        if key not in self._known:
            self._known[key] = self._decide(code)
        return self._known[key]

    def _decide(self, code: str) -> Decision:
        case = self.case
        if not run_script(self.programs, case.language, code, case.tests, self.limits).passed:
            return Decision(False, False)
        if case.held_out_tests is not None:
            passed = run_script(self.programs, case.language, code, case.held_out_tests, self.limits).passed
            return Decision(True, passed, Decided.HELD_OUT)
        if case.fixed_code is None:
            return Decision(True)
        if tree_key(source_of(case, code)) == tree_key(source_of(case, case.fixed_code)):
            return Decision(True, True, Decided.TREE)
        return self._compared(code)

    def _compared(self, code: str) -> Decision:
        """By generated inputs: they tell a wrong patch from the reference, or speak for it, or nothing follows."""
        if self._reference is None:
            self._reference = learn(self.case, self.programs)
        found = compare(self._reference, code, self.programs)
        by = Decided.NOTHING if found.agrees is None else Decided.DIFFERENTIAL
        return Decision(True, found.agrees, by, found.witness)
