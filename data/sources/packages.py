"""Read Python files out of a folder of wheels, and out of the running interpreter's standard library.

Owns: package metadata, the allow-list's application, per-package caps and the count of what was left out.
Must not know: functions, faults, tokens. Nothing is imported or executed, wheels are read as archives.
"""

from __future__ import annotations

import hashlib
import platform
import random
import re
import sysconfig
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from pathlib import Path

from data.filters import FileLimits, decode, is_test, text_reason, vendored
from data.licences import Decision, package_licence
from repair.errors import InputError

# Projects of the BugsInPy benchmark: kept for measurement, never read for training.
MEASURED_PROJECTS = frozenset({
    "pandas", "matplotlib", "keras", "scrapy", "tornado", "fastapi", "black", "luigi", "tqdm", "ansible",
    "ansible-core", "sanic", "thefuck", "httpie", "cookiecutter", "spacy", "youtube-dl", "pysnooper",
})  # fmt: skip
STDLIB = "python-stdlib"


@dataclass(frozen=True, slots=True)
class Package:
    """One distribution: normalised `name`, `sha256` of the archive, and whether its licence lets us use it."""

    name: str
    version: str
    sha256: str
    path: Path
    decision: Decision

    @property
    def told(self) -> dict[str, object]:
        """What manifests say of it."""
        return {
            "name": self.name,
            "version": self.version,
            "licence": self.decision.licence,
            "sha256": self.sha256,
            "accepted": self.decision.accepted,
            "reason": self.decision.reason,
        }


@dataclass(frozen=True, slots=True)
class CodeFile:
    """One file that passed every filter: decoded `text`, lines end with a line feed."""

    package: str
    path: str
    text: str


@dataclass(slots=True)
class Tally:
    """Counts of one package while it is read: files kept, bytes kept, files left out by reason."""

    files: int = 0
    size: int = 0
    test_size: int = 0
    left_out: Counter[str] = field(default_factory=Counter[str])


def normalised(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _decide(name: str, metadata: bytes) -> tuple[str, Decision]:
    headers = BytesHeaderParser().parsebytes(metadata)
    decision = package_licence(
        expression=str(headers["License-Expression"] or ""),
        classifiers=[str(c) for c in headers.get_all("Classifier", [])],
        text=str(headers["License"] or ""),
    )
    if name in MEASURED_PROJECTS:
        decision = Decision(False, decision.licence, "kept for measurement")
    return str(headers["Version"] or ""), decision


def read_package(wheel: Path) -> Package:
    """Name, version, hash and licence of one wheel. Raises InputError when it is not a readable wheel."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            metadata = [n for n in archive.namelist() if n.count("/") == 1 and n.endswith(".dist-info/METADATA")]
            if len(metadata) != 1:
                raise InputError(f"{wheel}: a wheel has one METADATA file, this has {len(metadata)}", field="wheels")
            content = archive.read(metadata[0])
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"{wheel}: not a readable wheel ({error})", field="wheels") from error
    name = normalised(wheel.name.split("-")[0])
    version, decision = _decide(name, content)
    return Package(name, version, _sha256(wheel), wheel, decision)


def read_packages(folder: Path) -> tuple[Package, ...]:
    """All wheels of a folder, by name. Raises InputError when there is none."""
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        raise InputError(f"{folder}: holds no wheel (*.whl)", field="wheels")
    return tuple(sorted((read_package(w) for w in wheels), key=lambda p: p.name))


def standard_library() -> Package:
    """The running interpreter's own library (PSF-2.0); its hash is that of the interpreter's version string."""
    path = Path(sysconfig.get_path("stdlib"))
    digest = hashlib.sha256(platform.python_version().encode()).hexdigest()
    return Package(STDLIB, platform.python_version(), digest, path, Decision(True, "PSF-2.0"))


def _contents(package: Package) -> Iterator[tuple[str, int]]:
    """Paths and sizes of the Python files of a package."""
    if package.path.is_dir():
        for path in package.path.rglob("*.py"):
            yield path.relative_to(package.path).as_posix(), path.stat().st_size
        return
    with zipfile.ZipFile(package.path) as archive:
        for info in archive.infolist():
            if info.filename.endswith(".py") and ".data/" not in info.filename:
                yield info.filename, info.file_size


def _order(package: Package, seed: int) -> list[str]:
    paths = sorted(path for path, _ in _contents(package))
    random.Random(f"{seed}:{package.name}").shuffle(paths)
    return paths


def _read(package: Package, paths: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    if package.path.is_dir():
        for path in paths:
            yield path, (package.path / path).read_bytes()
        return
    with zipfile.ZipFile(package.path) as archive:
        for path in paths:
            yield path, archive.read(path)


def read_files(
    package: Package, tally: Tally, *, limits: FileLimits, cap: int, test_share: float = 0.1, seed: int = 0
) -> Iterator[CodeFile]:
    """The usable files of one accepted package in an order drawn from `seed`, at most `cap` bytes of them.

    Tests are at most `test_share` of the cap. `tally` counts what was kept and why the rest was not.
    Raises InputError for a package whose licence was refused.
    """
    if not package.decision.accepted:
        raise InputError(f"{package.name}: {package.decision.reason}", field="wheels")
    seen: set[str] = set()
    paths = _order(package, seed)
    ahead = [p for p in paths if not is_test(p)] + [p for p in paths if is_test(p)]
    for path, content in _read(package, ahead):
        if tally.size >= cap:
            tally.left_out["over the cap"] += 1
            continue
        reason, text = _reason(path, content, tally, limits, test_share, seen)
        if reason:
            tally.left_out[reason] += 1
            continue
        tally.files += 1
        tally.size += len(content)
        tally.test_size += len(content) if is_test(path) else 0
        yield CodeFile(package.name, path, text)


def _reason(
    path: str, content: bytes, tally: Tally, limits: FileLimits, test_share: float, seen: set[str]
) -> tuple[str, str]:
    """Why a file is left out ("" when it is not), and its text."""
    if vendored(path):
        return "vendored", ""
    if is_test(path) and tally.test_size + len(content) > test_share * tally.size:
        return "too many tests", ""
    text, reason = decode(content, limits)
    if reason:
        return reason, ""
    digest = hashlib.sha256(text.encode()).hexdigest()
    if digest in seen:
        return "exact duplicate", ""
    seen.add(digest)
    return text_reason(text, limits), text
