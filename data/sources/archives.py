"""Wheels and sdists as values: name, version, licence, and the texts inside, read without unpacking or executing.

Owns the formats and the guard against archives that grow without end. Must not know functions or records.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from pathlib import Path

from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from data.licences import Decision, package_licence
from data.sources.packages import MEASURED_PROJECTS, normalised
from repair.errors import InputError

ENDINGS = (".whl", ".tar.gz", ".zip")
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """Bytes of one file that is read and of everything that an archive unpacks to; how many entries it may have."""

    file: int = 1_000_000
    whole: int = 500_000_000
    entries: int = 50_000


@dataclass(frozen=True, slots=True)
class Archive:
    """One release of a package, by its file's name."""

    path: Path
    name: str  # normalised
    version: Version

    @property
    def wheel(self) -> bool:
        """Whether it is a wheel (else an sdist, whose paths have a folder in front)."""
        return self.path.suffix == ".whl"


@dataclass(frozen=True, slots=True)
class Release:
    """What an archive holds: chosen files by path (without the sdist's folder and `src/`), and its licence."""

    files: dict[str, bytes]
    decision: Decision
    left_out: int = 0  # files over the limit


def read_name(path: Path) -> Archive:
    """Name and version of a wheel or sdist. Raises InputError when its file's name tells none."""
    try:
        if path.suffix == ".whl":
            name, version, *_ = parse_wheel_filename(path.name)
        else:
            name, version = parse_sdist_filename(path.name)
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion) as error:
        raise InputError(f"{path}: the name is that of no wheel or sdist ({error})", field="archives") from error
    return Archive(path, normalised(name), version)


class _Capped(io.RawIOBase):
    """A stream that fails once more than `most` bytes came out of it."""

    def __init__(self, inner: gzip.GzipFile, most: int) -> None:
        self._inner = inner
        self._left = most

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        """At most a megabyte at once, so that the limit is seen in time."""
        content = self._inner.read(min(size, 1 << 20) if size >= 0 else 1 << 20)
        self._left -= len(content)
        if self._left < 0:
            raise InputError("unpacks to more bytes than allowed", field="archives")
        return content


def _zip_members(path: Path, limits: ArchiveLimits, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        if len(infos) > limits.entries or sum(info.file_size for info in infos) > limits.whole:
            raise InputError("unpacks to more bytes or files than allowed", field="archives")
        for info in infos:
            if not info.is_dir() and wanted(info.filename):
                with archive.open(info) as stream:  # never more than the limit, whatever the entry says of its size
                    yield info.filename, stream.read(limits.file + 1)


def _tar_members(path: Path, limits: ArchiveLimits, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with gzip.open(path) as inner, tarfile.open(fileobj=_Capped(inner, limits.whole), mode="r|") as archive:
        for number, member in enumerate(archive):
            if number >= limits.entries:
                raise InputError("holds more files than allowed", field="archives")
            if member.isfile() and wanted(member.name):
                stream = archive.extractfile(member)
                yield member.name, stream.read(limits.file + 1) if stream is not None else b""


def _metadata(path: str, wheel: bool) -> bool:
    return path.count("/") == 1 and path.endswith(".dist-info/METADATA" if wheel else "/PKG-INFO")


def _decide(name: str, metadata: bytes) -> Decision:
    headers = BytesHeaderParser().parsebytes(metadata)
    decision = package_licence(
        expression=str(headers["License-Expression"] or ""),
        classifiers=[str(c) for c in headers.get_all("Classifier", [])],
        text=str(headers["License"] or ""),
    )
    return Decision(False, decision.licence, "kept for measurement") if name in MEASURED_PROJECTS else decision


def read_release(archive: Archive, limits: ArchiveLimits, wanted: Callable[[str], bool]) -> Release:
    """The files whose inner path is wanted. Raises InputError: not readable, no metadata, over the limits."""
    members = _zip_members if archive.path.suffix in (".whl", ".zip") else _tar_members
    files: dict[str, bytes] = {}
    metadata: bytes | None = None
    left_out = 0

    def inner(path: str) -> str:
        return path if archive.wheel else path.partition("/")[2].removeprefix("src/")

    def chosen(path: str) -> bool:
        return _metadata(path, archive.wheel) or (".data/" not in path and wanted(inner(path)))

    try:
        for path, content in members(archive.path, limits, chosen):
            if _metadata(path, archive.wheel):
                metadata = content
            elif len(content) > limits.file:
                left_out += 1
            else:
                files[inner(path)] = content
    except _BROKEN as error:
        raise InputError(f"{archive.path}: not a readable archive ({error})", field="archives") from error
    except InputError as error:
        raise InputError(f"{archive.path}: {error}", field="archives") from error
    if metadata is None:
        raise InputError(f"{archive.path}: holds no METADATA or PKG-INFO", field="archives")
    return Release(files, _decide(archive.name, metadata), left_out)
