"""A real editor: headless Neovim runs the tests, shows the suspect, applies the repair, undoes it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serve.lsp.editor import REPOSITORY
from tests.serve.lsp.test_server import CODE, TEST

SCRIPT = Path(__file__).with_name("neovim.lua")


@pytest.mark.skipif(shutil.which("nvim") is None, reason="there is no nvim; `apt-get install neovim` gives one")
def test_neovim_shows_the_suspect_and_applies_the_repair(tmp_path: Path):
    (tmp_path / "ranges.py").write_text(CODE)
    (tmp_path / "test_ranges.py").write_text(TEST)
    names = {"ROOT": tmp_path, "PYTHON": sys.executable, "REPOSITORY": REPOSITORY, "XDG_STATE_HOME": tmp_path / "state"}
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **{name: str(value) for name, value in names.items()}}
    command = ["nvim", "--headless", "-u", "NONE", "-i", "NONE", "-c", f"luafile {SCRIPT}", "-c", "cquit 3"]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=300, check=False)
    said = tmp_path / "said.txt"
    assert said.exists(), run.stderr.decode()
    assert said.read_text().splitlines() == [
        "line=3",
        "title=Repair with Emend (tests passed): return min(value, high)",
        "after=    return min(value, high)",
        "undone=    return max(value, high)",
    ]
    tests = subprocess.run([sys.executable, "-m", "pytest", "-q"], cwd=tmp_path, capture_output=True, check=False)
    assert tests.returncode == 0, tests.stdout
