"""Project: one folder as the editor sees it now, buffers before files. Reads the disk, writes nothing."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pygls.uris import from_fs_path

from repair.defects import Defect, Location
from repair.errors import InputError
from repair.oracles.commands import is_test_name
from repair.oracles.interpreters import find_python, has_module
from repair.sources import Source, language_of, read_source
from repair.traces import owned_frames
from repair.workspace import LEFT_OUT, LINKED
from serve.limits import MAX_SOURCE_BYTES
from serve.lsp.options import Options
from serve.lsp.positions import BOM

MAX_SOURCES = 24  # files that one repair may change
_MAX_LISTED = 20_000  # entries of a folder that are looked at


@dataclass(frozen=True, slots=True)
class Buffer:
    """An open document: the client's own name for it, its text and version."""

    uri: str
    text: str
    version: int | None


@dataclass(frozen=True, slots=True)
class Base:
    """The text of a file that something was said about. `text` is the client's, a byte order mark included."""

    path: Path
    uri: str
    version: int | None
    text: str

    @property
    def digest(self) -> str:
        """Names the text."""
        return digest_of(self.text)


@dataclass(frozen=True, slots=True)
class Project:
    """A folder at one moment. `overlay` holds buffers that no repair may change: tests, data."""

    root: Path
    sources: tuple[Source, ...]
    bases: Mapping[str, Base]
    overlay: Mapping[str, bytes]
    tests: tuple[str, ...]


def digest_of(text: str) -> str:
    """A short name of a text; some editors hide a byte order mark, some do not: it does not count."""
    return hashlib.sha256(text.removeprefix(BOM).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def names_in(root: Path, buffers: Mapping[Path, Buffer]) -> dict[Path, str]:
    """The files of a folder in languages that we know, and the open ones, with their names in it."""
    listed = dict.fromkeys((*buffers, *_files(root)))
    return {path: path.relative_to(root).as_posix() for path in listed if path.is_relative_to(root)}


def read_project(
    root: Path, buffers: Mapping[Path, Buffer], first: tuple[Path, ...] = (), *, others: bool = True
) -> Project:
    """The sources of a folder, at most MAX_SOURCES: `first`, and with `others` open ones, then the last changed.

    Raises InputError when a file of `first` is none that can be repaired, or when no source is left.
    """
    names = names_in(root, buffers)
    tests = tuple(name for path, name in names.items() if _is_test(path))
    wanted = [path for path in names if not _is_test(path) and language_of(path.name) != "text" and path not in first]
    wanted.sort(key=lambda path: (path not in buffers, -_changed(path)))
    sources = [source_of(root, path, buffers) for path in first if not _is_test(path)]
    for path in wanted[: max(0, MAX_SOURCES - len(sources)) if others else 0]:
        try:
            sources.append(source_of(root, path, buffers))
        except InputError:
            continue  # unreadable, binary or too large: no place for a repair
    if not sources:
        raise InputError(f"{root.name}: no source file that may be repaired was found here", field="uri")
    bases = {name: base_of(path, buffers.get(path)) for path, name in names.items() if _wanted(path, name, sources)}
    held = {source.path for source in sources}
    overlay = {
        n: buffers[p].text.encode("utf-8", "replace") for p, n in names.items() if p in buffers and n not in held
    }
    return Project(root, tuple(sources), bases, overlay, tests)


def source_of(root: Path, path: Path, buffers: Mapping[Path, Buffer]) -> Source:
    """A file to repair, with the buffer's text where it is open. Raises InputError."""
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    if language_of(path.name) == "text":
        raise InputError(f"{path.name}: not a Python, JavaScript, TypeScript or Java file by its name", field="uri")
    buffer = buffers.get(path)
    if buffer is None:
        source = read_source(root, name)
    else:
        text = buffer.text.removeprefix(BOM)
        source = _as_on_disk(root, name).with_text(text) if path.is_file() else Source(name, text)
    if len(source.to_bytes()) > MAX_SOURCE_BYTES:
        raise InputError(f"{path.name}: larger than {MAX_SOURCE_BYTES} bytes; Emend repairs smaller files", field="uri")
    return source


def base_of(path: Path, buffer: Buffer | None) -> Base:
    """What the text of a file is now; "" for one that cannot be read."""
    if buffer is not None:
        return Base(path, buffer.uri, buffer.version, buffer.text)
    try:
        text = read_source(path.parent, path.name).text
    except InputError:
        text = ""
    return Base(path, from_fs_path(str(path)) or path.as_uri(), None, text)


def test_command(project: Project, python: Path | None) -> str:
    """The usual test command of such a project. Raises InputError when no tests are found."""
    if any(language_of(name) == "python" for name in project.tests):
        pytest = has_module(find_python(python, project.root, ""), "pytest")
        return "python -m pytest -q" if pytest else "python -m unittest"
    if _has_npm_test(project.root):
        return "npm test"
    if any(language_of(name) == "javascript" for name in project.tests):
        return "node --test"
    raise InputError("no tests were found here: set emend.test to the command that runs them", field="emend.test")


def owners(
    defect: Defect, roots: tuple[Path, ...], buffers: Mapping[Path, Buffer]
) -> tuple[Path, tuple[Path, ...]] | None:
    """The folder whose files an error names, and those files, innermost first; None where it names none."""
    for root in roots:
        names = {name: path for path, name in names_in(root, buffers).items()}
        owned = owned_frames(defect.evidence, tuple(names))
        found = _changeable(tuple(dict.fromkeys(names[path] for _, path, _ in owned)))
        if found:
            return root, found
    return None


def _changeable(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    """The files among these that may be changed: no tests."""
    return tuple(path for path in paths if not is_test_name(path.name))


def command_of(project: Project, options: Options, *, needed: bool) -> str | None:
    """The test command, None where there is none and it is not needed. Raises InputError where it is."""
    try:
        return options.test or test_command(project, options.python)
    except InputError:
        if needed:
            raise
        return None


def place_of(project: Project, path: Path, line: int | None) -> Location | None:
    """Where the user pointed: a document's line, counted from 0."""
    if line is None:
        return None
    source = next(s for s in project.sources if project.bases[s.path].path == path)
    number = min(line + 1, source.line_count)
    return Location(source.path, number, number)


def _as_on_disk(root: Path, name: str) -> Source:
    """For the encoding; a file that is unreadable on disk is written in UTF-8."""
    try:
        return read_source(root, name)
    except InputError:
        return Source(name, "")


def _has_npm_test(root: Path) -> bool:
    try:
        package = json.loads((root / "package.json").read_bytes())
        return bool(package["scripts"]["test"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _is_test(path: Path) -> bool:
    return is_test_name(path.name) and language_of(path.name) != "text"


def _wanted(path: Path, name: str, sources: list[Source]) -> bool:
    return _is_test(path) or any(source.path == name for source in sources)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _files(root: Path) -> Iterator[Path]:
    """Files in a language that we know; environments, caches and hidden folders are passed over."""
    left = _MAX_LISTED
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in LEFT_OUT | LINKED and not f.startswith("."))
        for name in sorted(names):
            left -= 1
            if left < 0:
                return
            if language_of(name) != "text":
                yield Path(folder, name)
