"""What the commands are given, read and checked: paths, error text, and the request they make."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from repair.defects import Budget, Defect, RepairRequest
from repair.errors import InputError
from repair.sources import Source, read_source
from repair.traces import evidence_frames, frames_in, parse_error
from serve.limits import MAX_SOURCE_BYTES

MAX_ERROR_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Given:
    """Arguments and options of `fix` and `locate`, as they were typed."""

    paths: tuple[Path, ...]
    error: str | None
    test: str | None
    candidates: int
    seconds: float
    model: str | None
    adapter: Path | None
    python: Path | None
    sandbox_minimum: str
    unsafe_no_sandbox: bool
    passing_ok: bool = False  # tests that pass as they are end the command well


def read_request(given: Given) -> tuple[Path, RepairRequest]:
    """The project's root and the request. Raises InputError for what cannot be read."""
    if not given.paths:
        raise InputError("no source file was given; name those that may be changed", field="path")
    root = project_root(given.paths, has_tests=given.test is not None)
    sources = tuple(read_project_source(root, path) for path in given.paths)
    defect = parse_error(read_error(given.error)) if given.error is not None else Defect()
    return root, RepairRequest(sources, defect, Budget(given.candidates, given.seconds))


def project_root(paths: tuple[Path, ...], *, has_tests: bool) -> Path:
    """The current directory; without tests, files elsewhere are welcome too and their common directory counts.

    Raises InputError for a path outside when there are tests: they run in a copy of the current directory.
    """
    here = Path.cwd()
    full = [_absolute(path) for path in paths]
    outside = [path for path, absolute in zip(paths, full, strict=True) if not absolute.is_relative_to(here)]
    if not outside:
        return here
    if has_tests:
        raise InputError(
            f"{outside[0]} lies outside of {here}, where the tests run; start emend in the project's root", field="path"
        )
    return Path(os.path.commonpath([path.parent for path in full]))


def _absolute(path: Path) -> Path:
    """Without `..`, but with symbolic links kept: a link inside of the project names a file of the project."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.resolve would follow the links


def read_project_source(root: Path, path: Path) -> Source:
    """A file that may be changed. Raises InputError: missing, outside of `root`, too large, of no known language."""
    full = _absolute(path)
    if full.is_dir():
        raise InputError(f"{path} is a directory; name the source files in it that may be changed", field="path")
    source = read_source(root, full.relative_to(root).as_posix())
    if (size := len(source.to_bytes())) > MAX_SOURCE_BYTES:
        raise InputError(f"{path}: {size} bytes; Emend repairs files of up to {MAX_SOURCE_BYTES}", field="path")
    if source.language == "text":
        raise InputError(f"{path}: not a Python, JavaScript, TypeScript or Java file by its name", field="path")
    return source


def read_error(error: str) -> str:
    """The failure's text: TEXT itself, @FILE, or - for standard input. Raises InputError: empty, missing, too long."""
    if error == "-":
        content = sys.stdin.buffer.read(MAX_ERROR_BYTES + 1)
    elif error.startswith("@"):
        content = _content(Path(error[1:]))
    else:
        content = error.encode("utf-8", "surrogateescape")
    if len(content) > MAX_ERROR_BYTES:
        raise InputError(
            f"--error: the text is longer than {MAX_ERROR_BYTES} bytes; give its relevant part", field="error"
        )
    text = content.decode("utf-8", "replace")
    if not text.strip():
        raise InputError("--error: the text is empty; give the failure's text or leave the option out", field="error")
    return text


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_ERROR_BYTES + 1)
    except OSError as error:
        raise InputError(f"--error: {path}: {error.strerror or error}", field="error") from error


def foreign_note(request: RepairRequest) -> str:
    """A sentence when the error speaks of files, and of none of the given ones; "" otherwise."""
    frames = [frame for evidence in request.defect.evidence for frame in evidence_frames(evidence)]
    if not frames or any(frames_in(request.defect, source.path) for source in request.sources):
        return ""
    paths = ", ".join(source.path for source in request.sources)
    return f"note: the error speaks of {frames[0].path}, not of {paths}; looking in {paths} all the same"
