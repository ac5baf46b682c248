"""How well the differential check tells overfitting: its verdicts against those of held-out tests.

    python benchmarks/differential.py SUITE.jsonl [--patches N] [--limit N] [--seed N] [--show N]

Of each row that has a reference and held-out tests, faults injected into the reference that still pass `tests`
stand for plausible patches (with the reference itself). Prints the confusion table, the shares, what a check
costs, and --show of the false alarms (held-out tests pass, the check says that the patch differs).
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from eval.differential import Comparison, compare, learn
from eval.suites.rows import LANGUAGES, Case, read_suite
from repair.edits import FilePatch
from repair.mutate import faults
from repair.oracles.programs import Programs
from repair.oracles.scripts import run_script, warm_programs
from repair.sandbox import Limits, Tier
from repair.sandboxes.select import find_sandbox
from repair.sources import Source

LIMITS = Limits(wall_seconds=10.0, cpu_seconds=2.0)
TRIED = 25  # mutants run against the tests of one row


def plausible(case: Case, programs: Programs, count: int, seed: int) -> Iterator[str]:
    """The reference and at most `count` mutants of it that pass the tests."""
    assert case.fixed_code is not None
    yield case.fixed_code
    source = Source(LANGUAGES[case.language], case.fixed_code, case.language)
    mutations = [m for m in faults(source) if m.bug_class != "syntax"]
    random.Random(seed).shuffle(mutations)
    found = 0
    for mutation in mutations[:TRIED]:
        if found >= count:
            return
        code = FilePatch(source.path, (mutation.edit,)).apply(source.text)
        if run_script(programs, case.language, code, case.tests, LIMITS).passed:
            yield code
            found += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", type=Path)
    parser.add_argument("--patches", type=int, default=6)
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=5)
    asked = parser.parse_args()
    table: Counter[tuple[bool | None, bool | None]] = Counter()
    alarms: list[tuple[str, str, Comparison]] = []
    missed: list[tuple[str, str, Comparison]] = []
    unfit: Counter[str] = Counter()
    learning: list[float] = []
    comparing: list[float] = []
    sandbox = find_sandbox(Tier.B)
    for case in read_suite(asked.suite).cases[: asked.limit]:
        if case.fixed_code is None:
            continue
        with warm_programs(sandbox, case.language) as programs:
            begun = time.monotonic()
            reference = learn(case, programs, seed=asked.seed)
            learning.append(time.monotonic() - begun)
            if reference.unfit:
                unfit[f"{reference.unfit} ({case.id})"] += 1
            for code in plausible(case, programs, asked.patches, asked.seed):
                begun = time.monotonic()
                found = compare(reference, code, programs)
                comparing.append(time.monotonic() - begun)
                held_out: bool | None = None
                if case.held_out_tests is not None:
                    held_out = run_script(programs, case.language, code, case.held_out_tests).passed
                table[held_out, found.agrees] += 1
                if found.agrees is False and (held_out or code == case.fixed_code):
                    alarms.append((case.id, code, found))
                if held_out is False and found.agrees:
                    missed.append((case.id, code, found))
    _print(table, unfit, learning, comparing)
    for name, several in (("false alarms", alarms), ("missed", missed)):
        print(f"\n{len(several)} {name}, by row: {dict(Counter(row for row, _, _ in several))}")
        for row, code, found in random.Random(0).sample(several, min(asked.show, len(several))):
            print(f"--- {row}: {found.witness or found.reason}\n{code}")


def _print(
    table: Counter[tuple[bool | None, bool | None]], unfit: Counter[str], learning: list[float], comparing: list[float]
) -> None:
    print(f"{'held-out tests':<16}{'differs':>10}{'agrees':>10}{'unknown':>10}")
    for held_out, name in ((False, "fail"), (True, "pass"), (None, "none")):
        print(f"{name:<16}" + "".join(f"{table[held_out, agrees]:>10}" for agrees in (False, True, None)))
    told, right = table[False, False] + table[True, False], table[False, False]
    failing = sum(table[False, agrees] for agrees in (False, True, None))
    print(f"precision {right}/{told}, recall {right}/{failing}")
    for name, seconds in (("learning", learning), ("comparing", comparing)):
        median, mean = statistics.median(seconds), statistics.mean(seconds)
        print(f"{name}: median {median:.2f} s, mean {mean:.2f} s, max {max(seconds):.1f} s")
    for reason, count in unfit.items():
        print(f"unknown: {reason} x{count}")


if __name__ == "__main__":
    main()
