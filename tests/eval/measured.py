"""Measurements as a run gives them, made by code: what the tests of reports and comparisons read."""

from dataclasses import replace

from eval.measurement import Conditions, Measurement, Status, Stop
from eval.report.runs import Run

CONDITIONS = Conditions(model="small", weights="0123456789ab", candidates=60, seconds=6.0, tier="A")
BUGS = ("condition", "operand", "literal")


def diff(before="    return a - b", after="    return a + b"):
    old = "".join(f"-{line}\n" for line in before.split("\n")) if before else ""
    new = "".join(f"+{line}\n" for line in after.split("\n")) if after else ""
    head = "diff --git a/solution.py b/solution.py\n--- a/solution.py\n+++ b/solution.py\n@@ -1,2 +1,2 @@\n"
    return f"{head} def f(a, b):\n{old}{new}"


def failed(name="t", **more):
    """A task of which nothing was found: the fix was in the pool, the candidates ended."""
    row = Measurement(
        name,
        Status.NONE_FOUND,
        correct=False,
        judged=60,
        fault_rank=2,
        function_rank=1,
        wall_seconds=3.0,
        test_runs=64,
        language="python",
        bug_type="condition",
        digest=f"digest of {name}",
        stop=Stop.CANDIDATES,
        proposed=100,
        unreadable=4,
        verdicts={"broken": 5, "unfixed": 50, "regressed": 5},
        confidence=0.4,
        suspects=(7, 2, 3),
        fault_lines=(2,),
        in_pool=True,
        reference_lines=2,
        reference_diff=diff(),
    )
    return replace(row, **more)


def solved(name="t", rank=2, **more):
    row = replace(
        failed(name),
        status=Status.REPAIRED,
        correct=True,
        first_plausible=rank,
        first_correct=rank,
        judged=rank + 24,
        fault_rank=1,
        wall_seconds=1.0,
        stop=Stop.SETTLED,
        verdicts={"plausible": 3, "unfixed": rank + 21},
        plausible_count=3,
        correct_count=2,
        confidence=0.9,
        suspects=(2, 7),
        in_pool=None,
        diff=diff(),
        origin="mutation:swap-operator",
        decided_by="held-out tests",
    )
    return replace(row, **more)


def wrong(name="t", **more):
    return replace(solved(name), correct=False, first_correct=None, diff=diff(after="    return 3"), **more)


def mixed(count, good=0.5):
    """`count` tasks, of which the first share is solved, the rest failed in turn in each way."""
    ways = (
        {},
        {"in_pool": False},
        {"fault_rank": 9},
        {"stop": Stop.SECONDS},
        {"unreadable": 90},
    )
    rows = []
    for n in range(count):
        bug = BUGS[n % len(BUGS)]
        if n < count * good:
            rows.append(solved(f"t{n}", rank=1 + n % 40, bug_type=bug))
        elif n % 7 == 0:
            rows.append(wrong(f"t{n}", bug_type=bug))
        else:
            rows.append(failed(f"t{n}", bug_type=bug, **ways[n % len(ways)]))
    return tuple(rows)


def run_of(*rows, suite="suite", **conditions):
    return Run(suite, "f" * 64, replace(CONDITIONS, **conditions), tuple(rows))
