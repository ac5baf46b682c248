"""How many results a second the store of a batch run takes: an item's start and finish, as its coordinator writes.

    python benchmarks/batch_store.py [--results 500] [--fill] [URL ...]     # default: SQLite in a temporary folder

A result has a diagnosis of 20 failing tests and 30 suspected places, about what a small repository gives. With --fill
the figure goes into measured/batch_costs.json under the kind of the database.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from scale import COSTS

from repair.projects.values import Diagnosis, Fault, Order, Ranked
from serve.batch.items import Ended, ItemState, Kind, Ref, ended_text
from serve.batch.owners import Owner
from serve.batch.store import Row, SqlRunStore


def result() -> Ended:
    """What a worker answers for one repository."""
    tests = tuple(f"tests/test_module.py::TestThings::test_number_{n}" for n in range(20))
    places = tuple(Ranked(f"package/module_{n % 5}.py", 1 / 30, n, n, f"function_{n}") for n in range(30))
    fault = Fault("f0", "AssertionError: assert 1 == 2", tests, (), places[:5], places[:10], places)
    return Ended(Diagnosis("0" * 40, "main", "python", "python -m pytest -q", "pytest", "venv", 1000, 980, tests, (),
                           (fault,)))  # fmt: skip


def measured(url: str, count: int) -> tuple[float, int]:
    """Results a second, and bytes of one."""
    store, owner, run, ended = SqlRunStore.open(url), Owner.here(), f"benchmark-{time.time_ns()}", result()
    try:
        store.begin(run, "{}", tuple(Order(f"r{n}", f"/r{n}") for n in range(count)), owner)
        began = time.monotonic()
        for number in range(count):
            ref = Ref(f"r{number}", Kind.DIAGNOSE)
            store.start(run, owner, (ref,))
            store.finish(run, owner, Row(ref, ItemState.DONE, 1, ended), (Ref(ref.name, Kind.MEND, "f0"),))
        seconds = time.monotonic() - began
        store.end(run, owner, finished=True)
    finally:
        store.close()
    return count / seconds, len(ended_text(ended))


def main() -> int:
    """Measure each database."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("urls", nargs="*")
    parser.add_argument("--results", type=int, default=500)
    parser.add_argument("--fill", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for url in given.urls or [f"sqlite:///{folder}/run.db"]:
            rate, size = measured(url, given.results)
            kind = url.partition(":")[0].partition("+")[0]
            print(f"{kind}: {rate:.0f} results/s of {size} bytes")
            if given.fill:
                costs = json.loads(COSTS.read_text("utf-8"))
                costs["store"][kind] = round(rate)
                COSTS.write_text(json.dumps(costs, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
