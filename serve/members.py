"""Names of archive members: plain relative paths that mean the same file on every system.

Stricter than `serve.wire.check_path`: what passes here passes there.
"""

from __future__ import annotations

import re
import unicodedata

from repair.errors import InputError

MAX_NAME_CHARS = 512
_MAX_PART_BYTES = 255  # NAME_MAX of Linux
_MAX_DEPTH = 32
# Control characters, text direction, half surrogates and characters that are none: names must show what they are.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffe\uffff\ud800-\udfff]")
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_RESERVED = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?:\..*)?$", re.IGNORECASE)
_DRIVE = re.compile("[A-Za-z]:")


def check_member(name: str) -> str:
    """`name`, when it is a plain path below the archive's top. Raises InputError (field "archive") naming it."""
    if why := _why_not(name):
        raise InputError(f"{name[:MAX_NAME_CHARS]!r} is refused: {why}", field="archive")
    return name


def _why_not(name: str) -> str:
    if len(name) > MAX_NAME_CHARS:
        return f"the name is longer than {MAX_NAME_CHARS} characters"
    if _UNSEEN.search(name):
        return "the name has control or invisible characters"
    if "\\" in name or _DRIVE.match(name) or name.startswith("/"):
        return "the name is not a relative path with forward slashes"
    parts = name.split("/")
    if len(parts) > _MAX_DEPTH:
        return f"it lies deeper than {_MAX_DEPTH} folders"
    return next((why for part in parts if (why := _part_why_not(part))), "")


def _part_why_not(part: str) -> str:
    if part in ("", ".", ".."):
        return "the name is not a plain path inside the archive"
    if len(part.encode()) > _MAX_PART_BYTES:
        return f"a part of the name has more than {_MAX_PART_BYTES} bytes"
    if _RESERVED.match(part) or part[-1] in ". ":
        return f"{part!r} is no file name on some systems"
    return ""


def _key(name: str) -> str:
    """Equal for names that some file system takes for one: other case, other Unicode form."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class Names:
    """The names taken so far. Refuses one that is, or on some file system would be, another's."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}
        self._files: dict[str, str] = {}

    def take(self, name: str, *, folder: bool) -> None:
        """Remember a checked name and the folders above it. Raises InputError naming both."""
        parts = name.split("/")
        for depth in range(1, len(parts) + folder):
            self._take("/".join(parts[:depth]), self._folders, self._files)
        if not folder:
            self._take(name, self._files, self._folders)

    def _take(self, name: str, own: dict[str, str], other: dict[str, str]) -> None:
        key = _key(name)
        held = other.get(key) or own.get(key)
        if held is not None and (held != name or own is self._files or key in other):
            raise InputError(f"{name!r} collides with {held!r}; each file needs a name of its own", field="archive")
        own[key] = name
