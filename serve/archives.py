"""Archives that clients send: .zip, .tar, .tar.gz and .tar.xz, unpacked in memory, every member distrusted.

Owns what a member may be called and how large it may become. Nothing is written while unpacking, and no size that an
archive states about itself is believed. Knows nothing of HTTP, sources or tests. Formats: PKWARE APPNOTE 6.3,
POSIX.1-2001 pax, RFC 1952 and the .xz file format 1.2.
"""

from __future__ import annotations

import io
import lzma
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from repair.errors import InputError
from repair.workspace import LEFT_OUT
from serve.limits import MIB
from serve.members import Names, check_member

_IGNORED = LEFT_OUT | {"__MACOSX", ".DS_Store"}
_CHUNK = 64 * 1024
_TAR_OVERHEAD = 4 * 1024  # bytes a member: its header, its extended header, padding
_LZMA_MEMORY = 128 * MIB  # what `xz -9` needs to unpack is 65 MiB
_END, _END64, _CENTRAL = b"PK\x05\x06", b"PK\x06\x07", 46  # zip: signatures, smallest entry of the directory
_BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, ValueError,
    OverflowError, NotImplementedError, RuntimeError, LookupError, MemoryError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What an archive may hold; sizes in bytes, as sent or as unpacked."""

    packed_bytes: int = 16 * MIB
    members: int = 4000
    file_bytes: int = 8 * MIB
    total_bytes: int = 64 * MIB


def unpack(content: bytes, *, limits: ArchiveLimits | None = None) -> Mapping[str, bytes]:
    """The regular files of an archive by their relative path, sorted; version control and caches are left out.

    A top folder that holds everything else is taken off, unless it is a Python package. Raises InputError (field
    "archive") naming the member for whatever is no plain file at a plain path, and for sizes beyond `limits`.
    """
    limits = limits or ArchiveLimits()
    if len(content) > limits.packed_bytes:
        raise _refusal(f"the archive has {len(content)} bytes; at most {limits.packed_bytes} are taken")
    try:
        members = _zip_members(content, limits) if content.startswith(b"PK") else _tar_members(content, limits)
        files = dict(_kept(members))
    except _BROKEN as error:
        raise _refusal(f"the archive cannot be read as .zip, .tar, .tar.gz or .tar.xz: {error}") from error
    if not files:
        raise _refusal("the archive holds no files")
    return _without_top(files)


def _refusal(message: str) -> InputError:
    return InputError(message, field="archive")


def _kept(members: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    return ((name, content) for name, content in members if not _IGNORED.intersection(name.split("/")))


def _without_top(files: Mapping[str, bytes]) -> dict[str, bytes]:
    tops = {name.partition("/")[0] for name in files}
    top = next(iter(tops))
    alone = len(tops) == 1 and top not in files and f"{top}/__init__.py" not in files
    cut = len(top) + 1 if alone else 0
    return {name[cut:]: files[name] for name in sorted(files)}


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Room:
    """Counts what comes out of an archive. Raises InputError as soon as it is too much."""

    def __init__(self, limits: ArchiveLimits) -> None:
        self._limits = limits
        self._members = self._bytes = 0

    def enter(self, name: str) -> None:
        self._members += 1
        if self._members > self._limits.members:
            raise _refusal(f"the archive has more than {self._limits.members} members; {name!r} is one too many")

    def read(self, name: str, stream: _Readable) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while piece := stream.read(_CHUNK):
            size += len(piece)
            self._bytes += len(piece)
            if size > self._limits.file_bytes:
                raise _refusal(f"{name!r} unpacks to more than {self._limits.file_bytes} bytes")
            if self._bytes > self._limits.total_bytes:
                raise _refusal(f"the archive unpacks to more than {self._limits.total_bytes} bytes, at {name!r}")
            pieces.append(piece)
        return b"".join(pieces)


def _zip_members(content: bytes, limits: ArchiveLimits) -> Iterator[tuple[str, bytes]]:
    _check_directory(content, limits)
    room, names = _Room(limits), Names()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():
            name = info.orig_filename  # `filename` is cut at a NUL
            room.enter(name)
            folder = name.endswith("/")
            _check_zip_member(info, name)
            names.take(check_member(name.removesuffix("/") if folder else name), folder=folder)
            if folder:
                continue
            with archive.open(info) as stream:
                yield name, room.read(name, stream)


def _check_zip_member(info: zipfile.ZipInfo, name: str) -> None:
    kind = info.external_attr >> 28 if info.create_system == 3 else 0  # Unix: the file type of st_mode
    if kind not in (0, 4, 8) or ((kind == 4) != name.endswith("/") and kind):
        raise _refusal(f"{name!r} is no regular file or folder (a link or a device); send plain files")
    if info.flag_bits & 0x41:
        raise _refusal(f"{name!r} is encrypted; send the archive without a password")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _refusal(f"{name!r} is packed by method {info.compress_type}; only stored and deflated are read")
    if info.filename != name:
        raise _refusal(f"{name!r} is also called {info.filename!r}; a member has one name")


def _check_directory(content: bytes, limits: ArchiveLimits) -> None:
    """Refuse a directory of more entries than members are taken, before it is read.

    The end record is sought as zipfile does. Its count of entries may lie, the size of the directory may not.
    """
    at = len(content) - 22
    if at < 0 or content[at : at + 4] != _END or content[-2:] != b"\0\0":
        at = content.rfind(_END, max(len(content) - 22 - 0xFFFF, 0))
    if at < 0 or len(content) < at + 22:
        raise _refusal("the archive is no whole .zip file: it has no directory at its end")
    if at >= 20 and content[at - 20 : at - 16] == _END64:
        raise _refusal("the archive is a zip64 file; those hold more than is taken here")
    size = int.from_bytes(content[at + 12 : at + 16], "little")
    if size > limits.members * (_CENTRAL + 512):
        raise _refusal(f"the directory of the archive has {size} bytes; at most {limits.members} members are taken")


def _tar_members(content: bytes, limits: ArchiveLimits) -> Iterator[tuple[str, bytes]]:
    plain = _decompressed(content, limits)
    room, names = _Room(limits), Names()
    with tarfile.open(fileobj=io.BytesIO(plain), mode="r:", tarinfo=_Header, encoding="utf-8") as archive:
        for info in archive:
            name = info.name
            room.enter(name)
            if info.size < 0 or info.issparse() or not (info.isreg() or info.isdir()):
                raise _refusal(f"{name!r} is no regular file or folder (a link, a device, a sparse file)")
            names.take(check_member(name), folder=info.isdir())
            stream = archive.extractfile(info) if info.isreg() else None
            if stream is not None:
                yield name, room.read(name, stream)
        if plain[archive.offset :].strip(b"\0"):
            raise _refusal(f"the archive is damaged or no .tar file, at byte {archive.offset}")


class _Header(tarfile.TarInfo):
    """A header whose size is not negative: such a one leads tarfile back to where it was (CVE-2025-8194)."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        if header.size < 0:
            raise _refusal(f"{header.name!r} states a size of {header.size}")
        return header


