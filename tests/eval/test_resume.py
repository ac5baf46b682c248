"""Runs that are killed: what was finished stays, the same command ends where an undisturbed run ends."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from eval.measurement import Conditions
from eval.results import read_rows
from serve.cli import app

ROOT = Path(__file__).resolve().parents[2]
TIMES = ("wall_seconds", "cpu_seconds")
CASES = 4


def row(n):
    fixed = f"def fee{n}(days):\n    sum = {n}\n    for i in range(days):\n        sum += i * {n + 2}\n    return sum\n"
    slow = "import time\ntime.sleep(0.05)\n" if n == CASES - 1 else ""  # so that the end is not missed
    tests = slow + "".join(f"assert fee{n}({d}) == {n + (n + 2) * d * (d - 1) // 2}\n" for d in (0, 1, 3))
    return {
        "id": f"fee-{n}", "language": "python", "fixed_code": fixed, "tests": tests, "bug_type": "operator",
        "buggy_code": fixed.replace("+= i", "+= i +" if n % 2 else "-= i"),
    }  # fmt: skip


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    path = tmp_path_factory.mktemp("suite") / "fees.jsonl"
    path.write_text("".join(json.dumps(row(n)) + "\n" for n in range(CASES)))
    return path


def words(suite, out, *more):
    base = ("eval", "run", str(suite), "-o", str(out), "--model", "none", "--candidates", "25")
    return [*base, "--sandbox-minimum", "C", *more]


def run(suite, out):
    """To its end, in this process."""
    assert CliRunner().invoke(app, words(suite, out), catch_exceptions=False).exit_code == 0


def started(suite, out, *more):
    """A process that fails, with its workers, where it imports torch: there is no model."""
    (suite.parent / "torch.py").write_text("raise AssertionError('torch is imported')\n")
    environment = {**os.environ, "PYTHONPATH": f"{suite.parent}{os.pathsep}{ROOT}"}
    return subprocess.Popen(
        [sys.executable, "-m", "serve", *words(suite, out, *more)], stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env=environment, start_new_session=True,
    )  # fmt: skip


def rows(path):
    return path.read_text().count("\n") if path.exists() else 0


def wait_for(condition, process):
    deadline = time.monotonic() + 250
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)


def figures(path):
    """What was measured, without times and the sandbox's tier (a busy machine may fail a canary at one start)."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        del line["conditions"]["tier"]
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]


@pytest.fixture(scope="module")
def undisturbed(suite):
    out = suite.parent / "undisturbed.jsonl"
    run(suite, out)
    return out


def test_two_runs_give_the_same_figures(suite, undisturbed):
    again = suite.parent / "again.jsonl"
    assert started(suite, again, "--jobs", "2", "--limit", "2").wait(timeout=300) == 0
    assert figures(again) == figures(undisturbed)[:2]
    assert rows(again) == 2
    assert rows(undisturbed) == CASES


def test_killed_three_times_it_ends_the_same(suite, undisturbed, tmp_path):
    out = tmp_path / "killed.jsonl"
    kills = 0
    while kills < 3:
        before = rows(out)
        process = started(suite, out)
        wait_for(lambda seen=before: rows(out) > seen, process)
        assert process.poll() is None, "it must still run when it is killed"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
        assert rows(out) < CASES
    run(suite, out)
    assert figures(out) == figures(undisturbed)
    assert {r.conditions.candidates for r in read_rows(out)} == {25}
    assert Conditions().candidates != 25


def test_a_lost_worker_costs_nothing(suite, undisturbed, tmp_path):
    out = tmp_path / "lost.jsonl"
    process = started(suite, out, "--jobs", "2")

    def worker():
        found = [c for c in psutil.Process(process.pid).children() if "spawn_main" in " ".join(c.cmdline())]
        return found[0] if found else None

    wait_for(lambda: rows(out) >= CASES - 1, process)
    lost = worker()
    assert lost is not None
    lost.kill()
    assert process.wait(timeout=300) == 0
    assert figures(out) == figures(undisturbed)
