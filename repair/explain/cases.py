"""A case: what a model was asked, where the fault is, and what it may be sorted by. Made by whoever reads the files."""

from __future__ import annotations

from dataclasses import dataclass, field

from repair.explain.values import Subject
from repair.prompts import shown_hunks
from repair.views import Hunk, View

CLEAN = "clean"


@dataclass(frozen=True, slots=True)
class Case:
    """A view with the change that repairs it; without hunks it has no fault.

    `group` is what must not lie on both sides of a split: a package, a repository, a data set.
    """

    id: str
    view: View
    hunks: tuple[Hunk, ...] = ()
    bug_class: str = ""
    group: str = ""
    origin: str = ""  # of the error text, or the data set
    operators: tuple[str, ...] = field(default=())

    @property
    def fault(self) -> int | None:
        """The line that the answer begins with: the first fault's first line. None: no fault."""
        return shown_hunks(self.view, self.hunks)[0].first if self.hunks else None

    @property
    def subject(self) -> Subject:
        """The change as what is explained."""
        return Subject(self.view, self.hunks)

    @property
    def exception(self) -> str:
        """The type of the error's text, "none" without one."""
        name = self.view.error.partition(":")[0].strip()
        if not name:
            return "none"
        return name if name.replace(".", "").isidentifier() else "other"
