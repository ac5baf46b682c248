"""Lots: code that faults are put into, cut into pieces of work - one wheel, or some files of a folder - and its units.

Owns the reading of a folder of source files in any language with a grammar (wheels are `packages`'), and which
functions of them are taken. Nothing is imported or executed. Must not know faults.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from data.filters import FileLimits, decode, text_reason, vendored
from data.licences import Decision, header_refused
from data.mutants import LEAST_LINES, MOST_LINES, Unit, units
from data.sources.packages import CodeFile, Package, Tally, read_files, read_packages
from data.steps import Rejection
from repair.errors import InputError
from repair.languages import functions, language_names, parses
from repair.sources import Source, language_of
from repair.windows import context_lines

FILES = 200  # of a folder, in one lot
LIMITS = FileLimits(smallest=1, function_share=0.0)  # of files that the user chose; a wheel's are stricter
_SKIPPED = frozenset({".git", "node_modules", "dist", "build", "target", "__pycache__", ".venv", "venv"})


@dataclass(frozen=True, slots=True)
class Lot:
    """One piece of work. `files` are those of a folder (relative, sorted); without any, `package` is a wheel."""

    package: Package
    files: tuple[str, ...] = ()
    number: int = 0

    @property
    def name(self) -> str:
        """Unique among the lots of a source; good as a file name."""
        package = self.package
        return f"{package.name}-{self.number:04d}" if self.files else f"{package.name}-{package.version}"

    @property
    def key(self) -> str:
        """Changes with the contents."""
        return self.package.sha256


@dataclass(frozen=True, slots=True)
class Cut:
    """How much of a lot is read: bytes of it, the share that tests may have of them."""

    cap: int
    test_share: float
    seed: int


def read_lots(path: Path, *, name: str, licence: str) -> tuple[Lot, ...]:
    """The lots of a folder of wheels, else of source files. Raises InputError when it holds neither."""
    if not path.is_dir():
        raise InputError(f"{path}: no such folder", field="path")
    if any(path.glob("*.whl")):
        return tuple(Lot(package) for package in read_packages(path))
    found = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file() and _eligible(p, path))
    if not found:
        raise InputError(f"{path}: holds no wheel and no source file of {', '.join(language_names())}", field="path")
    lots: list[Lot] = []
    names = iter(found)
    while files := tuple(islice(names, FILES)):
        whole = hashlib.sha256()
        for file in files:
            whole.update(f"{file}\0".encode() + hashlib.sha256((path / file).read_bytes()).digest())
        package = Package(name or path.resolve().name, "", whole.hexdigest(), path, Decision(True, licence))
        lots.append(Lot(package, files, len(lots)))
    return tuple(lots)


def _eligible(path: Path, folder: Path) -> bool:
    below = path.relative_to(folder)
    return (
        language_of(path.name) in language_names()
        and not path.is_symlink()
        and not vendored(below.as_posix())
        and not any(part in _SKIPPED for part in below.parts[:-1])
    )


def lot_units(lot: Lot, cut: Cut) -> Iterator[Unit | Rejection]:
    """The functions of a lot that faults can be put into, and why files were left out."""
    if not lot.package.decision.accepted:
        yield Rejection("read", f"package: {lot.package.decision.reason}", lot.name)
        return
    if lot.files:
        yield from _folder_units(lot, cut)
        return
    tally = Tally()
    draw = random.Random(f"{cut.seed}:{lot.name}")
    for file in read_files(
        lot.package, tally, limits=FileLimits(), cap=cut.cap, test_share=cut.test_share, seed=cut.seed
    ):
        yield from units(file, draw)
    for reason, count in sorted(tally.left_out.items()):
        yield Rejection("read", f"file: {reason}", lot.name, count)


def _folder_units(lot: Lot, cut: Cut) -> Iterator[Unit | Rejection]:
    size = 0
    for name in lot.files:
        content = (lot.package.path / name).read_bytes()
        text, reason = decode(content, LIMITS)
        reason = reason or ("over the cap" if size + len(content) > cut.cap else _file_reason(name, text))
        if reason:
            yield Rejection("read", f"file: {reason}", f"{lot.package.name}/{name}")
            continue
        size += len(content)
        file = CodeFile(lot.package.name, name, text)
        if language_of(name) == "python":
            yield from units(file, random.Random(f"{cut.seed}:{name}"))
        else:
            yield from _other_units(file)


def _file_reason(name: str, text: str) -> str:
    if language_of(name) == "python":
        return text_reason(text, LIMITS)
    if header_refused(text):
        return "licence header"
    if max(map(len, text.split("\n"))) > LIMITS.longest_line:
        return "very long line"
    return "" if parses(Source(name, text)) is None else "does not parse"


def _other_units(file: CodeFile) -> Iterator[Unit]:
    """The outermost functions of a file that is not Python; those that share no line with another."""
    source = Source(file.path, file.text if file.text.endswith("\n") else f"{file.text}\n")
    found = functions(source)
    reached = 0
    for function in found:
        size = function.last_line - function.first_line + 1
        if function.nested or function.first_line <= reached or not LEAST_LINES <= size <= MOST_LINES:
            continue
        reached = function.last_line
        span = source.line_span(function.first_line, function.last_line, terminator=True)
        yield Unit(
            file.package,
            source,
            function,
            span.start,
            span.of(source.text),
            context_lines(source, function, found),
        )
