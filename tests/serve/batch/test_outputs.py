"""The whole folder: what is in it, that equal runs write it alike, what an earlier write left."""

import json
import subprocess
from dataclasses import replace

import pytest

from repair.errors import InputError
from repair.git import clone_of
from repair.projects.values import Spent
from serve.batch.branches import Branch
from serve.batch.outputs import write_outputs
from serve.batch.report import read_report
from serve.commands.batch_outputs import Outputs, cache_of
from tests.serve.batch.outcomes import RUN, everything, make_repository, unrepaired


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    root = tmp_path_factory.mktemp("origin") / "repo"
    return everything(root, make_repository(root))


def contents(out):
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


def test_everything_is_written(tmp_path, outcomes):
    write_outputs(tmp_path / "a" / "out", outcomes, run=RUN)
    found = contents(tmp_path / "a" / "out")
    assert [path for path in found if "/" not in path] == [
        ".written", "costs.json", "findings.sarif", "report.html", "report.json", "report.md",
    ]  # fmt: skip
    assert sum(path.startswith("patches/humanize/") for path in found) == 10
    assert sum(path.startswith("pull-requests/humanize/") for path in found) == 18
    assert "patches/hostile/all.patch" in found
    assert not any(path.startswith(("patches/r-", "patches/unrepaired")) for path in found)
    assert {o.name for o in read_report(tmp_path / "a" / "out" / "report.json")} == {o.name for o in outcomes}


def test_equal_runs_leave_equal_files_but_for_costs_and_the_reports_that_show_them(tmp_path, outcomes):
    write_outputs(tmp_path / "a", outcomes, run=RUN)
    write_outputs(tmp_path / "b", [replace(o, spent=Spent(1.0)) for o in reversed(outcomes)], run=RUN)
    a, b = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert a.keys() == b.keys()
    assert {path for path in a if a[path] != b[path]} == {"costs.json", "report.html", "report.md"}


def test_what_an_earlier_write_left_is_removed_and_files_of_others_stay(tmp_path, outcomes):
    write_outputs(tmp_path, outcomes, run=RUN)
    (tmp_path / "patches/humanize/mine.patch").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine")
    before = contents(tmp_path)
    less = [
        replace(o, fixes=o.fixes[1:], combination=None) if o.name == "humanize" else o
        for o in outcomes
        if o.name != "hostile"
    ]
    write_outputs(tmp_path, less, run=RUN)
    gone = before.keys() - contents(tmp_path).keys()
    assert {path for path in gone if "/humanize/" in path} == {
        "patches/humanize/01-ordinal-in-humanize-number-py.patch", "patches/humanize/all.patch",
        "pull-requests/humanize/01.json", "pull-requests/humanize/01.md", "pull-requests/humanize/01.sh",
    }  # fmt: skip
    assert not (tmp_path / "patches/hostile").exists()
    assert (tmp_path / "patches/humanize/mine.patch").read_text() == "mine"
    assert (tmp_path / "notes.txt").exists()


def test_a_listing_cannot_name_files_elsewhere(tmp_path, outcomes):
    (tmp_path / "keep").write_text("x")
    out = tmp_path / "out"
    out.mkdir()
    (out / "report.txt").write_text("x")
    (out / ".written").write_text(f"../keep\npatches/../../keep\n{tmp_path}/keep\nreport.txt\npatches/../report.txt\n")
    write_outputs(out, outcomes[:1], run=RUN)
    assert (tmp_path / "keep").exists()
    assert (out / "report.txt").exists()


def test_passwords_of_addresses_are_left_out(tmp_path):
    outcome = replace(unrepaired(), reason="https://user:secret@example.org/a.git: cannot be fetched")
    write_outputs(tmp_path, (outcome,), run=RUN)
    assert all(b"secret" not in content for content in contents(tmp_path).values())
    assert read_report(tmp_path / "report.json")[0].place == "https://example.org/a.git"


def test_written_branches_are_the_heads(tmp_path, outcomes):
    write_outputs(tmp_path, outcomes, run=RUN, branches={"humanize": (Branch("k1", "emend/mine-2", "c" * 40),)})
    assert json.loads((tmp_path / "pull-requests/humanize/01.json").read_text())["head"] == "emend/mine-2"


@pytest.mark.parametrize("name", ["..", ".", "a/b", "", "a b", "x" * 201])
def test_a_name_that_is_no_file_name_is_refused(tmp_path, outcomes, name):
    with pytest.raises(InputError) as caught:
        write_outputs(tmp_path, (replace(outcomes[0], name=name),), run=RUN)
    assert caught.value.field == "name"
    assert not any(tmp_path.iterdir())


def test_two_of_one_name_are_refused(tmp_path, outcomes):
    with pytest.raises(InputError, match="names two repositories"):
        write_outputs(tmp_path, (outcomes[0], outcomes[0]), run=RUN)


def test_a_folder_that_cannot_be_written_is_said(tmp_path, outcomes):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError) as caught:
        write_outputs(tmp_path / "file", outcomes[:1], run=RUN)
    assert caught.value.field == "out"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_patches_of_an_address_carry_the_date_of_its_commit(tmp_path):
    root = tmp_path / "repo"
    made = next(o for o in everything(root, make_repository(root)) if o.name == "humanize")
    far = replace(made, place="https://git.example.org/far.git")
    outputs = Outputs.of(tmp_path / "out", "", ())
    for dated in (False, True):
        if dated:
            clone = clone_of(far.place, cache_of(tmp_path / "out") / "repositories")
            subprocess.run(["git", "clone", "-q", "--bare", str(root), str(clone)], check=True)
        outputs.write([far])
        patch = next((tmp_path / "out/patches/humanize").glob("01-*.patch")).read_text()
        assert ("Date: Mon, 17 Sep 2001 00:00:00 +0000" not in patch) is dated
