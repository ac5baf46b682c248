"""Trees laid out from real repositories, packed and unpacked."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from repair.errors import InputError
from repair.git import apart, open_origin, resolve
from repair.projects.trees import lay_out, listing, pack_tree, unpack_tree


def laid_out(repo, tmp_path: Path) -> tuple[Path, tuple[str, ...]]:
    origin = open_origin(str(repo.folder), tmp_path)
    git_dir = apart(origin, tmp_path / "apart.git")
    own = resolve(origin, "HEAD")
    root = tmp_path / "tree"
    root.mkdir()
    return root, lay_out(origin, git_dir, own, listing(git_dir, own), root).notes


def test_packing_is_the_same_for_the_same_tree_and_keeps_what_matters(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for root in (one, other):
        (root / "ä b").mkdir(parents=True)
        (root / ".git").mkdir()
        (root / ".git" / "config").write_text(str(root))
        names = ("z.py", "ä b/x.py") if root == one else ("ä b/x.py", "z.py")
        for name in names:
            (root / name).write_text(name)
        (root / "z.py").chmod(0o755)
        (root / "out").symlink_to("/etc")
        (root / "folder").symlink_to("ä b")
    packed = pack_tree(one)
    assert packed == pack_tree(other)
    unpack_tree(packed, tmp_path / "third")
    assert pack_tree(tmp_path / "third") == packed
    assert (tmp_path / "third" / "out").readlink() == Path("/etc") and not (tmp_path / "third" / ".git").exists()
    (other / "z.py").chmod(0o644)
    assert pack_tree(other) != packed


def tar(*entries: tuple[str, str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, link, content in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            if link:
                entry.type, entry.linkname = tarfile.SYMTYPE, link
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


@pytest.mark.parametrize(
    "entries",
    [
        [("../out.py", "", b"x")],
        [("/tmp/emend-out.py", "", b"x")],
        [("a/../../out.py", "", b"x")],
        [("a", "..", b""), ("a/out.py", "", b"x")],
        [("a.py", "../out.py", b""), ("a.py", "", b"x")],
    ],
)
def test_what_leads_out_of_a_packed_tree_is_refused(tmp_path: Path, entries) -> None:
    with pytest.raises(InputError, match="packed tree"):
        unpack_tree(tar(*entries), tmp_path / "in")
    assert not (tmp_path / "out.py").exists() and not Path("/tmp/emend-out.py").exists()


def test_a_damaged_pack_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"no archive", tar(("a.py", "", b"x" * 5000))[:-40]):
        with pytest.raises(InputError, match="packed tree"):
            unpack_tree(content, tmp_path / hashlib.sha256(content).hexdigest())


def test_submodules_come_along_where_they_are_initialised(new_repo, tmp_path: Path, print_of) -> None:
    inner, repo = new_repo("inner"), new_repo("outer")
    inner.commit({"data.txt": "of the submodule"})
    repo.git("submodule", "--quiet", "add", inner.folder.as_uri(), "sub dir")
    repo.commit({"a.py": ""})
    before = print_of(repo.folder)
    root, notes = laid_out(repo, tmp_path)
    assert (root / "sub dir" / "data.txt").read_text() == "of the submodule" and notes == ()
    assert print_of(repo.folder) == before
    plain = new_repo("plain")
    plain.git("pull", "-q", str(repo.folder), "main")
    (tmp_path / "second").mkdir()
    root, notes = laid_out(plain, tmp_path / "second")
    assert "sub dir" in notes[0] and "git submodule update --init" in notes[0]
    assert not list((root / "sub dir").iterdir())


def test_lfs_pointers_are_filled_or_told(repo, tmp_path: Path) -> None:
    def pointer(content: bytes) -> str:
        own = hashlib.sha256(content).hexdigest()
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{own}\nsize {len(content)}\n"

    own = hashlib.sha256(b"here").hexdigest()
    store = repo.folder / ".git" / "lfs" / "objects" / own[:2] / own[2:4]
    store.mkdir(parents=True)
    (store / own).write_bytes(b"here")
    repo.commit({"here.bin": pointer(b"here"), "gone.bin": pointer(b"gone"), "a.py": "x = 1\n"})
    root, notes = laid_out(repo, tmp_path)
    assert (root / "here.bin").read_bytes() == b"here"
    assert notes == ("1 file is only an LFS pointer: gone.bin (run `git lfs pull`)",)
