"""Make the oracle that a caller asked for: tests in a sandbox, or, without tests, whether the text parses."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from repair.oracle import Oracle
from repair.oracles.parses import ParseOracle
from repair.oracles.tests import TestOracle
from repair.sandbox import Sandbox, Tier
from repair.sandboxes.select import find_sandbox
from repair.sources import Source


@dataclass(frozen=True, slots=True)
class Judging:
    """Where tests may run: the weakest tier, whether none at all is accepted, and the tests' interpreter."""

    minimum: str = "B"
    unsafe: bool = False
    python: Path | None = None

    def sandbox(self) -> Sandbox:
        """The best sandbox of this machine, looked for once a process. Raises SandboxError below the minimum."""
        return _sandbox(self.minimum, self.unsafe)


@cache
def _sandbox(minimum: str, unsafe: bool) -> Sandbox:
    return find_sandbox(Tier(minimum), unsafe=unsafe)


def open_oracle(
    root: Path,
    sources: tuple[Source, ...],
    judging: Judging,
    *,
    command: str | None = None,
    test_files: tuple[str, ...] = (),
) -> Oracle:
    """An oracle for the project at `root`. `test_files` are paths below it. Raises SandboxError, OracleError."""
    if command is None and not test_files:
        return ParseOracle(sources)
    return TestOracle(
        root, sources, judging.sandbox(), command=command, test_files=test_files, python=judging.python
    )
