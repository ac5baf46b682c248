"""The measuring command of injection runs, restores every file and finds the classes that it injected."""

import heapq
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_mutant_is_undone_by_its_hunks():
    command = [sys.executable, "benchmarks/injection.py", "--each", "4", heapq.__file__, textwrap.__file__]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode in (0, 1), done.stderr  # 1: too few mutants for the mix, or a busy machine
    assert "not restored 0 of" in done.stdout
    found = re.search(r"agrees with the operator's in ([\d.]+) % of (\d+)", done.stdout)
    assert found is not None and float(found[1]) >= 90 and int(found[2]) > 50


def test_nothing_to_read_is_said(tmp_path):
    empty = tmp_path / "empty.py"
    empty.write_text("x = 1\n", "utf-8")
    done = subprocess.run(
        [sys.executable, "benchmarks/injection.py", str(empty)],
        cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2
    assert "no readable Python files" in done.stderr
