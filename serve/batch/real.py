"""The steps on real repositories: opens the project, finds sandbox and model in the worker, calls `repair.projects`.

Owns what travels between workers: the groundwork and the packed tree lie on the executor's shelf, and are made again
where they are gone.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from repair.defects import Diagnostic, FailingTest, Report, Traceback
from repair.errors import InputError, OracleError
from repair.projects.values import (
    Combination,
    Diagnosis,
    Fault,
    Fix,
    Groundwork,
    Order,
    Project,
    Refusal,
    Spent,
    Standing,
)
from serve.batch.models import ModelSource
from serve.batch.work import Kept, Mending, Written
from serve.oracles import Judging

if TYPE_CHECKING:
    from repair.executors import Shelf


@dataclass(frozen=True, slots=True)
class RealSteps:
    """Steps (see `work.Steps`). `cache` holds what repositories share: environments, clones."""

    cache: Path
    shelf: Shelf
    model: ModelSource
    judging: Judging

    def prepare(self) -> None:
        """As Steps."""
        self.judging.sandbox()
        self.model.get()

    def diagnose(self, order: Order) -> tuple[Diagnosis, Kept]:
        """As Steps."""
        with self._project(order, Kept()) as project:
            return self._diagnosed(project)

    def _diagnosed(self, project: Project) -> tuple[Diagnosis, Kept]:
        from repair.projects.diagnosis import diagnose
        from repair.projects.trees import pack_tree

        diagnosis, groundwork = diagnose(project, self.judging.sandbox(), self.model.get())
        if project.order.alerts:
            from serve.batch.alerts import alert_faults

            faults, notes = alert_faults(project.order.alerts, project.root)
            diagnosis = replace(
                diagnosis, faults=(*diagnosis.faults, *faults), notes=(*diagnosis.notes, *notes)
            )  # fmt: skip
        if not diagnosis.faults:
            return diagnosis, Kept(diagnosis.commit)
        ticket = self.shelf.put(pickle.dumps(groundwork, pickle.HIGHEST_PROTOCOL))
        return diagnosis, Kept(diagnosis.commit, ticket, self.shelf.put(pack_tree(project.root)))

    def reproduce(self, order: Order, fault: Fault, kept: Kept) -> tuple[Written, Kept]:
        """As Steps."""
        from repair.projects.reproduce import attempt

        report = _report_of(fault, order)
        if not report:  # an alert, or what a compiler says
            return Written(), kept
        with self._project(order, kept) as project:
            try:
                found = attempt(project, report, self.judging.sandbox())
            except (InputError, OracleError) as error:
                return Written(None, f"no test could be written for it: {error}"), kept
        reason = "" if found.reproduction else f"no test could be written for it: {found.reason}"
        return Written(found.reproduction, reason), kept

    def mend(self, mending: Mending, kept: Kept, cancelled: Callable[[], bool]) -> tuple[Fix, Kept]:
        """As Steps."""
        from repair.projects.mend import mend

        with self._project(mending.order, kept) as project:
            groundwork, kept, again = self._groundwork(project, kept)
            fix = mend(
                project, mending.fault, groundwork, self.model.get(), self.judging.sandbox(), mending.bounds,
                cancelled=cancelled, reproduction=mending.reproduction,
            )  # fmt: skip
            return replace(fix, spent=fix.spent + again), kept

    def combine(self, order: Order, fixes: Sequence[Fix], kept: Kept) -> tuple[Combination, Kept]:
        """As Steps."""
        from repair.projects.combine import combine

        with self._project(order, kept) as project:
            groundwork, kept, again = self._groundwork(project, kept)
            combination = combine(project, fixes, groundwork, self.judging.sandbox())
            return replace(combination, spent=combination.spent + again), kept

    @contextmanager
    def _project(self, order: Order, kept: Kept) -> Generator[Project]:
        from repair.projects.intake import open_project

        tree = self.shelf.get(kept.tree) if kept.tree else None
        with open_project(
            order, cache=self.cache, sandbox=self.judging.sandbox(), commit=kept.commit, tree=tree
        ) as project:  # fmt: skip
            yield project

    def _groundwork(self, project: Project, kept: Kept) -> tuple[Groundwork, Kept, Spent]:
        """What the diagnosis knew; where it is gone, the repository is diagnosed again, and what that cost."""
        content, spent = self.shelf.get(kept.groundwork) if kept.groundwork else None, Spent()
        if content is None:
            diagnosis, kept = self._diagnosed(project)
            content, spent = self.shelf.get(kept.groundwork) if kept.groundwork else None, diagnosis.spent
        if content is None:
            raise Refusal(Standing.FLAKY, "a second diagnosis of the same commit found no fault any more")
        return cast("Groundwork", pickle.loads(content)), kept, spent


def _report_of(fault: Fault, order: Order) -> str:
    """The text that a fault without tests is known by, "" for one that no test can be written for.

    The whole report where it speaks of nothing else: around a traceback stands how to get it.
    """
    from repair.traces import parse_error

    told = "\n\n".join(text for one in fault.evidence if (text := _evidence_text(one)))
    alone = all(one in fault.evidence for one in parse_error(order.report).evidence)
    return order.report if told and alone else told


def _evidence_text(evidence: FailingTest | Traceback | Diagnostic | Report) -> str:
    match evidence:
        case Report(text):
            return text
        case Traceback(error_type, message, frames):
            lines = [f'  File "{f.path}", line {f.line}, in {f.function or "<module>"}' for f in frames]
            return "\n".join(["Traceback (most recent call last):", *lines, f"{error_type}: {message}".rstrip(": ")])
        case FailingTest(_, message, trace, _):
            return _evidence_text(trace) if trace else message
        case Diagnostic():
            return ""
