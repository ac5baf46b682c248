"""What of a project is copied, and what is refused."""

import io
import os
import socket
import tarfile

import pytest

from repair.errors import SandboxError
from repair.sandboxes.packing import Entry, checked_parts, collect, lay_down, to_tar

MIB = 1024 * 1024


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "project"
    (root / "src" / "__pycache__").mkdir(parents=True)
    (root / "src" / "a.py").write_bytes(b"a\r\n")
    (root / "src" / "__pycache__" / "a.pyc").write_bytes(b"stale")
    (root / "tool").write_bytes(b"#!/bin/sh\n")
    (root / "tool").chmod(0o755)
    (root / "empty").mkdir()
    return root


def test_files_modes_and_directories_are_kept(project):
    found = {entry.path: entry for entry in collect(project, {}, MIB)}
    assert set(found) == {"src", "src/a.py", "tool", "empty"}
    assert found["src/a.py"] == Entry("src/a.py", 0o644, b"a\r\n")
    assert found["tool"].mode == 0o755
    assert found["empty"].content is None


def test_version_control_and_virtual_environments_are_left_out(project):
    (project / ".git").mkdir()
    (project / ".git" / "config").write_bytes(b"token")
    (project / "env").mkdir()
    (project / "env" / "pyvenv.cfg").write_bytes(b"home = /usr/bin\n")
    assert {entry.path.split("/")[0] for entry in collect(project, {}, MIB)} == {"src", "tool", "empty"}


def test_links_inside_are_links_and_links_outside_are_left_out(project, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    (project / "inside").symlink_to("src/a.py")
    (project / "absolute").symlink_to(project / "tool")
    (project / "outside").symlink_to("../secret")
    (project / "far").symlink_to("/etc/passwd")
    (project / "chain").symlink_to("outside")
    (project / "tree").symlink_to(tmp_path)
    found = {entry.path: entry.link for entry in collect(project, {}, MIB) if entry.link is not None}
    assert found == {"inside": "src/a.py"}


def test_a_link_to_a_neighbour_with_the_same_beginning_leads_outside(project, tmp_path):
    (tmp_path / "project-two").mkdir()
    (project / "two").symlink_to("../project-two")
    assert "two" not in {entry.path for entry in collect(project, {}, MIB)}


def test_special_files_are_left_out_and_not_waited_for(project):
    os.mkfifo(project / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(project / "socket"))
        assert {"pipe", "socket"}.isdisjoint(entry.path for entry in collect(project, {}, MIB))


def test_a_project_that_is_too_large_is_refused_with_advice(project):
    (project / "big").write_bytes(bytes(2 * MIB))
    with pytest.raises(SandboxError, match=r"more than 1 MiB.*raise the disk limit"):
        collect(project, {}, MIB)


def test_a_project_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SandboxError, match="cannot copy"):
        collect(tmp_path / "nowhere", {}, MIB)


def test_files_replace_what_stood_there(project):
    (project / "inside").symlink_to("src/a.py")
    files = {"src/a.py": b"new", "inside": b"own", "deep/er/b.py": b"b", "tool": b"#!/bin/true"}
    found = {entry.path: entry for entry in collect(project, files, MIB)}
    assert found["src/a.py"].content == b"new"
    assert found["inside"] == Entry("inside", 0o644, b"own")
    assert found["deep"].content is None
    assert found["tool"].mode == 0o755


@pytest.mark.parametrize("path", ["/a", "../a", "a/../../b", "", ".", "a\0b"])
def test_paths_that_leave_the_project_are_refused(path):
    with pytest.raises(ValueError, match="no path inside"):
        checked_parts(path)


@pytest.mark.parametrize("path", ["inside/b.py", "tool/b.py"])
def test_a_path_through_a_link_or_a_file_is_refused(project, path):
    (project / "inside").symlink_to("src")
    with pytest.raises(ValueError, match="no directory"):
        collect(project, {path: b""}, MIB)


def test_the_archive_and_the_directory_hold_the_same(project, tmp_path):
    (project / "inside").symlink_to("src/a.py")
    entries = collect(project, {}, MIB)
    with tarfile.open(fileobj=io.BytesIO(to_tar(entries))) as archive:
        members = {member.name: member for member in archive}
        assert (members["tool"].mode, members["inside"].linkname) == (0o755, "src/a.py")
        assert {member.uid for member in members.values()} == {0}
    out = tmp_path / "out"
    out.mkdir()
    lay_down(entries, out)
    assert set(members) == {str(path.relative_to(out)) for path in out.rglob("*")}
    assert (out / "inside").read_bytes() == b"a\r\n"
    assert os.access(out / "tool", os.X_OK)
