"""ScriptedExplainer: answers what it was told to, for tests and for working on the pages. Starts no process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from serve.explaining.computing import Answer


@dataclass(slots=True)
class ScriptedExplainer:
    """Answers by `script`, once `go` is set (None: at once); `asked` has the bodies, `left` counts who gave up."""

    script: Callable[[str], Answer]
    go: asyncio.Event | None = None
    asked: list[str] = field(default_factory=list[str])
    left: int = 0

    async def explain(self, body: str, seconds: float) -> Answer:  # noqa: ARG002 - the signature is the Protocol's
        """As `serve.explaining.host.Explainer.explain`."""
        self.asked.append(body)
        try:
            if self.go is not None:
                await self.go.wait()
        except asyncio.CancelledError:
            self.left += 1
            raise
        return self.script(body)
