"""Judged candidates per second: Emend's warm, sandboxed judging against a fresh `python -m pytest` for each candidate.

    python benchmarks/judging.py [SUITE.jsonl] [--candidates 500] [--jobs 2] [--each 25]

Every Python row of the suite becomes a project (solution.py, test_solution.py), its candidates the mutations of the
buggy code that the search would try first, with the reference among them. Both sides judge the same candidates of one
row after the other, in the same processes, with `--jobs` rows at a time; the ratio is of the sums of wall seconds.
Prints the ratio and whether all verdicts are equal; exit status 1 when they are not.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from eval.correctness import source_of
from eval.suites.rows import Case, read_suite
from repair.candidates import Candidate
from repair.edits import FilePatch, Patch, patch_between
from repair.languages import parses
from repair.mutate import repairs
from repair.oracles.tests import TestOracle
from repair.sandbox import Tier
from repair.sandboxes.select import find_sandbox
from repair.verdicts import Verdict

SUITE = Path(__file__).resolve().parents[1] / "eval/suites/emend_python.jsonl"
TEST = "test_solution.py"
COMMAND = ("-m", "pytest", "-q", "-p", "no:cacheprovider", TEST)
FRESH_SECONDS = 20.0  # a fresh run gets what a hanging candidate gets here, roughly


@dataclass(frozen=True, slots=True)
class Seen:
    """Verdicts of one row's candidates on both sides (None: Emend could not decide), with the seconds of each side."""

    id: str
    warm: tuple[bool | None, ...]
    fresh: tuple[bool, ...]
    warm_seconds: float
    fresh_seconds: float


def candidates(case: Case, most: int) -> list[Candidate]:
    source = source_of(case, case.buggy_code)
    found = [Candidate(Patch((FilePatch(source.path, (m.edit,)),)), m.operator) for m in repairs(source)]
    step = max(1, len(found) // most)
    chosen = [c for c in found[::step] if not parses(source.with_text(text_of(case, c)))]
    reference = patch_between({source.path: source.text}, {source.path: case.fixed_code or source.text})
    return [Candidate(reference, "reference"), *chosen][:most]


def text_of(case: Case, candidate: Candidate) -> str:
    source = source_of(case, case.buggy_code)
    return candidate.patch.apply({source.path: source.text})[source.path]


def test_file(case: Case) -> str:
    """The row's assertions as one test that sees everything that the program defines."""
    lines = "".join(f"    {line}\n" for line in case.tests.split("\n"))
    names = "{name: value for name, value in vars(solution).items() if not name.startswith('__')}"
    return f"import solution\n\nglobals().update({names})\n\n\ndef test_all():\n{lines}"


def both(case: Case, *, most: int) -> Seen:
    chosen = candidates(case, most)
    with tempfile.TemporaryDirectory(prefix="judging-") as place:
        root = Path(place)
        (root / TEST).write_text(test_file(case), encoding="utf-8")
        (root / "solution.py").write_text(case.buggy_code, encoding="utf-8")
        started = time.monotonic()
        warm = judged_warm(case, root, chosen)
        between = time.monotonic()
        fresh = tuple(judged_fresh(root, text_of(case, c)) for c in chosen)
        return Seen(case.id, warm, fresh, between - started, time.monotonic() - between)


def judged_warm(case: Case, root: Path, chosen: list[Candidate]) -> tuple[bool | None, ...]:
    """With the sandbox, the baseline's two runs and its coverage: all that a repair pays before it judges."""
    source = source_of(case, case.buggy_code)
    command = (sys.executable, *COMMAND)
    oracle = TestOracle(root, (source,), find_sandbox(Tier.B), command=command, python=Path(sys.executable))
    with oracle.open() as bench:
        bench.baseline()
        verdicts = [bench.judge(candidate).verdict for candidate in chosen]
    return tuple(None if v is Verdict.UNDECIDED else v is Verdict.PLAUSIBLE for v in verdicts)


def judged_fresh(root: Path, code: str) -> bool:
    (root / "solution.py").write_text(code, encoding="utf-8")
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}  # else the second of two quick writes may not count
    try:
        done = subprocess.run(
            [sys.executable, *COMMAND], cwd=root, capture_output=True, check=False, timeout=FRESH_SECONDS,
            env=environment,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("suite", type=Path, nargs="?", default=SUITE)
    parser.add_argument("--candidates", type=int, default=500)
    parser.add_argument("--each", type=int, default=25, help="candidates of a row at most")
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    cases = [case for case in read_suite(asked.suite).cases if case.language == "python" and case.fixed_code]
    rows: list[Seen] = []
    with ProcessPoolExecutor(asked.jobs) as pool:
        wanted = islice(cases, -(-asked.candidates // asked.each))
        for seen in pool.map(partial(both, most=asked.each), wanted):
            rows.append(seen)
            print(f"{seen.id}: {len(seen.warm)} candidates, {seen.fresh_seconds / seen.warm_seconds:.1f}x", flush=True)
    total = sum(len(row.warm) for row in rows)
    different = [
        (row.id, n) for row in rows for n, (a, b) in enumerate(zip(row.warm, row.fresh, strict=True)) if a != b
    ]
    warm, fresh = sum(row.warm_seconds for row in rows), sum(row.fresh_seconds for row in rows)
    print(f"{total} candidates of {len(rows)} rows, {sum(map(sum, (r.fresh for r in rows)))} of them pass")
    print(f"a second and process: warm {total / warm:.1f}, fresh {total / fresh:.1f}; ratio {fresh / warm:.2f}")
    if not all(row.fresh[0] for row in rows):
        print("a reference does not pass: nothing is shown")
        return 1
    print("verdicts: all equal" if not different else f"verdicts differ: {different}")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
