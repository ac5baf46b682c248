"""A sandbox that runs nothing: it plays back given executions and remembers what it was asked.

Owns no policy. For tests of whoever judges candidates, without any process; never offered by `select`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Generator, Iterable, Mapping

from repair.errors import SandboxError
from repair.sandbox import Command, Execution, Limits, Tier


class RecordedSandbox:
    """Gives `executions` in order; `commands` are what was asked, a zygote's runs among them."""

    tier = Tier.B

    def __init__(self, executions: Iterable[Execution]) -> None:
        self._left = list(executions)
        self._lock = threading.Lock()
        self.commands: list[Command] = []

    def run(self, command: Command) -> Execution:
        """The next execution. Raises SandboxError when there is none left."""
        with self._lock:
            self.commands.append(command)
            if not self._left:
                raise SandboxError(f"the script has ended before {command.argv}")
            return self._left.pop(0)

    @contextlib.contextmanager
    def zygote(self, command: Command, *, preload: tuple[str, ...] = ()) -> Generator[RecordedZygote, None, None]:
        """A zygote that draws from the same script."""
        yield RecordedZygote(self, command, preload)


class RecordedZygote:
    """See `RecordedSandbox.zygote`."""

    def __init__(self, sandbox: RecordedSandbox, command: Command, preload: tuple[str, ...]) -> None:
        self._sandbox, self._command, self.preload = sandbox, command, preload

    def run(self, files: Mapping[str, bytes], argv: tuple[str, ...], limits: Limits) -> Execution:
        """The next execution; remembered as the command it stands for."""
        words = (self._command.argv[0], *argv)
        merged = {**self._command.files, **files}
        return self._sandbox.run(dataclasses.replace(self._command, argv=words, files=merged, limits=limits))
