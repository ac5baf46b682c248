"""Jobs against `kill -9`: a server with jobs queued is killed at random moments, or one of its processes is.

    python benchmarks/kills.py [--jobs 30] [--kills 10] [--seed 0] [--database postgresql://...] [--model none]

After each kill of the server it is started again. In the end every job must have ended exactly once, with the result of
its own program; exit status 1 says that one has not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx
import psutil

sys.path.insert(0, str(Path(__file__).parent))
from load import ROOT

ENDED = {"succeeded", "failed", "cancelled", "infra_error"}


def start(state: str, arguments: argparse.Namespace, port: int) -> tuple[subprocess.Popen[str], str]:
    """A server over the state of the one before it, and its address."""
    command = [sys.executable, "-m", "serve", "serve", "--port", str(port), "--auth", "off", "--workers", "2"]
    command += ["--database", arguments.database] if arguments.database else []
    command += ["--model", arguments.model] if arguments.model else []
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": state, "EMEND_LEASE_SECONDS": "3",
                   "EMEND_JOB_ATTEMPTS": "20", "EMEND_JOB_WORKERS": "2", "EMEND_LOG_LEVEL": "error"}  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"listens on (http://[\d.:]+)", line):
            return process, found[1]
    raise AssertionError("the server did not start")


def job(number: int) -> dict[str, object]:
    """A job whose tests take about a second for each candidate."""
    name = f"n{number}x"
    text = f"def {name}(a, b):\n    return (a - b) / 2\n"
    test = (
        f"import time\nfrom {name} import {name}\n\n\ndef test():\n    time.sleep(0.3)\n    assert {name}(1, 3) == 2\n"
    )
    request = {
        "files": [{"path": f"{name}.py", "text": text}],
        "test": {"files": [{"path": f"test_{name}.py", "text": test}]},
        "budget": {"candidates": 12, "seconds": 30},
    }
    return {"request": request, "label": name}


def kill(process: subprocess.Popen[str], dice: random.Random) -> str:
    """Kill the server, a repair process or the model process; which it was."""
    victims = [p for p in psutil.Process(process.pid).children() if p.status() != psutil.STATUS_ZOMBIE]
    if dice.random() < 0.5 or not victims:
        process.kill()
        process.communicate()
        return "server"
    victim = dice.choice(victims)
    name = "model" if any("modelhost" in word for word in victim.cmdline()) else "worker"
    victim.send_signal(signal.SIGKILL)
    return name


def wrong(found: dict[str, object]) -> str:
    """What is wrong with a job that should have ended well, "" where nothing is."""
    if found["state"] != "succeeded":
        return f"{found['id']} ended as {found['state']}: {found.get('error')}"
    name = str(found["label"])
    names = set(re.findall(r"\bn\d+x", json.dumps(found["result"])))
    return "" if names == {name} else f"{found['id']} of {name} speaks of {names}"


def ends(url: str, identity: str) -> int:
    """How often a job's events say that it has ended."""
    with httpx.stream("GET", f"{url}/v1/jobs/{identity}/events", timeout=60) as answer:
        text = answer.read().decode()
    return sum(json.loads(data)["state"] in ENDED for data in re.findall(r"event: state\ndata: (.*)\n", text))


def main() -> int:
    """Queue, kill, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=30)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--database", help="else SQLite in a temporary folder")
    parser.add_argument("--model", default="none")
    arguments = parser.parse_args()
    dice, killed = random.Random(arguments.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as state:
        process, url = start(state, arguments, 0)
        port = int(url.rsplit(":", 1)[1])
        try:
            queued = [httpx.post(f"{url}/v1/jobs", json=job(n), timeout=30).json()["id"] for n in range(arguments.jobs)]
            for _ in range(arguments.kills):
                time.sleep(dice.uniform(0.3, 3))
                killed[kill(process, dice)] += 1
                if process.poll() is not None:
                    process, url = start(state, arguments, port)
            deadline = time.monotonic() + 600
            while time.monotonic() < deadline:
                jobs = [httpx.get(f"{url}/v1/jobs/{identity}", timeout=30).json() for identity in queued]
                if all(found["state"] in ENDED for found in jobs):
                    break
                time.sleep(1)
            faults = [reason for found in jobs if (reason := wrong(found))]
            counts = Counter(ends(url, identity) for identity in queued)
        finally:
            process.terminate()
            process.communicate(timeout=60)
    print(f"killed: {dict(killed)}")
    print(f"jobs: {len(queued)}, states {dict(Counter(found['state'] for found in jobs))}, "
          f"attempts {dict(sorted(Counter(found['attempt'] for found in jobs).items()))}")  # fmt: skip
    print(f"ended so many times: {dict(counts)} (must be 1 for each)")
    for reason in faults:
        print(f"  {reason}")
    return 0 if not faults and set(counts) == {1} else 1


if __name__ == "__main__":
    sys.exit(main())
