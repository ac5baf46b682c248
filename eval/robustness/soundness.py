"""Whether an attacked case still measures something: one quick run, before any question is spent on it.

What is measured for good is checked again and thrice by `eval.measure`. Owns the limits of the quick run.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from eval.suites.rows import Case
from repair.oracles.programs import Programs
from repair.oracles.scripts import SCRIPT_LIMITS, run_script

_AT_LEAST = 1.0  # seconds that a faulty program gets before it counts as hanging
_TIMES = 5  # ... or so many times what the reference took


@dataclass(slots=True)
class Soundness:
    """Runs cases of one language; what was run already is remembered. Raises SandboxError, OracleError."""

    programs: Programs
    _known: dict[tuple[str, str | None], str | None] = field(default_factory=dict[tuple[str, str | None], str | None])

    def __call__(self, case: Case) -> bool:
        """Whether the reference passes all tests and the faulty code does not, in one run of each."""
        return self.failure(case) is not None

    def failure(self, case: Case) -> str | None:
        """How the faulty code fails (`Observation.reason`) in one run; None where the case is not sound."""
        key = (case.buggy_code, case.fixed_code)
        if key not in self._known:
            self._known[key] = self._run(case)
        return self._known[key]

    def _run(self, case: Case) -> str | None:
        seconds = 0.0
        if case.fixed_code is not None:
            for tests in (case.tests, case.held_out_tests):
                if tests is None:
                    continue
                seen = run_script(self.programs, case.language, case.fixed_code, tests)
                seconds = max(seconds, seen.seconds)
                if not seen.passed:
                    return None
        least = min(SCRIPT_LIMITS.cpu_seconds, max(_AT_LEAST, _TIMES * seconds))
        limits = SCRIPT_LIMITS
        if case.fixed_code is not None:
            limits = replace(SCRIPT_LIMITS, wall_seconds=2 * least, cpu_seconds=least)
        seen = run_script(self.programs, case.language, case.buggy_code, case.tests, limits)
        return None if seen.passed else seen.reason
