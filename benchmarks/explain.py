"""What explaining a 40-line function costs, by the embedded model: `python benchmarks/explain.py`.

Prints seconds (median, 95th percentile) of ROUNDS explanations, the seconds of loading, the size of one as JSON, and
how much the process grew over them (resident set, after the first ten). Exits with 1 above 5 s (median) or 32 MiB.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import psutil

from repair.explain.codec import explanation_json
from repair.explain.explain import Wanted, explain
from repair.explain.glass import open_glass
from repair.explain.values import Part, Subject
from repair.models.select import load_model
from repair.views import Hunk, View

SECONDS, GROWTH = 5.0, 32.0
WARM = 10


def subject(number: int) -> Subject:
    """A function of 40 lines with one fault; no two are alike, so that nothing is remembered."""
    lines = [f"def total{number}(orders, rates, limit=None):", "    totals = {}"]
    for n in range(36):
        lines.append(f"    value_{n} = orders[{n}] * rates[{(n + number) % 40}] + value_{max(n - 1, 0)}")
    lines += ["    best = sorted(totals, key=totals.get)", "    return best[:limit]"]
    view = View(
        "a.py", "python", 1, tuple(lines), "AssertionError: assert ['b', 'a'] == ['a', 'b']", (39,),
        "assert total([1, 2], {}, limit=1) == ['a', 'b']", ("import os", "from decimal import Decimal"),
    )  # fmt: skip
    return Subject(view, (Hunk(39, 39, "    best = sorted(totals, key=totals.get, reverse=True)"),))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--parts", nargs="*", choices=[p.value for p in Part], help="default: those of `explain`")
    given = parser.parse_args()
    wanted = Wanted() if given.parts is None else Wanted(parts=frozenset(Part(p) for p in given.parts))
    began = time.perf_counter()
    model, glass = load_model(), open_glass()
    assert model is not None
    print(f"loading {time.perf_counter() - began:.2f} s")
    process, start, seconds, size = psutil.Process(), 0.0, list[float](), 0
    for number in range(given.rounds):
        began = time.perf_counter()
        found = explain(subject(number), model=model, glass=glass, wanted=wanted)
        seconds.append(time.perf_counter() - began)
        size = max(size, len(json.dumps(explanation_json(found), allow_nan=False)))
        if number < WARM:
            start = process.memory_info().rss / 2**20
            if not number:
                print("  ".join(f"{stage.name} {stage.seconds:.2f} s" for stage in found.stages))
                print(*(f"{part.value}: {why}" for part, why in found.unavailable), sep="\n")
    ordered = sorted(seconds)
    median, high = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.95)]
    grown = process.memory_info().rss / 2**20 - start
    print(f"{given.rounds} explanations: median {median:.2f} s, p95 {high:.2f} s, JSON up to {size / 1e3:.0f} kB")
    print(f"resident set {start:.0f} MiB after {WARM}, {grown:+.1f} MiB at the end")
    return int(median > SECONDS or grown > GROWTH)


if __name__ == "__main__":
    sys.exit(main())
