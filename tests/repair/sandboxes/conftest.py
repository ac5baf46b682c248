"""A sandbox of every tier that this machine offers, and an oracle for survivors: the host's own /proc."""

import contextlib
import functools
import os
import secrets
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from repair.errors import SandboxError
from repair.sandbox import MIB, Command, Execution, Limits, Sandbox, Tier
from repair.sandboxes.bubblewrap import BubblewrapSandbox
from repair.sandboxes.cgroups import find_home
from repair.sandboxes.landlock import LandlockSandbox
from repair.sandboxes.limits import LimitsSandbox
from repair.sandboxes.readable import interpreter_paths, readable_by_others

SYSTEM_PYTHON = Path("/usr/bin/python3")


@dataclass(frozen=True)
class Trial:
    """A sandbox, an interpreter that it can run, and a token that all processes of this test carry."""

    sandbox: Sandbox
    python: Path
    token: str = field(default_factory=lambda: f"emend-test-{secrets.token_hex(8)}")

    def command(self, code: str, *words: str, **rest) -> Command:
        limits = rest.pop("limits", Limits(wall_seconds=90, cpu_seconds=60, memory_bytes=512 * MIB, processes=64))
        argv = (str(self.python), "-c", code, self.token, *words)
        return Command(argv, readable=interpreter_paths(self.python), limits=limits, **rest)

    def run(self, code: str, *words: str, **rest) -> Execution:
        return self.sandbox.run(self.command(code, *words, **rest))

    def survivors(self) -> list[int]:
        """Host pids of processes that carry the token; the kernel needs a moment to take the dead away."""
        until = time.monotonic() + 60
        while (found := list(_carriers(self.token))) and time.monotonic() < until:
            time.sleep(0.02)
        return found


def _carriers(token: str):
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            with contextlib.suppress(OSError):
                if token.encode() in (process / "cmdline").read_bytes():
                    yield int(process.name)


@functools.cache
def offered(tier: Tier) -> Trial | str:
    """A trial of the tier, or the reason why this machine does not offer it: a plain program must run in it."""
    python = Path(sys.executable)
    try:
        if tier is Tier.A:
            home = find_home()
            if home is None:
                return "no cgroup may be made here"
            sandbox: Sandbox = BubblewrapSandbox(home)
        else:
            sandbox = {Tier.B: BubblewrapSandbox, Tier.C: LandlockSandbox, Tier.E: LimitsSandbox}[tier]()
        if tier is Tier.C and not readable_by_others(python):
            python = SYSTEM_PYTHON
        done = Trial(sandbox, python).run("print('plain')")
    except SandboxError as error:
        return str(error)
    return Trial(sandbox, python) if done.stdout == b"plain\n" else f"a plain program does not run: {done}"


def trial_of(tier: Tier) -> Trial:
    found = offered(tier)
    if isinstance(found, str):
        pytest.skip(f"this machine offers no tier {tier}: {found}")
    return Trial(found.sandbox, found.python)


@pytest.fixture(params=list(Tier), ids=lambda tier: f"tier-{tier}")
def trial(request):
    """Every tier: limits hold in all of them."""
    with cleaned(trial_of(request.param)) as made:
        yield made


@pytest.fixture(params=[Tier.A, Tier.B, Tier.C], ids=lambda tier: f"tier-{tier}")
def walled(request):
    """The tiers that isolate."""
    with cleaned(trial_of(request.param)) as made:
        yield made


@pytest.fixture(params=[Tier.A, Tier.B], ids=lambda tier: f"tier-{tier}")
def spaced(request):
    """The tiers with namespaces, where a program has a network and a file system of its own."""
    with cleaned(trial_of(request.param)) as made:
        yield made


@contextlib.contextmanager
def cleaned(made: Trial):
    try:
        yield made
    finally:
        for pid in _carriers(made.token):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
