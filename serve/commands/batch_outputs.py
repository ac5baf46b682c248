"""What a run writes at its end: the files of its folder, and on demand branches and pull requests."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Self

from repair.errors import InputError
from repair.git import clone_of, is_address
from repair.projects.values import Outcome
from serve.batch.branches import Branch, write_branches
from serve.batch.outputs import write_outputs
from serve.batch.report import RunInfo
from serve.printing import shown, stderr


def cache_of(out: Path) -> Path:
    """What the repositories of a run share: environments, clones."""
    return out.resolve() / "cache"


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where and what to write."""

    out: Path
    info: RunInfo
    branches: bool = False
    with_tests: bool = False
    open_pr: bool = False

    @classmethod
    def of(cls, out: Path, model: str, settings: tuple[tuple[str, str], ...]) -> Self:
        """For a run that begins now."""
        try:
            mine = version("emend")
        except PackageNotFoundError:
            mine = "unknown"
        return cls(out, RunInfo(mine, model, settings, started=time.strftime("%Y-%m-%d %H:%M")))

    def write(self, outcomes: Sequence[Outcome]) -> None:
        """Write all that was asked for. Raises InputError: the folder cannot be written."""
        branches = {one.name: self._branched(one) for one in outcomes} if self.branches else {}
        write_outputs(self.out, outcomes, run=self.info, git_dirs=self._clones(outcomes), branches=branches)
        scripts = sorted((self.out / "pull-requests").glob("*/*.sh")) if self.open_pr else ()
        for script in scripts:
            stderr().print(shown(f"open the pull request with: sh {script}"), soft_wrap=True, markup=False)

    def _clones(self, outcomes: Sequence[Outcome]) -> dict[str, Path]:
        """Where the histories of addresses lie, as far as they were cloned on this machine."""
        from repair.projects.intake import clones_of

        folder = clones_of(cache_of(self.out))
        found = {one.name: clone_of(one.place, folder) for one in outcomes if is_address(one.place)}
        return {name: path for name, path in found.items() if path.is_dir()}

    def _branched(self, outcome: Outcome) -> tuple[Branch, ...]:
        """The branches in a repository on this machine; of others, and where it fails, a remark."""
        place = Path(outcome.place)
        if outcome.diagnosis is None or not any(fix.diff for fix in outcome.fixes):
            return ()
        remarks = stderr()
        if not place.is_dir():
            remarks.print(
                shown(f"{outcome.name}: no branch, as it is not on this machine; its patches are in {self.out}"),
                soft_wrap=True,
                markup=False,
            )
            return ()
        try:
            branches = write_branches(place, outcome, self.info, with_tests=self.with_tests)
        except InputError as error:
            remarks.print(shown(f"{outcome.name}: no branch: {error}"), soft_wrap=True, markup=False)
            return ()
        for branch in branches:
            told = f"branch {branch.name}" if branch.commit else f"no branch {branch.name}: {branch.reason}"
            remarks.print(shown(f"{outcome.name}: {told}"), soft_wrap=True, markup=False)
        return branches
