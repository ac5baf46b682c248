"""Tier E: limits and an orderly end, and no isolation. For code one would run by hand as well.

Owns nothing but the name: the program can read, write, connect and signal whatever we can.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from repair.sandbox import Command, Execution, Tier, Zygote
from repair.sandboxes.cgroups import find_home
from repair.sandboxes.running import execute
from repair.sandboxes.supervised import SupervisedJail
from repair.sandboxes.zygote import open_zygote


class LimitsSandbox:
    """A Sandbox of tier E: wall clock, CPU, memory, processes, disk and output are bounded, nothing is hidden.

    As root without a place for cgroups the number of processes is only watched: a fork bomb may outrun the watchdog.
    """

    tier = Tier.E

    def __init__(self) -> None:
        self._jail = SupervisedJail(find_home())

    def run(self, command: Command) -> Execution:
        """See `repair.sandbox.Sandbox.run`."""
        return execute(self._jail, command)

    def zygote(self, command: Command, *, preload: tuple[str, ...] = ()) -> AbstractContextManager[Zygote]:
        """See `repair.sandboxes.zygote`."""
        return open_zygote(self._jail, command, preload)
