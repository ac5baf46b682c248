"""Static files: read once, named with a version, compressed once. Knows nothing of pages.

A URL that carries the version of its content may be kept for ever; any other is checked by its ETag (RFC 9110).
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request
from fastapi.responses import Response

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_FOR_EVER = "public, max-age=31536000, immutable"
_CHECKED = "public, max-age=0, must-revalidate"


@dataclass(frozen=True, slots=True)
class _Asset:
    content: bytes
    compressed: bytes
    media_type: str
    version: str


@dataclass(frozen=True, slots=True)
class Assets:
    """Files by name. There are no folders, so a request cannot leave them."""

    files: Mapping[str, _Asset]

    @classmethod
    def read(cls, *folders: Path) -> Assets:
        """All files of some folders whose type is known. Raises OSError."""
        paths = sorted(path for folder in folders for path in folder.iterdir() if path.suffix in _TYPES)
        return cls({path.name: _asset(path) for path in paths})

    def url(self, name: str) -> str:
        """The address of a file, which changes with its content. Raises KeyError for one that is not there."""
        return f"/static/{name}?v={self.files[name].version}"

    def answer(self, request: Request, name: str) -> Response:
        """A file, compressed where the client takes it; 304 where the client has it."""
        asset = self.files.get(name)
        if asset is None:
            return Response("there is no such file\n", 404, media_type="text/plain")
        packed = "gzip" in request.headers.get("accept-encoding", "")
        etag = f'"{asset.version}{"-gzip" if packed else ""}"'
        headers = {
            "ETag": etag,
            "Cache-Control": _FOR_EVER if request.query_params.get("v") == asset.version else _CHECKED,
            "Vary": "Accept-Encoding",
        }
        if etag in _listed(request.headers.get("if-none-match", "")):
            return Response(status_code=304, headers=headers)
        if packed:
            headers["Content-Encoding"] = "gzip"
        return Response(asset.compressed if packed else asset.content, headers=headers, media_type=asset.media_type)


def _listed(header: str) -> set[str]:
    return {tag.strip().removeprefix("W/") for tag in header.split(",")}


def _asset(path: Path) -> _Asset:
    content = path.read_bytes()
    version = hashlib.sha256(content).hexdigest()[:12]
    return _Asset(content, gzip.compress(content, mtime=0), _TYPES[path.suffix], version)
