"""Steps that play a script instead of touching repositories: for tests of the run, and for measuring it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from repair.errors import ModelError, SandboxError
from repair.projects.values import (
    Combination,
    Diagnosis,
    Fault,
    Fix,
    Order,
    Refusal,
    Reproduction,
    Spent,
    Standing,
    State,
)
from serve.batch.work import Kept, Mending, Written

_DEAD = 9  # exit code of a worker that is told to die


@dataclass(frozen=True, slots=True)
class Script:
    """How a repository behaves. `seconds` of each step; `spent` is told of each step; a fix `needs` so many test runs.

    `dies`, `attacks`, `breaks`, `waits` name a step ("diagnose", "mend", "combine"): the worker ends there; the
    repository is refused as hostile; an error that nobody expects is raised; the step waits until it is cancelled.
    """

    faults: int = 1
    unfixed: tuple[int, ...] = ()
    seconds: float = 0.0
    spent: Spent = field(default_factory=Spent)
    refused: Standing | None = None
    dies: str = ""
    attacks: str = ""
    breaks: str = ""
    waits: str = ""
    needs: int = 0
    tested: bool = True  # its faults have tests


@dataclass(frozen=True, slots=True)
class ScriptedSteps:
    """Steps by a script for each repository's name; `log` gets a line for each step that begins and that ends."""

    scripts: Mapping[str, Script] = field(default_factory=dict[str, Script])
    log: Path | None = None
    no_model: str = ""  # a sentence: `prepare` raises it

    def prepare(self) -> None:
        """As Steps."""
        if self.no_model:
            raise ModelError(self.no_model)

    def diagnose(self, order: Order) -> tuple[Diagnosis, Kept]:
        """As Steps."""
        script = self._begin(order, "diagnose")
        if script.refused is not None:
            raise Refusal(script.refused, f"{order.name} is {script.refused.value}, as the script says")
        faults = tuple(
            Fault(f"f{n}", f"fault {n} of {order.name}", (f"tests/test_{n}.py::test",) if script.tested else (), ())
            for n in range(script.faults)
        )
        failing = tuple(test for fault in faults for test in fault.tests)
        diagnosis = Diagnosis(
            "0" * 40, "main", "python", "pytest", "pytest", "scripted", 10, 10 - len(failing), failing, (), faults,
            spent=script.spent,
        )  # fmt: skip
        self._end(order, "diagnose")
        return diagnosis, Kept(diagnosis.commit)

    def mend(self, mending: Mending, kept: Kept, cancelled: Callable[[], bool]) -> tuple[Fix, Kept]:
        """As Steps."""
        order, fault, bounds = mending.order, mending.fault, mending.bounds
        script = self._begin(order, "mend", fault.key)
        if 0 < bounds.test_runs < script.needs:
            spent = Spent(test_runs=bounds.test_runs)
            return Fix(fault.key, State.OVER_BUDGET, f"{bounds.test_runs} test runs were not enough", spent=spent), kept
        while script.waits == "mend" and not cancelled():
            time.sleep(0.02)
        if cancelled():
            return Fix(fault.key, State.CANCELLED, spent=script.spent), kept
        self._end(order, "mend", fault.key)
        if int(fault.key[1:]) in script.unfixed:
            return Fix(fault.key, State.UNFIXED, "no candidate passes", spent=script.spent), kept
        diff = f"--- a/{fault.key}.py\n+++ b/{fault.key}.py\n@@ -1 +1 @@\n-a\n+b\n"
        fix = Fix(fault.key, State.FIXED, diff=diff, paths=(f"{fault.key}.py",), fixed=fault.tests, spent=script.spent)
        return fix, kept

    def reproduce(self, order: Order, fault: Fault, kept: Kept) -> tuple[Written, Kept]:
        """As Steps."""
        self._begin(order, "reproduce", fault.key)
        path = "tests/test_report.py"
        return Written(Reproduction(path, "def test(): ...\n", f"{path}::test", order.report)), kept

    def combine(self, order: Order, fixes: Sequence[Fix], kept: Kept) -> tuple[Combination, Kept]:
        """As Steps."""
        script = self._begin(order, "combine")
        self._end(order, "combine")
        diff = "".join(fix.diff for fix in fixes)
        return Combination(tuple(fix.fault for fix in fixes), diff=diff, passed=True, spent=script.spent), kept

    def _begin(self, order: Order, step: str, key: str = "") -> Script:
        self._say("begin", order, step, key)
        script = self.scripts.get(order.name, Script())
        if script.dies == step:
            os._exit(_DEAD)
        if script.attacks == step:
            raise Refusal(Standing.HOSTILE, f"the tests of {order.name} attack what runs them")
        if script.breaks == step:
            raise SandboxError("the sandbox broke, as the script says")
        time.sleep(script.seconds)
        return script

    def _end(self, order: Order, step: str, key: str = "") -> None:
        self._say("end", order, step, key)

    def _say(self, what: str, order: Order, step: str, key: str) -> None:
        if self.log is None:
            return
        with self.log.open("a", encoding="utf-8") as log:  # a line is one write: processes do not mix them
            log.write(f"{what} {order.name} {step} {key}".rstrip() + "\n")
