"""From what the user says to a Model: nothing, "none", a directory, a hub id or a server's address.

The only place that knows all implementations; each is imported when it is chosen.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from repair.errors import ModelError
from repair.models.memory import bound_kernels

if TYPE_CHECKING:
    from repair.model import Model

NONE = "none"


def load_model(
    spec: str | None = None,
    *,
    adapter: str | None = None,
    device: str | None = None,
    threads: int | None = None,
) -> Model | None:
    """The model that `spec` names.

    None: the embedded one with its own adapter (or `adapter`). "none": no model, None is returned. A directory or
    hub id: local weights. `http(s)://host:port/v1#model-name`: an OpenAI-compatible server, asked with the key in
    EMEND_API_KEY (without a name: the first model that the server lists).
    Raises ModelError when it cannot be loaded, with what to do.
    """
    if spec == NONE:
        return None
    if spec is not None and spec.startswith(("http://", "https://")):
        if adapter is not None:
            raise ModelError("a model server cannot be given an adapter: load the adapter where the server runs")
        from repair.models.chat import connect

        return connect(spec)
    bound_kernels()
    from repair.models.local import load_local

    if spec is not None:
        return load_local(spec, adapter=adapter, device=device, threads=threads)
    directory, own = _embedded()
    return load_local(directory, adapter=adapter or own, device=device, threads=threads)


def _embedded() -> tuple[Path, Path | None]:
    """Directories of the shipped weights and of their adapter."""
    from repair.embedded.expander import embedded_adapter, embedded_directory

    return embedded_directory(), embedded_adapter()
