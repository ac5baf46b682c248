"""Which files of a whole project, sent as an archive, may be changed; the rest is what the tests need.

Knows nothing of the wire's models, nor of how an archive is packed.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from repair.defects import Defect
from repair.errors import InputError
from repair.oracles.commands import is_test_name
from repair.sources import Source, language_of
from repair.traces import owned_frames
from serve.archives import unpack
from serve.limits import MAX_SOURCE_BYTES

_TEST_FOLDERS = frozenset({"test", "tests", "__tests__", "spec", "specs", "fixtures"})
_ELSEWHERE = frozenset({"node_modules", "site-packages", "dist", "build", "vendor"})


def unpack_text(archive: str) -> Mapping[str, bytes]:
    """The files of an archive in base64. Raises InputError (field "archive")."""
    try:
        content = base64.b64decode(archive, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"archive is not base64: {error}", field="archive") from error
    return unpack(content)


def chosen_sources(
    members: Mapping[str, bytes], paths: Sequence[str], defect: Defect, *, most: int
) -> tuple[Source, ...]:
    """The files that may be changed: `paths`; else those that the error names; else all that are no tests.

    Raises InputError for a path that is not there or no source, and for more than `most` files.
    """
    if paths:
        return tuple(_named(members, path, f"paths.{n}") for n, path in enumerate(paths))
    sources = [source for path in members if may_change(path) and (source := _readable(path, members[path]))]
    if not sources:
        raise InputError("the archive holds no Python, JavaScript, TypeScript or Java file but tests", field="archive")
    named = _of_error(defect, [source.path for source in sources])
    found = tuple(source for source in sources if source.path in named) or tuple(sources)
    if len(found) > most:
        message = f"{len(found)} files of the archive could be at fault, at most {most} are taken; name some in `paths`"
        raise InputError(message, field="paths")
    return found


def may_change(path: str) -> bool:
    """Whether a file is source of a known language, and neither a test nor what serves tests, by its name."""
    *folders, name = path.lower().split("/")
    if is_test_name(PurePosixPath(path).name) or name == "conftest.py" or language_of(path) == "text":
        return False
    return not (_TEST_FOLDERS | _ELSEWHERE).intersection(folders)


def _named(members: Mapping[str, bytes], path: str, field: str) -> Source:
    if path not in members:
        raise InputError(f"{path!r} is no file of the archive", field=field)
    if (size := len(members[path])) > MAX_SOURCE_BYTES:
        raise InputError(f"{path}: {size} bytes; Emend repairs files of up to {MAX_SOURCE_BYTES}", field=field)
    try:
        return Source.from_bytes(path, members[path])
    except InputError as error:
        raise InputError(str(error), field=field) from error


def _readable(path: str, content: bytes) -> Source | None:
    """None for what cannot be repaired anyway: huge, binary, in an encoding of its own."""
    try:
        return Source.from_bytes(path, content) if len(content) <= MAX_SOURCE_BYTES else None
    except InputError:
        return None


def _of_error(defect: Defect, paths: Iterable[str]) -> frozenset[str]:
    """Those of `paths` that the evidence names."""
    return frozenset(path for _, path, _ in owned_frames(defect.evidence, tuple(paths)))
