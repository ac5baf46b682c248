"""Records from tiny wheels and sdists."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from data.records import Origin
from data.sources.archives import ArchiveLimits, read_name
from data.sources.releases import ReleaseOptions, ReleaseTally, archives, consecutive, releases
from repair.errors import InputError

CODE = "def first(rows):\n    return rows[{0}]\n\n\ndef last(rows):\n    return rows[{1}]\n"


def metadata(name: str, version: str, licence: str = "MIT") -> str:
    return f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nLicense-Expression: {licence}\n"


def wheel(folder: Path, version: str, files: dict[str, str], *, name: str = "some_pkg", licence: str = "MIT") -> Path:
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for inner, text in files.items():
            archive.writestr(inner, text)
        archive.writestr(f"{name}-{version}.dist-info/METADATA", metadata(name, version, licence))
    return path


def sdist(folder: Path, version: str, files: dict[str, str], *, kind: str = ".tar.gz") -> Path:
    top = f"some_pkg-{version}"
    whole = {**files, "PKG-INFO": metadata("some-pkg", version)}
    path = folder / f"{top}{kind}"
    if kind == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for inner, text in whole.items():
                archive.writestr(f"{top}/{inner}", text)
        return path
    with tarfile.open(path, "w:gz") as archive:
        for inner, text in whole.items():
            info = tarfile.TarInfo(f"{top}/{inner}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


def test_a_patch_release_gives_its_small_changes(tmp_path: Path) -> None:
    wheel(tmp_path, "1.0.1", {"pkg/a.py": CODE.format(0, -1), "pkg/tests/test_a.py": CODE.format(1, 1)})
    wheel(
        tmp_path,
        "1.0.0",
        {"pkg/a.py": CODE.format(1, -1), "pkg/tests/test_a.py": CODE.format(0, 0), "pkg/b.py": "x=1\n"},
    )
    wheel(tmp_path, "1.1.0", {"pkg/a.py": CODE.format(0, -2)})
    tally = ReleaseTally()
    (record,) = releases(tmp_path, None, tally)
    assert (record.buggy, record.fixed) == (
        CODE.format(1, 0).split("\n\n\n")[0] + "\n",
        CODE.format(0, 0).split("\n\n\n")[0] + "\n",
    )
    assert (record.origin, record.repository, record.revision) == (Origin.RELEASE, "some-pkg", "1.0.0..1.0.1")
    assert (record.path, record.function, record.licence) == ("pkg/a.py", "first", "MIT")
    assert record.reasons == ("patch release", "small: 1 line")
    assert (tally.compared, tally.pairs) == (1, 1)
    assert [one.revision for one in releases(tmp_path, ReleaseOptions("minor"))] == ["1.0.0..1.0.1", "1.0.1..1.1.0"]


def test_an_edit_swept_over_many_functions_is_no_fix(tmp_path: Path) -> None:
    text = "".join(f"def f{n}(x):\n    return float(x) + {n % 3}\n\n\n" for n in range(3))
    sweep = "".join(f"class A{n}:\n    def f(self):\n        return old(self)\n\n\n" for n in range(3))
    wheel(tmp_path, "1.0.0", {"pkg/a.py": text, "pkg/b.py": sweep})
    wheel(tmp_path, "1.0.1", {"pkg/a.py": text.replace("float", ""), "pkg/b.py": sweep.replace("old", "new")})
    tally = ReleaseTally()
    assert [one.path for one in releases(tmp_path, None, tally)] == ["pkg/a.py"] * 3  # alike, but not the same
    assert tally.skipped == {"the same edit in many functions": 3}


@pytest.mark.parametrize("kind", [".tar.gz", ".zip"])
def test_an_sdist_is_compared_with_a_wheel_by_inner_paths(tmp_path: Path, kind: str) -> None:
    sdist(
        tmp_path, "2.0.0", {"src/pkg/a.py": CODE.format(1, 1), "setup.py": "raise SystemExit('never run')\n"}, kind=kind
    )
    wheel(tmp_path, "2.0.1", {"pkg/a.py": CODE.format(1, -1)})
    sdist(tmp_path, "2.0.1", {"src/pkg/a.py": CODE.format(7, 7)}, kind=kind)  # the wheel is preferred
    (record,) = releases(tmp_path)
    assert (record.path, record.function) == ("pkg/a.py", "last")


def test_versions_are_ordered_as_versions_and_pre_releases_left_out(tmp_path: Path) -> None:
    for version in ("1.2.10", "1.2.9", "1.2.11rc1", "1.3.0", "1!1.3.1"):
        wheel(tmp_path, version, {})
    wheel(tmp_path, "1.2.11", {}, name="other")
    tally = ReleaseTally()
    pairs = consecutive(archives(tmp_path, tally), "patch")
    assert [(str(old.version), str(new.version)) for old, new in pairs] == [("1.2.9", "1.2.10")]
    assert tally.skipped == {"pre-release": 1}


def test_refused_licences_and_measured_projects_give_nothing(tmp_path: Path) -> None:
    for version, row in (("1.0.0", 1), ("1.0.1", 0)):
        wheel(tmp_path, version, {"a.py": CODE.format(row, 1)}, licence="GPL-3.0-only")
        wheel(tmp_path, version, {"a.py": CODE.format(row, 1)}, name="tqdm")
    tally = ReleaseTally()
    assert list(releases(tmp_path, None, tally)) == []
    assert tally.skipped["licence"] == 4
    assert tally.refused["tqdm-1.0.1-py3-none-any.whl"] == "kept for measurement"


def test_broken_and_oddly_named_archives_are_counted(tmp_path: Path) -> None:
    wheel(tmp_path, "1.0.0", {"a.py": CODE.format(1, 1)})
    cut = wheel(tmp_path, "1.0.1", {"a.py": CODE.format(0, 1)})
    cut.write_bytes(cut.read_bytes()[:100])
    (tmp_path / "no version.zip").write_bytes(b"")
    bare = sdist(tmp_path, "1.0.2", {})
    bare.write_bytes(gzip.compress(b"\0" * 2048))
    tally = ReleaseTally()
    assert list(releases(tmp_path, None, tally)) == []
    assert tally.skipped == {"not a release's name": 1, "unreadable archive": 2}
    assert "no METADATA or PKG-INFO" in tally.refused[bare.name]


@pytest.mark.parametrize("kind", [".whl", ".tar.gz"])
def test_archives_that_grow_without_end_are_refused(tmp_path: Path, kind: str) -> None:
    bomb = {"pkg/big.bin": "\0" * 3_000_000, "pkg/a.py": CODE.format(0, 0)}
    for version in ("1.0.0", "1.0.1"):
        wheel(tmp_path, version, bomb) if kind == ".whl" else sdist(tmp_path, version, bomb)
    tally = ReleaseTally()
    assert list(releases(tmp_path, ReleaseOptions(archive=ArchiveLimits(whole=2_000_000)), tally)) == []
    assert tally.skipped["unreadable archive"] == 2
    assert all("more bytes" in why for why in tally.refused.values())
    tally = ReleaseTally()
    assert list(releases(tmp_path, ReleaseOptions(archive=ArchiveLimits(entries=2)), tally)) == []
    assert tally.skipped["unreadable archive"] == 2


def test_large_files_are_left_out_one_by_one(tmp_path: Path) -> None:
    for version, row in (("1.0.0", 1), ("1.0.1", 0)):
        wheel(tmp_path, version, {"a.py": CODE.format(row, 1), "b.py": CODE.format(row, 1) + "# " + "x" * 5000})
    tally = ReleaseTally()
    found = list(releases(tmp_path, ReleaseOptions(archive=ArchiveLimits(file=1000)), tally))
    assert [one.path for one in found] == ["a.py"] and tally.skipped["too large"] == 2


def test_unusable_folders_and_options_are_said(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError, match="no wheel or sdist"):
            list(releases(folder))
    with pytest.raises(InputError, match="patch, minor"):
        ReleaseOptions("major")
    with pytest.raises(InputError, match="no wheel or sdist"):
        read_name(tmp_path / "x-1.0.whl")
