"""Temporary trees leave nothing; writing in place is atomic, faithful and refuses what has changed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from repair.edits import Edit, FilePatch, Patch, Span
from repair.errors import InputError, PatchError
from repair.sources import Source, read_source
from repair.workspace import apply_in_place, workspace, write_inside

REPOSITORY = Path(__file__).parents[2]


def whole(path: str, before: str, after: str) -> FilePatch:
    return FilePatch(path, (Edit(Span(0, len(before)), after),))


def test_a_workspace_is_a_copy_with_the_patch_and_is_removed(tmp_path):
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "a.py").write_bytes(b"\xef\xbb\xbfx = 1\r\n")
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    for left_out in (".git", ".venv", "__pycache__"):
        (tmp_path / left_out).mkdir()
        (tmp_path / left_out / "f").write_text("")
    (tmp_path / "link").symlink_to("pkg/a.py")
    os.mkfifo(tmp_path / "pipe")
    patch = Patch((FilePatch("pkg/a.py", (Edit(Span(4, 5), "2"),)),))
    with workspace(tmp_path, patch, files={"new/t.py": b"pass\n"}) as root:
        assert (root / "pkg" / "a.py").read_bytes() == b"\xef\xbb\xbfx = 2\r\n"
        assert (root / "run.sh").stat().st_mode & 0o111
        assert (root / "link").readlink() == Path("pkg/a.py")
        assert sorted(p.name for p in root.iterdir()) == ["link", "new", "pkg", "run.sh"]
    assert not root.exists()
    assert (tmp_path / "pkg" / "a.py").read_bytes() == b"\xef\xbb\xbfx = 1\r\n"


def test_a_workspace_is_removed_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), workspace(tmp_path, files={"f": b""}) as root:
        raise RuntimeError
    assert not root.exists()


def test_installed_packages_are_linked_not_copied(tmp_path):
    (tmp_path / "node_modules" / "big").mkdir(parents=True)
    with workspace(tmp_path) as root:
        assert (root / "node_modules").is_symlink()
        assert (root / "node_modules" / "big").is_dir()
    assert (tmp_path / "node_modules" / "big").is_dir()


def test_workspaces_refuse_what_they_cannot_hold(tmp_path):
    (tmp_path / "large").write_bytes(b"x" * 5000)
    with pytest.raises(InputError, match="larger than"), workspace(tmp_path, max_bytes=4000):
        pass
    with pytest.raises(InputError, match="inside"), workspace(None, files={"../out": b""}):
        pass
    with pytest.raises(InputError, match="No such file"), workspace(tmp_path / "missing"):
        pass
    with pytest.raises(InputError, match="inside"):
        write_inside(tmp_path, "../x", b"")


def test_apply_in_place_keeps_mode_link_and_encoding(tmp_path):
    real = tmp_path / "real.py"
    real.write_bytes("# -*- coding: latin-1 -*-\r\nname = 'é'\r\n".encode("latin-1"))
    real.chmod(0o750)
    (tmp_path / "link.py").symlink_to("real.py")
    source = read_source(tmp_path, "link.py")
    at = source.text.index("é")
    written = apply_in_place(tmp_path, Patch((FilePatch("link.py", (Edit(Span(at, at + 1), "ü"),)),)), [source])
    assert written == (real.resolve(),)
    assert (tmp_path / "link.py").is_symlink()
    assert real.read_bytes() == "# -*- coding: latin-1 -*-\r\nname = 'ü'\r\n".encode("latin-1")
    assert real.stat().st_mode & 0o777 == 0o750
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.py", "real.py"]


def test_apply_in_place_refuses_a_file_that_has_changed(tmp_path):
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("x = 1\n")
    sources = [read_source(tmp_path, name) for name in ("a.py", "b.py")]
    (tmp_path / "b.py").write_text("x = 1 \n")
    patch = Patch((whole("a.py", "x = 1\n", "y"), whole("b.py", "x = 1\n", "y")))
    with pytest.raises(InputError, match=r"b\.py has changed"):
        apply_in_place(tmp_path, patch, sources)
    assert (tmp_path / "a.py").read_text() == "x = 1\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.py", "b.py"]


def test_apply_in_place_stays_inside(tmp_path):
    outside = tmp_path / "outside.py"
    outside.write_text("x")
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.py").symlink_to(outside)
    with pytest.raises(InputError, match="leads out"):
        apply_in_place(root, Patch((whole("a.py", "x", "y"),)), [Source("a.py", "x")])
    with pytest.raises(PatchError, match="not among"):
        apply_in_place(root, Patch((whole("b.py", "x", "y"),)), [Source("a.py", "x")])
    with pytest.raises(InputError, match="nothing was written"):
        apply_in_place(root, Patch((whole("c.py", "x", "y"),)), [Source("c.py", "x")])
    assert outside.read_text() == "x"


def test_several_files_change_together_or_not_at_all(tmp_path):
    """The second file's folder may not be written to: not even the first file changes."""
    unprivileged = os.getuid() != 0
    (tmp_path / "free").mkdir()
    (tmp_path / "shut").mkdir()
    for folder in ("free", "shut"):
        (tmp_path / folder / "f.py").write_text("old")
    sources = [Source(f"{folder}/f.py", "old") for folder in ("free", "shut")]
    patch = Patch((whole("free/f.py", "old", "new"), whole("shut/f.py", "old", "new")))
    shut = tmp_path / "shut"
    if unprivileged:
        shut.chmod(0o555)
    elif subprocess.run(("chattr", "+i", str(shut)), capture_output=True, check=False).returncode:
        pytest.skip("needs an ordinary user, or a file system with immutable folders")
    try:
        with pytest.raises(InputError, match="nothing was written"):
            apply_in_place(tmp_path, patch, sources)
    finally:
        if unprivileged:
            shut.chmod(0o755)
        else:
            subprocess.run(("chattr", "-i", str(shut)), check=True)
    assert [(tmp_path / folder / "f.py").read_text() for folder in ("free", "shut")] == ["old", "old"]
    assert [p.name for p in (tmp_path / "free").iterdir()] == ["f.py"]


WRITER = """
import itertools, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from repair.edits import Edit, FilePatch, Patch, Span
from repair.sources import read_source
from repair.workspace import apply_in_place
root = Path(sys.argv[1])
print("ready", flush=True)
for letter in itertools.cycle("ab"):
    source = read_source(root, "f.py")
    patch = Patch((FilePatch("f.py", (Edit(Span(0, len(source.text)), letter * 300000),)),))
    apply_in_place(root, patch, [source])
"""


def test_kill_9_never_leaves_half_a_file(tmp_path):
    target = tmp_path / "f.py"
    target.write_text("a" * 300_000)
    for attempt in range(8):
        writer = subprocess.Popen(
            (sys.executable, "-c", WRITER, str(tmp_path), str(REPOSITORY)), stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(0.01 + 0.013 * attempt)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        text = target.read_text()
        assert text in ("a" * 300_000, "b" * 300_000)
