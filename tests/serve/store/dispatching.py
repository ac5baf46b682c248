"""A dispatcher as a process, to be killed: `python -m tests.serve.store.dispatching URL HOW NAME`. Says what it begins.

HOW is "short" or "long" for its leases, or "stuck": long ones, and every fourth job never ends.
"""

import asyncio
import itertools
import json
import sys
from dataclasses import dataclass

import structlog

from serve.jobs import Dispatcher, Pace
from serve.jobs.scripted import ScriptedRunner
from serve.store import Store
from serve.telling import Told

FOUND = {"id": "job_1", "fault": [], "model": "small"}
COST = {"seconds": 1.0, "prompt_tokens": 0, "completion_tokens": 0, "test_runs": 0, "candidates": 0}


@dataclass(frozen=True)
class Limits:
    job_workers: int = 4
    job_attempts: int = 20
    lease_seconds: float = 1.5 if sys.argv[2] == "short" else 600.0


def say(word):
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


begun = itertools.count(1)


def script(task):
    """Three candidates and a result, which names its job."""
    say(task.id)
    if sys.argv[2] == "stuck" and next(begun) % 4 == 0:
        return [asyncio.Event()]
    candidate = Told("candidate", json.dumps({"verdict": "unfixed"}))
    result = {**FOUND, "id": task.id, "cost": COST, "patches": [], "chosen": None, "notes": []}
    return [Told("suspects", json.dumps(FOUND)), *(3 * [candidate, 0.05]), Told("result", json.dumps(result))]


async def main():
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    store = Store.open(sys.argv[1])
    dispatcher = Dispatcher(store, ScriptedRunner(script), Limits(), pace=Pace(poll=0.1, batch=0.05, away=0.3))
    await dispatcher.start()
    say("ready")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
