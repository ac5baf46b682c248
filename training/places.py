"""Where a recipe's base and start adapter lie: what it names, or the embedded model.

Must not import torch: the command line asks here too.
"""

from __future__ import annotations

from pathlib import Path

from repair.errors import ModelError
from training.config import Recipe

EMBEDDED = "emend-embedded"  # what adapters of the embedded base call it, for its directory is in a cache
SHIPPED = "embedded"  # what recipes and commands call the shipped adapter


def base_directory(recipe: Recipe) -> str:
    """The directory or hub id of the base; the embedded model where the recipe names none.

    Raises ModelError for what can be no hub id and is no directory.
    """
    if named := recipe.run.base:
        path = Path(named).expanduser()
        if path.is_dir():
            return str(path)
        if path.exists() or named.startswith((".", "/", "~")) or named.count("/") > 1:
            raise ModelError(f"{path} is not a directory: give a checkpoint directory or a hub id like org/name")
        return named
    from repair.embedded.expander import embedded_directory

    return str(embedded_directory())


def start_adapter(recipe: Recipe) -> Path | None:
    """The adapter that the run goes on from. Raises ModelError when there is none."""
    return adapter_directory(recipe.run.adapter) if recipe.run.adapter else None


def adapter_directory(adapter: str) -> Path:
    """The directory of an adapter, "embedded" is the shipped one. Raises ModelError when none is shipped."""
    if adapter != SHIPPED:
        return Path(adapter).expanduser()
    from repair.embedded.expander import embedded_adapter

    found = embedded_adapter()
    if found is None:
        raise ModelError("this build of Emend ships no adapter: leave run.adapter empty")
    return found
