"""Results on disk: kept whatever happens, and never mixed up."""

import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from eval.measurement import Conditions, Measurement, NoFault, Status
from eval.results import open_results, read_results, read_rows
from repair.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
CONDITIONS = Conditions(candidates=50, tier="A")
ROWS = (
    Measurement(
        "right", Status.REPAIRED, correct=True, first_plausible=1, digest="d1", suspects=(3, 1), fault_lines=(3,),
        no_fault=NoFault(0.25, 0.5, False, True), verdicts={"plausible": 1, "unfixed": 4}, groups={"length": "short"},
    ),
    Measurement("none", Status.NONE_FOUND, correct=False, digest="d2", in_pool=False),
    Measurement("bad row", Status.LEFT_OUT, reason="the buggy code passes the tests", digest="d3"),
)  # fmt: skip


def written(path, *rows, conditions=CONDITIONS):
    with open_results(path, conditions) as results:
        for row in rows:
            results.add("suite", row)
    return path


def test_results_are_read_again(tmp_path):
    path = written(tmp_path / "out.jsonl", *ROWS)
    assert read_results(path, CONDITIONS) == {("suite", row.digest): row for row in ROWS}
    assert [r.conditions for r in read_rows(path)] == [CONDITIONS] * 3


def test_what_could_not_be_scored_is_tried_again(tmp_path):
    unscored = Measurement("broken", Status.UNSCORED, reason="the model server does not answer", digest="d9")
    path = written(tmp_path / "out.jsonl", ROWS[0], unscored)
    assert set(read_results(path, CONDITIONS)) == {("suite", "d1")}
    written(path, replace(unscored, status=Status.NONE_FOUND))
    assert read_results(path, CONDITIONS)["suite", "d9"].status is Status.NONE_FOUND


def test_a_torn_last_line_is_measured_again(tmp_path):
    path = written(tmp_path / "out.jsonl", *ROWS[:2])
    path.write_bytes(path.read_bytes()[:-20])
    assert set(read_results(path, CONDITIONS)) == {("suite", "d1")}
    written(path, ROWS[1])
    assert set(read_results(path, CONDITIONS)) == {("suite", "d1"), ("suite", "d2")}


@pytest.mark.parametrize("change", [{"candidates": 60}, {"location": "given"}, {"weights": "0123456789ab"}])
def test_results_of_other_settings_are_not_mixed(tmp_path, change):
    path = written(tmp_path / "out.jsonl", ROWS[0])
    name = next(iter(change))
    with pytest.raises(InputError, match=f"measured with {name} .*, now it is {change[name]!r}; name another file"):
        read_results(path, replace(CONDITIONS, **change))


def test_results_of_another_sandbox_tier_count(tmp_path):
    path = written(tmp_path / "out.jsonl", ROWS[0])
    assert set(read_results(path, replace(CONDITIONS, tier="B"))) == {("suite", "d1")}


@pytest.mark.parametrize(
    "text", ["hello\n", "[]\n", '{"suite": "a"}\n', '{"suite": "a", "id": "x", "status": "odd", "conditions": {}}\n']
)
def test_another_file_is_not_taken_for_results(tmp_path, text):
    path = tmp_path / "out.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match="line 1 is no result"):
        read_results(path, CONDITIONS)


def test_a_full_disk_keeps_what_is_finished(tmp_path):
    """A file that may not grow any further (RLIMIT_FSIZE, with the signal ignored) fails like a full disk."""
    script = """
import resource, signal, sys
from pathlib import Path
from tests_full import ROWS, CONDITIONS, written
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
written(path, ROWS[0])
size = path.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, size + 100))
written(path, ROWS[1])
"""
    (tmp_path / "tests_full.py").write_text(Path(__file__).read_text().replace("parents[2]", "parents[0]"))
    path = tmp_path / "out.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False, timeout=300,
        env={"PYTHONPATH": f"{ROOT}:{tmp_path}"},
    )  # fmt: skip
    assert done.returncode == 1
    assert "BoundaryError: cannot write" in done.stderr
    assert "make room, then the same command goes on; finished rows are kept" in done.stderr
    assert set(read_results(path, CONDITIONS)) == {("suite", "d1")}
    written(path, ROWS[1])
    assert set(read_results(path, CONDITIONS)) == {("suite", "d1"), ("suite", "d2")}
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY, "only the child was limited"


def test_a_place_that_cannot_be_written_is_said_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match="cannot be written"),
        open_results(tmp_path / "file" / "out.jsonl", CONDITIONS),
    ):
        pass
