"""The model process asked one request at a time against 16 at a time, in one run: `python benchmarks/batching.py`.

A request is what a repair asks: locate, score about 300 changes (the operators' own, of a window of a real module),
propose 64. All are distinct, all go through the process of serve/modelhost.py, in the same order both times; the
process is started anew between, so that nothing is remembered. Rounds alternate. Prints requests a second and CPU
seconds of the process for both, and exits with 1 unless the texts proposed are the same and beliefs and scores agree.
`--least` is the ratio that must be reached. The shipped network is so small that a pass of one request already keeps
a core busy: what there is to gain is the other cores, and the Python between the passes.
"""

from __future__ import annotations

import argparse
import calendar
import configparser
import csv
import difflib
import fractions
import shlex
import statistics
import sys
import textwrap
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from repair.model import Decoding
from repair.mutate import repairs
from repair.sources import Source
from repair.views import Hunk, View, edit_hunk
from serve.hosted import HostedModels
from serve.modelhost import start_host
from serve.settings import Settings

MODULES = (textwrap, configparser, difflib, shlex, csv, calendar, fractions, argparse)
WINDOW, CHANGES = 44, 300
Request = tuple[View, tuple[tuple[Hunk, ...], ...]]
Found = tuple[list[float], list[float], list[str]]


def requests(count: int) -> list[Request]:
    """Windows of modules of the standard library, and what the operators would change there."""
    found: list[Request] = []
    for index in range(10 * count):
        module = MODULES[index % len(MODULES)]
        source = Source(f"{module.__name__}.py", Path(str(module.__file__)).read_text(encoding="utf-8"))
        first = 40 + (index // len(MODULES)) * WINDOW
        last = first + WINDOW - 1
        if last <= source.line_count and len(found) < count:
            lines = tuple(source.line(n) for n in range(first, last + 1))
            hunks = [edit_hunk(source, m.edit) for m in repairs(source, lines=set(range(first, last + 1)))]
            changes = tuple((h,) for h in hunks if h and first <= h.first and h.last <= last)[:CHANGES]
            if len(changes) == CHANGES:
                found.append(
                    (View(source.path, "python", first, lines, error=f"AssertionError: {index} != 1"), changes)
                )
    return found


def asked(models: HostedModels, request: Request) -> Found:
    view, changes = request
    model = models.get()
    assert model is not None
    belief, scores = model.locate(view), model.score(view, changes)
    assert belief is not None
    assert scores is not None
    decoding = Decoding(dict(belief.lines), candidates=64)
    return list(belief.lines.values()), list(scores), [c.text for c in model.propose(view, decoding)]


def round_of(settings: Settings, work: Sequence[Request], together: int) -> tuple[float, float, list[Found]]:
    """Seconds, CPU seconds of the process, answers."""
    host = start_host(settings)
    models = HostedModels(settings, host.address, host.secret)
    try:
        before, start = psutil.Process(host.pid).cpu_times(), time.perf_counter()
        with ThreadPoolExecutor(together) as threads:
            found = list(threads.map(lambda request: asked(models, request), work))
        seconds, after = time.perf_counter() - start, psutil.Process(host.pid).cpu_times()
    finally:
        models.close()
        host.stop()
    return seconds, after.user + after.system - before.user - before.system, found


def differ(one: Sequence[Found], other: Sequence[Found]) -> tuple[float, float, int]:
    """Largest differences of beliefs and of scores, and how many requests got other texts."""
    pairs = list(zip(one, other, strict=True))
    beliefs = max(_apart(a, b) for (a, _, _), (b, _, _) in pairs)
    scores = max(_apart(a, b) for (_, a, _), (_, b, _) in pairs)
    return beliefs, scores, sum(a != b for (_, _, a), (_, _, b) in pairs)


def _apart(one: Sequence[float], other: Sequence[float]) -> float:
    return max(0.0 if a == b else abs(a - b) for a, b in zip(one, other, strict=True))  # -inf is equal to itself


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=32)
    parser.add_argument("--together", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--least", type=float, default=1.0)
    given = parser.parse_args()
    settings = Settings(waiting=max(64, given.together))
    work = requests(given.requests)
    alone, both, worst = list[float](), list[float](), (0.0, 0.0, 0)
    for number in range(given.rounds):
        seconds, cpu, expected = round_of(settings, work, 1)
        faster, cpu_both, found = round_of(settings, work, given.together)
        alone.append(len(work) / seconds)
        both.append(len(work) / faster)
        worst = max(worst, differ(expected, found), key=lambda d: (d[2], d[1]))
        print(f"round {number + 1}: one at a time {alone[-1]:.2f}/s ({cpu:.1f} CPU s), {given.together} at a time "
              f"{both[-1]:.2f}/s ({cpu_both:.1f} CPU s), {both[-1] / alone[-1]:.2f}x")  # fmt: skip
    ratio = statistics.median(b / a for a, b in zip(alone, both, strict=True))
    beliefs, scores, texts = worst
    print(f"{len(work)} requests: {statistics.median(alone):.2f}/s one at a time, {statistics.median(both):.2f}/s "
          f"{given.together} at a time, {ratio:.2f}x; largest difference of beliefs {beliefs:.1e}, of scores "
          f"{scores:.1e}; requests with other texts {texts}")  # fmt: skip
    return 0 if ratio >= given.least and texts == 0 and scores < 1e-3 and beliefs < 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main())
