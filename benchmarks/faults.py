"""Repair every shipped fault (tests/e2e/faults) by the command line, and print what came of each.

    python benchmarks/faults.py [--candidates N] [--seconds S] [--model SPEC] [NAME ...]

"right" says whether the patched file has the syntax tree of tests/e2e/fixed. Exit status 0 when at least two
thirds were repaired.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

E2E = Path(__file__).resolve().parents[1] / "tests" / "e2e"
NAMES = tuple(sorted(path.name for path in (E2E / "faults").iterdir() if path.is_dir()))


def repair(name: str, options: list[str]) -> tuple[int, bool, int, float]:
    """Exit status, whether it is right, candidates judged, seconds of the whole command."""
    with tempfile.TemporaryDirectory() as directory:
        project = Path(directory) / name
        shutil.copytree(E2E / "faults" / name, project, ignore=shutil.ignore_patterns("__pycache__"))
        command = [sys.executable, "-m", "serve", "fix", f"{name}.py", "--test", f"python -m pytest -q test_{name}.py"]
        started = time.monotonic()
        done = subprocess.run(
            [*command, "--python", sys.executable, "--apply", "--json", *options],
            cwd=project, capture_output=True, text=True, check=False, env=_environment(),
        )  # fmt: skip
        seconds = time.monotonic() - started
        if done.returncode not in (0, 1):
            print(done.stderr, file=sys.stderr)
        judged = json.loads(done.stdout)["cost"]["candidates"] if done.stdout else 0
        right = _tree(project / f"{name}.py") == _tree(E2E / "fixed" / f"{name}.py")
        return done.returncode, right, judged, seconds


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(E2E.parents[1])}


def _tree(path: Path) -> str:
    return ast.dump(ast.parse(path.read_text(encoding="utf-8")))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--candidates", default="200")
    parser.add_argument("--seconds", default="60")
    parser.add_argument("--model", default=None)
    given = parser.parse_args()
    options = ["--candidates", given.candidates, "--seconds", given.seconds]
    options += ["--model", given.model] if given.model else []
    names = given.names or NAMES
    repaired = right = 0
    print(f"{'fault':12} {'repaired':9} {'right':6} {'judged':>7} {'seconds':>8}")
    for name in names:
        code, same, judged, seconds = repair(name, options)
        repaired += code == 0
        right += same
        print(
            f"{name:12} {'yes' if code == 0 else 'no':9} {'yes' if same else 'no':6} {judged:7} {seconds:8.1f}",
            flush=True,
        )
    print(f"{repaired} of {len(names)} repaired, {right} as in the reference")
    return 0 if 3 * repaired >= 2 * len(names) else 1


if __name__ == "__main__":
    raise SystemExit(main())
