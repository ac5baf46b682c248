"""What identifies a model's files: a digest by content, so that a results file cannot mix two models of one name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

_WHOLE = 64 * 1024 * 1024  # bytes; of larger files size, beginning and end stand for all
_ENDS = 1024 * 1024
_KINDS = frozenset({".json", ".safetensors", ".bin", ".model", ".txt", ".jinja", ".gguf", ".npz"})
_BESIDE = frozenset({"gate.json"})  # what was decided on the weights is no part of them


def weights_digest(model: str | None, adapter: str | None) -> str:
    """12 hex digits over the files of a model (None: the shipped one) and its adapter; "" where there are none here.

    A hub id that is no directory and a server's address have no files to look at: their name must do.
    """
    places = [*_model_places(model), *([Path(adapter)] if adapter else [])]
    found = [place for place in places if place.is_dir()]
    if not found:
        return ""
    digest = hashlib.sha256()
    for place in found:
        for path in sorted(p for p in place.iterdir() if _counts(p)):
            digest.update(path.name.encode())
            for part in _parts(path):
                digest.update(part)
    return digest.hexdigest()[:12]


def _counts(path: Path) -> bool:
    return path.is_file() and path.suffix in _KINDS and path.name not in _BESIDE


def _model_places(model: str | None) -> Iterator[Path]:
    if model is None:
        from repair.embedded.expander import embedded_adapter, embedded_directory

        yield embedded_directory()
        own = embedded_adapter()
        if own is not None:
            yield own
    elif model != "none" and "://" not in model:
        yield Path(model)


def _parts(path: Path) -> Iterator[bytes]:
    size = path.stat().st_size
    with path.open("rb") as stream:
        if size <= _WHOLE:
            yield stream.read()
            return
        yield str(size).encode()
        yield stream.read(_ENDS)
        stream.seek(-_ENDS, 2)
        yield stream.read(_ENDS)