def _decompressed(content: bytes, limits: ArchiveLimits) -> bytes:
    most = limits.total_bytes + limits.members * _TAR_OVERHEAD + 10 * 1024
    if content.startswith(b"\x1f\x8b"):
        return _gunzipped(content, most)
    if content.startswith(b"\xfd7zXZ\0"):
        return _unxzed(content, most)
    return content


def _gunzipped(content: bytes, most: int) -> bytes:
    whole = bytearray()
    while content.startswith(b"\x1f\x8b"):
        stream = zlib.decompressobj(wbits=31)
        whole += stream.decompress(content, most - len(whole) + 1)
        _check_size(whole, most)
        if not stream.eof:
            raise EOFError("its gzip part ends early")
        content = stream.unused_data
    return bytes(whole)


def _unxzed(content: bytes, most: int) -> bytes:
    whole = bytearray()
    while content:
        stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_LZMA_MEMORY)
        whole += stream.decompress(content, most - len(whole) + 1)
        _check_size(whole, most)
        if not stream.eof:
            raise EOFError("its xz part ends early")
        content = stream.unused_data.lstrip(b"\0")  # stream padding
    return bytes(whole)


def _check_size(whole: bytearray, most: int) -> None:
    if len(whole) > most:
        raise _refusal(f"the archive unpacks to more than {most} bytes")


def write_under(root: Path, files: Mapping[str, bytes]) -> None:
    """Write new files below the existing folder `root`, following no symbolic link and replacing nothing.

    Raises InputError naming the path that is none inside, exists, or leads through what is no folder.
    """
    top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        for path, content in files.items():
            _write(top, check_member(path), content)
    finally:
        os.close(top)


def _write(top: int, path: str, content: bytes) -> None:
    *folders, name = path.split("/")
    at = os.dup(top)
    try:
        for folder in folders:
            with suppress(FileExistsError):
                os.mkdir(folder, 0o755, dir_fd=at)
            below = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = below
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(name, flags, 0o644, dir_fd=at), "wb") as stream:
            stream.write(content)
    except OSError as error:
        raise _refusal(f"{path!r} cannot be written: {error.strerror or error}") from error
    finally:
        os.close(at)
