"""Shared by all tests: what not to collect, what was seen on the one Ray cluster that is started."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

collect_ignore_glob = ["e2e/faults/*", "e2e/fixed/*"]
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def on_ray():
    """What each check of `tests/repair/cluster_checks.py` saw; text is the traceback of one that failed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "repair" / "cluster_checks.py")],
        env=environment, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
