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
from repair.projects.values import (
    Combination,
    Diagnosis,
    Fault,
    Fix,
    Groundwork,
    Order,
    Project,
    Refusal,
    Reproduction,
    Spent,
    Standing,
)
from serve.batch.models import ModelSource
from serve.batch.work import Kept, Mending
from serve.oracles import Judging

if TYPE_CHECKING:
    from repair.executors import Shelf

# what says that no test fails; alerts are worked on all the same
_NO_FAILURE = frozenset({Standing.HEALTHY, Standing.FLAKY, Standing.NO_TESTS})


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

        sandbox = self.judging.sandbox()
        try:
            diagnosis, groundwork = diagnose(project, sandbox, self.model.get())
        except Refusal as refusal:
            if not project.order.alerts or refusal.standing not in _NO_FAILURE:
                raise
            diagnosis, groundwork = _without_failures(project, refusal), Groundwork(frozenset(), frozenset())
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

    def reproduce(self, order: Order, fault: Fault, kept: Kept) -> tuple[Reproduction | None, Kept]:
        """As Steps."""
        from repair.projects.reproduce import reproduce

        with self._project(order, kept) as project:
            return reproduce(project, _report_of(fault) or order.report, self.judging.sandbox()), kept

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


def _without_failures(project: Project, refusal: Refusal) -> Diagnosis:
    return Diagnosis(
        project.commit, project.branch, project.language, project.command, project.runner, project.environment,
        0, 0, (), (), (), (*project.notes, refusal.reason),
    )  # fmt: skip


def _report_of(fault: Fault) -> str:
    """The text of what a fault without tests is known by, in the form of Python's own reports."""
    return "\n\n".join(text for one in fault.evidence if (text := _evidence_text(one)))


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
