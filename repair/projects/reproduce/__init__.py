"""Reproductions: where there is only an error report, a test that fails with its error, checked by running.

Candidates come from the report's own code, from the frames of its traceback and from calls with made-up arguments;
all run in the sandbox only. `attempt` says why where there is no reproduction.
"""

from __future__ import annotations

from collections.abc import Mapping

from repair.projects.reproduce.attempting import Attempt, attempt, confirmed
from repair.projects.values import Project, Reproduction
from repair.sandbox import Sandbox

__all__ = ["Attempt", "attempt", "confirm", "reproduce"]


def reproduce(project: Project, report: str, sandbox: Sandbox) -> Reproduction | None:
    """A test that fails with the error of `report` on the present code, three times of three; None without one.

    Raises SandboxError when the sandbox breaks, OracleError when no interpreter can run the project.
    """
    return attempt(project, report, sandbox).reproduction


def confirm(
    project: Project, reproduction: Reproduction, patch_files: Mapping[str, bytes], sandbox: Sandbox
) -> Reproduction:
    """The reproduction with `passes` told for the project with `patch_files` (relative path -> content) laid over it.

    Raises as `reproduce`.
    """
    return confirmed(project, reproduction, dict(patch_files), sandbox)
