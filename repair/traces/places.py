"""Does a path that some tool printed mean one of our files? Works on the texts alone, touches no disk."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote

from repair.defects import Frame

_ANYWHERE = ("<stdin>", "<string>", "<unknown>", "[stdin]", "[eval]", "[eval]-wrapper")
_TEMPORARY = re.compile(r"(?:^|/)(?:tmp|temp|var/folders|private/var|dev/shm)/", re.IGNORECASE)
_LIBRARY = re.compile(
    r"(?:^|/)(?:site-packages|dist-packages|node_modules)/|/lib(?:64)?/python\d|^node:|^internal/|^<frozen |^jdk\."
)
_JVM = ("java.", "javax.", "jdk.", "sun.", "com.sun.", "org.junit.", "junit.", "org.opentest4j.", "kotlin.")


def plain_path(printed: str) -> str:
    """A printed path with forward slashes, without `file://`, `./` and a drive letter's colon."""
    path = printed.strip()
    if path.startswith("file://"):
        path = unquote(path.removeprefix("file://"))
    path = path.replace("\\", "/")
    while path.startswith("./"):
        path = path[2:]
    return path


def _ends_with(whole: str, part: str) -> bool:
    return whole == part or whole.endswith("/" + part)


def affinity(printed: str, path: str) -> int:
    """How well a printed path names our relative `path`: path components in common, 0 when it is another file.

    1,000 for the very same path. Names that stand for typed-in text (`<stdin>`) mean any file, with 1.
    """
    shown = plain_path(printed)
    if not shown or shown in _ANYWHERE:
        return int(bool(shown))
    if shown == path:
        return 1_000
    if _LIBRARY.search(shown) and not _LIBRARY.search(path):
        return 0
    if _ends_with(shown, path):
        return path.count("/") + 2
    if _ends_with(path, shown):
        return shown.count("/") + 2
    same_name = shown.rpartition("/")[2] == path.rpartition("/")[2]
    return int(same_name and bool(_TEMPORARY.search(shown)))


def in_library(frame: Frame) -> bool:
    """Whether a frame lies in a runtime or an installed package by its looks."""
    return bool(_LIBRARY.search(plain_path(frame.path))) or _of_jvm(frame)


def _of_jvm(frame: Frame) -> bool:
    """Java prints a file's bare name, so that only the class tells whose it is."""
    return frame.function.rpartition("/")[2].startswith(_JVM)  # java.base/java.util.ArrayList.get


def owner(frame: Frame, paths: Sequence[str]) -> str | None:
    """Which of our paths a frame lies in, None when none fits, or when two fit equally well."""
    if in_library(frame) and (plain_path(frame.path) not in paths or _of_jvm(frame)):
        return None
    ranked = sorted(((affinity(frame.path, p), p) for p in paths), reverse=True)
    if not ranked or ranked[0][0] == 0 or (len(ranked) > 1 and ranked[1][0] == ranked[0][0]):
        return None
    return ranked[0][1]
