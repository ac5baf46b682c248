"""The steps of `emend improve` as an interface: what is asked of them, and rehearsed ones for tests.

Must not know their order nor which are done already (`improve`), nor how they are taken (`improve_real`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from eval.improvement import Built, Plan, Row, Tuned, labelled
from eval.measurement import Measurement

DIAGNOSED, BEFORE, AFTER = "diagnosed", "before", "after"  # names of runs and of their results files


@dataclass(frozen=True, slots=True)
class Asked:
    """The command's arguments, as they were typed."""

    suites: tuple[Path, ...]
    code: tuple[Path, ...]
    out: Path
    held_out: Path | None = None
    licence: str = ""
    model: str | None = None
    adapter: Path | None = None
    minutes: float = 60.0
    candidates: int = 60
    seconds: float = 8.0
    pairs: int = 500
    force: bool = False
    jobs: int = 2
    overrides: tuple[str, ...] = ()
    as_json: bool = False
    sandbox_minimum: str = "B"
    unsafe_no_sandbox: bool = False


Runs = Mapping[str, Path | None]
"""Names of runs with the adapter that they use; None: the one that the loop began with."""


class Steps(Protocol):
    """What the loop is made of."""

    def evaluate(self, rows: Sequence[Row], runs: Runs) -> dict[str, list[Measurement]]:
        """Measure each row in all runs, one right after the other: a busy machine must not look like a worse model.

        `labelled`, by the name of the run; finished rows are known by OUT/NAME.jsonl.
        """
        ...

    def build(self, plan: Plan) -> Built:
        """Inject faults and draw the mixture that the plan calls for. Raises InputError: there is nothing to draw."""
        ...

    def train(self, minutes: float, programs: Sequence[Row]) -> Tuned:
        """Train for so long at most, and ask the gate, which also repairs `programs`. 0 minutes: the gate alone."""
        ...


@dataclass(slots=True)
class RehearsedSteps:
    """A fake: answers as it was told, and keeps what it was asked."""

    before: Mapping[str, Measurement]  # by the row's name
    after: Mapping[str, Measurement]
    built: Built
    tuned: Tuned
    asked: list[str] = field(default_factory=list[str])

    def evaluate(self, rows: Sequence[Row], runs: Runs) -> dict[str, list[Measurement]]:
        """The measurements of the rows."""
        self.asked.append(f"evaluate {' '.join(runs)} {len(rows)}")
        known = {name: self.after if adapter else self.before for name, adapter in runs.items()}
        return {name: [labelled(row, those[row.name]) for row in rows] for name, those in known.items()}

    def build(self, plan: Plan) -> Built:
        """What it was told."""
        self.asked.append(f"build {max(plan.shares, key=lambda c: plan.shares[c])}")
        return self.built

    def train(self, minutes: float, programs: Sequence[Row]) -> Tuned:
        """What it was told."""
        self.asked.append(f"train {len(programs)} {minutes > 0}")
        Path(self.tuned.candidate).mkdir(parents=True, exist_ok=True)
        return self.tuned
