"""Make the oracle that a caller asked for: tests in a sandbox, or, without tests, whether the text parses."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from repair.defects import RepairRequest
from repair.model import Model
from repair.oracle import Oracle
from repair.oracles.parses import ParsesOracle
from repair.oracles.tests import TEST_LIMITS, TestOracle
from repair.pipeline import Event, Options, SuspectsFound, repair
from repair.sandbox import Limits, Sandbox, Tier
from repair.sandboxes.select import find_sandbox


@dataclass(frozen=True, slots=True)
class Judging:
    """Where tests may run: the weakest tier, whether none at all is accepted, and the tests' interpreter."""

    minimum: str = "B"
    unsafe: bool = False
    python: Path | None = None

    def __post_init__(self) -> None:
        if self.python is not None:  # `..` would mean another file where only some directories are mounted
            object.__setattr__(self, "python", Path(os.path.abspath(self.python)))  # noqa: PTH100 - keeps venv links

    def sandbox(self) -> Sandbox:
        """The best sandbox of this machine, looked for once a process. Raises SandboxError below the minimum."""
        return _sandbox(self.minimum, self.unsafe)


@cache
def _sandbox(minimum: str, unsafe: bool) -> Sandbox:
    return find_sandbox(Tier(minimum), unsafe=unsafe)


def project_oracle(root: Path, request: RepairRequest, judging: Judging, command: str | None) -> Oracle:
    """An oracle for the project at `root`; without a command nothing is run. Raises SandboxError."""
    if command is None:
        return ParsesOracle(request.sources)
    limits = _limits(request)
    return TestOracle(root, request.sources, judging.sandbox(), command=command, python=judging.python, limits=limits)


def _limits(request: RepairRequest) -> Limits:
    """No single run of the tests may take longer than the whole repair."""
    seconds = min(TEST_LIMITS.wall_seconds, request.budget.seconds)
    return replace(TEST_LIMITS, wall_seconds=seconds, cpu_seconds=min(TEST_LIMITS.cpu_seconds, seconds))


@contextmanager
def sent_oracle(
    request: RepairRequest, judging: Judging, command: str | None, tests: Mapping[str, bytes]
) -> Generator[Oracle]:
    """An oracle for files that came with a request; they lie on disk only while a sandbox needs them."""
    if command is None and not tests:
        yield ParsesOracle(request.sources)
        return
    sandbox = judging.sandbox()
    with tempfile.TemporaryDirectory(prefix="emend-") as directory:
        root, limits = Path(directory), _limits(request)
        yield TestOracle(
            root, request.sources, sandbox, command=command, tests=tests, python=judging.python, limits=limits
        )


def locate(request: RepairRequest, model: Model | None, oracle: Oracle) -> SuspectsFound:
    """What a repair says first. Raises as `repair` does."""
    with closing(events_of(request, model, oracle)) as events:
        for event in events:
            if isinstance(event, SuspectsFound):
                return event
    return SuspectsFound((), None)


def events_of(
    request: RepairRequest, model: Model | None, oracle: Oracle, *, options: Options | None = None
) -> Generator[Event]:
    """`repair` as something that can be closed early."""
    yield from repair(request, model, oracle, options=options)
