"""Weights of a run that goes on, exported as int8 pieces now and then: a rented machine may be taken back at any time.

Owns the thread and that an export is whole or not there. The pieces are `training.export`'s.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from safetensors import SafetensorError

from repair.errors import InputError
from training.checkpoint import latest, read_weights
from training.config import Recipe
from training.export import export_pieces


class Exporter:
    """A thread that exports the newest checkpoint now and then, whole or not at all, while training goes on."""

    def __init__(self, stages: Sequence[Recipe], target: Path, seconds: float, tell: Callable[[str], None]) -> None:
        self._stages, self._target, self._seconds, self._tell = tuple(stages), target, seconds, tell
        self._over = threading.Event()
        self._last: Path | None = None
        self._thread = threading.Thread(target=self._run, name="export", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(self._seconds):
            self.export()

    def close(self) -> None:
        """End the thread and export what is there now."""
        self._over.set()
        self._thread.join()
        self.export()

    def export(self) -> None:
        """Export the newest checkpoint, unless it was. A checkpoint that is replaced meanwhile is left for later."""
        found = next((s for s in reversed(self._stages) if latest(s.run.out)), None)
        checkpoint = latest(found.run.out) if found else None
        if found is None or checkpoint is None or checkpoint == self._last:
            return
        target = self._target
        partial = target.with_name(f".{target.name}.part")
        try:
            shutil.rmtree(partial, ignore_errors=True)
            error = export_pieces(read_weights(checkpoint), found.model, found.run.out / "tokenizer.json", partial)
            shutil.rmtree(target, ignore_errors=True)
            partial.rename(target)
        except (InputError, OSError, SafetensorError) as failure:  # the last: a full disk
            self._tell(f"export of {checkpoint} failed: {failure}")
            return
        self._last = checkpoint
        self._tell(f"exported {checkpoint} to {target}, weight error {error:.2%}")
