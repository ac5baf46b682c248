"""Load on loopback: many clients at once against one at a time, in one run of one server.

    python benchmarks/load.py [--seconds 120] [--clients 50] [--workers 8] [--model none]

Every request is another program with a name of its own, so that an answer to somebody else's question is seen. Prints
requests lost, wrong pairings, throughput alone and together, /healthz while under load, and the memory of all
processes. Figures depend on the machine: ratios are what to compare.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[1]
# One-line faults of several kinds; NAME keeps programs and their answers apart.
PROGRAMS = (
    (
        "def NAME_mean(values):\n    total = 0\n    for value in values:\n        total += value\n"
        "    return total / (len(values) + 1)\n",
        'File "NAME.py", line 5, in NAME_mean\nAssertionError: assert 1.5 == 2',
    ),
    (
        "def NAME_last(items, default=None):\n    if not items:\n        return default\n"
        "    return items[len(items)]\n",
        'Traceback (most recent call last):\n  File "NAME.py", line 4, in NAME_last\n    return items[len(items)]\n'
        "IndexError: list index out of range",
    ),
    (
        "def NAME_count(words):\n    seen = {}\n    for word in words:\n        seen[word] = seen[word] + 1\n"
        "    return seen\n\n\ndef NAME_top(words):\n    counts = NAME_count(words)\n"
        "    return max(counts, key=counts.get)\n",
        'Traceback (most recent call last):\n  File "NAME.py", line 4, in NAME_count\n'
        "    seen[word] = seen[word] + 1\nKeyError: 'a'",
    ),
    (
        "class NAME_Stack:\n    def __init__(self):\n        self.items = []\n\n    def push(self, item):\n"
        "        self.items.append(item)\n\n    def pop(self):\n        return self.item.pop()\n",
        'Traceback (most recent call last):\n  File "NAME.py", line 9, in pop\n    return self.item.pop()\n'
        "AttributeError: 'NAME_Stack' object has no attribute 'item'",
    ),
)


@dataclass(slots=True)
class Seen:
    """What the clients saw."""

    answered: int = 0
    lost: list[str] = field(default_factory=list)
    mixed: int = 0
    seconds: list[float] = field(default_factory=list)


def body(number: int) -> dict[str, object]:
    """The request of this number, unlike all others."""
    text, error = (part.replace("NAME", f"n{number}x") for part in PROGRAMS[number % len(PROGRAMS)])
    return {"files": [{"path": f"n{number}x.py", "text": text}], "error": error}


async def ask(client: httpx.AsyncClient, number: int, seen: Seen) -> None:
    """One request, and whether its answer is its own."""
    started = time.perf_counter()
    try:
        answer = await client.post("/v1/repairs", json=body(number))
    except httpx.HTTPError as error:
        seen.lost.append(repr(error))
        return
    if answer.status_code != 200:
        seen.lost.append(f"{answer.status_code} {answer.text[:200]}")
        return
    found = answer.json()
    paths = {fault["path"] for fault in found["fault"]} | {
        edit["path"] for p in found["patches"] for edit in p["edits"]
    }
    names = set(re.findall(r"\bn\d+x", json.dumps(found)))
    seen.mixed += paths != {f"n{number}x.py"} or names != {f"n{number}x"} or not found["patches"]
    seen.answered += 1
    seen.seconds.append(time.perf_counter() - started)


async def clients(url: str, count: int, seconds: float, first: int) -> tuple[Seen, float]:
    """`count` clients that ask one request after another; what they saw, and the seconds it took."""
    seen, numbers = Seen(), iter(range(first, 10**9))
    started = time.perf_counter()
    async with httpx.AsyncClient(base_url=url, timeout=300, limits=httpx.Limits(max_connections=count)) as client:

        async def one() -> None:
            while time.perf_counter() - started < seconds:
                await ask(client, next(numbers), seen)

        await asyncio.gather(*(one() for _ in range(count)))
    return seen, time.perf_counter() - started


def health(url: str, seconds: float) -> list[float]:
    """Seconds of /healthz, ten times a second, from a process of its own: the clients keep this one busy."""
    found: list[float] = []
    end = time.monotonic() + seconds
    with httpx.Client(base_url=url, timeout=30) as client:
        while time.monotonic() < end:
            started = time.perf_counter()
            assert client.get("/healthz").status_code == 200
            found.append(time.perf_counter() - started)
            time.sleep(0.1)
    return found


async def memory(pid: int, stop: asyncio.Event) -> list[float]:
    """MiB of the server and all its processes (proportional set size), once every two seconds."""
    found: list[float] = []
    while not stop.is_set():
        found.append(await asyncio.to_thread(_memory, pid))
        await asyncio.sleep(2)
    return found


def _memory(pid: int) -> float:
    total = 0
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total / 2**20


async def measure(url: str, pid: int, arguments: argparse.Namespace) -> bool:
    """The whole measurement; True when nothing was lost or mixed."""
    await clients(url, 2, 5, 10**7)  # warm
    alone, alone_seconds = await clients(url, 1, arguments.alone, 10**6)
    stop = asyncio.Event()
    with ProcessPoolExecutor(1) as apart:
        healthy_later = asyncio.get_running_loop().run_in_executor(apart, health, url, arguments.seconds)
        watching = asyncio.create_task(memory(pid, stop))
        together, seconds = await clients(url, arguments.clients, arguments.seconds, 0)
        stop.set()
        healthy, mib = await healthy_later, await watching
    one, many = alone.answered / alone_seconds, together.answered / seconds
    quarter = max(1, len(mib) // 4)
    early, late = statistics.median(mib[quarter : 2 * quarter] or mib), statistics.median(mib[-quarter:])
    ordered = sorted(healthy)
    print(f"one at a time: {alone.answered} answers, {one:.2f}/s, median {statistics.median(alone.seconds):.2f} s")
    print(f"{arguments.clients} at a time: {together.answered} answers in {seconds:.0f} s, {many:.2f}/s, "
          f"median {statistics.median(together.seconds):.2f} s, longest {max(together.seconds):.2f} s")  # fmt: skip
    print(f"ratio: {many / one:.2f}")
    print(f"lost: {len(alone.lost) + len(together.lost)}  wrong pairing: {alone.mixed + together.mixed}")
    for reason in (alone.lost + together.lost)[:5]:
        print(f"  {reason}")
    print(f"/healthz: median {1000 * statistics.median(ordered):.1f} ms, "
          f"p99 {1000 * ordered[int(0.99 * (len(ordered) - 1))]:.1f} ms, {len(ordered)} calls")  # fmt: skip
    print(f"memory: {early:.0f} MiB in the second quarter, {late:.0f} in the last ({100 * (late / early - 1):+.1f} %)")
    return not (alone.lost or together.lost or alone.mixed or together.mixed)


def main() -> int:
    """Start a server, measure, stop it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--alone", type=float, default=30, help="seconds of one request at a time")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--model", help="as emend serve --model")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as state:
        command = [sys.executable, "-m", "serve", "serve", "--port", "0", "--auth", "off"]
        command += ["--workers", str(arguments.workers), *(["--model", arguments.model] if arguments.model else [])]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": state, "EMEND_LOG_LEVEL": "warning",
                       "EMEND_RATE_PER_MINUTE": "1000000", "EMEND_CONCURRENT_PER_KEY": "1000"}  # fmt: skip
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stderr is not None
            try:
                url = next(found[0] for line in process.stderr if (found := re.search(r"http://[\d.:]+", line)))
                fine = asyncio.run(measure(url, process.pid, arguments))
            finally:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=60)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
