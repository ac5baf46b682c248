"""One executor interface: what Ray costs against local processes, what more workers bring, whether a lost node matters.

    python benchmarks/cluster.py [--items 60] [--seconds 0.5] [--rounds 3] [--only overhead|workers|node]

Items are like test runs: each a process of its own, a Python that computes for `--seconds` of CPU time. Prints
(a) the wall seconds of `flow` on a local Ray cluster with 2 CPUs over those on Processes(2), rounds alternated, their
median, start-up apart, and the same of CPU seconds, which say more on a machine that is busy with other things;
(b) items a second with 1, 2 (and 4, where there are as many cores) workers, for computing and for sleeping items;
(c) two Ray nodes, one killed with -9 in mid-run: whether all results are there and equal.
Exit status 1 when (c) is not so.
"""

from __future__ import annotations

import argparse
import os
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ |= {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "PYTHONPATH": str(Path(__file__).resolve().parents[1]),
}

import psutil

from repair.executors import Cluster, Executor, Processes, Serial

COMPUTE = "import time\nwhile time.process_time() < {}: sum(range(1000))"
SLEEP = "import time\ntime.sleep({})"


def run(program: str, number: int) -> tuple[int, int]:
    return number, subprocess.run([sys.executable, "-I", "-S", "-c", program], check=False).returncode


def none(item: object, result: object) -> Iterable[int]:
    del item, result
    return ()


def cpu_seconds() -> float:
    """CPU time of this process and all that it started, Ray's included, those that have ended included."""
    me = psutil.Process()
    total = 0.0
    for process in (me, *me.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])  # user, system, and the same of children that have ended
    return total


@dataclass(frozen=True, slots=True)
class Timed:
    first: float  # wall seconds until every worker has done something
    wall: float  # of the items after that
    cpu: float  # of all processes in that time


def timed(chosen: Executor, function: Callable[[int], Any], items: int, warm: int) -> Timed:
    """The workers of a flow end with it: the items that count come in when `warm` first ones are done."""
    start = time.perf_counter()
    ready = [0.0, 0.0]
    done = [0]

    def more(item: int, result: object) -> Iterable[int]:
        del result
        done[0] += item < 0
        if item < 0 and done[0] == warm:
            ready[:] = time.perf_counter(), cpu_seconds()
            return range(items)
        return ()

    found = [one for one in chosen.flow(function, range(-warm, 0), more) if one.item >= 0]
    end = time.perf_counter()
    assert sorted(one.item for one in found) == list(range(items)), "results are missing"
    return Timed(ready[0] - start, end - ready[0], cpu_seconds() - ready[1])


def quick_below_zero(program: str, number: int) -> tuple[int, int]:
    if number < 0:
        time.sleep(1)  # long enough that every worker takes one of the first
        return number, 0
    return run(program, number)


def overhead(items: int, seconds: float, rounds: int) -> None:
    function = partial(quick_below_zero, COMPUTE.format(seconds))
    walls: list[float] = []
    cpus: list[float] = []
    with_ray = Cluster("local", 2)
    start = time.perf_counter()
    with_ray.connected()
    print(f"ray start-up {time.perf_counter() - start:.1f} s, counted apart")
    for number in range(rounds):
        order = (Processes(2), with_ray) if number % 2 == 0 else (with_ray, Processes(2))
        seen = {type(chosen).__name__: timed(chosen, function, items, 2) for chosen in order}
        walls.append(seen["Cluster"].wall / seen["Processes"].wall)
        cpus.append(seen["Cluster"].cpu / seen["Processes"].cpu)
        words = ", ".join(
            f"{name} {one.wall:.2f} s wall, {one.cpu:.2f} s CPU (first items {one.first:.2f} s)"
            for name, one in seen.items()
        )
        print(f"round {number + 1}: {words}: {walls[-1]:.3f} wall, {cpus[-1]:.3f} CPU", flush=True)
    with_ray.close()
    print(
        f"(a) ray / processes, {items} items of {seconds} s on 2: median {statistics.median(walls):.3f} of wall "
        f"seconds, {statistics.median(cpus):.3f} of CPU seconds"
    )


def workers(items: int, seconds: float) -> None:
    counts = [n for n in (1, 2, 4) if n <= (os.cpu_count() or 1) or n == 2]
    for kind, program in (("computing", COMPUTE), ("sleeping", SLEEP)):
        function = partial(quick_below_zero, program.format(seconds))
        for name in ("processes", "ray"):
            rates: list[float] = []
            for count in counts:
                chosen: Executor = Processes(count) if name == "processes" else Cluster("local", count)
                rates.append(items / timed(chosen, function, items, count).wall)
                if isinstance(chosen, Cluster):
                    chosen.close()
            words = ", ".join(
                f"{n}: {rate:.2f}/s ({rate / rates[0]:.2f}x)" for n, rate in zip(counts, rates, strict=True)
            )
            print(f"(b) {kind} items, {name}: {words}")


def lost_node(items: int, seconds: float) -> bool:
    from ray.cluster_utils import Cluster as Nodes

    place: dict[str, Any] = {"node_ip_address": "127.0.0.1", "object_store_memory": 80 * 1024 * 1024}
    nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, **place})
    try:
        second: Any = nodes.add_node(num_cpus=1, **place)
        chosen = Cluster(nodes.address)
        function = partial(run, COMPUTE.format(seconds))
        flow = chosen.flow(function, range(items), none)
        found = [next(flow) for _ in range(items // 3)]
        raylet = psutil.Process(second.all_processes["raylet"][0].process.pid)
        for process in (*raylet.children(recursive=True), raylet):
            process.kill()
        start = time.perf_counter()
        found += flow
        seconds_after = time.perf_counter() - start
        chosen.close()
    finally:
        nodes.shutdown()
    expected = sorted((one.item, one.result, one.error) for one in Serial().flow(function, range(items), none))
    equal = sorted((one.item, one.result, one.error) for one in found) == expected
    print(
        f"(c) two nodes, one killed after {items // 3} of {items} items: {len(found)} results, "
        f"{'equal' if equal else 'NOT EQUAL'} to Serial's; the rest took {seconds_after:.1f} s on the other"
    )
    return equal


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("overhead", "workers", "node"))
    asked = parser.parse_args()
    if asked.only in (None, "overhead"):
        overhead(asked.items, asked.seconds, asked.rounds)
    if asked.only in (None, "workers"):
        workers(asked.items // 3, asked.seconds)
    return 0 if asked.only not in (None, "node") or lost_node(asked.items // 2, asked.seconds) else 1


if __name__ == "__main__":
    raise SystemExit(main())
