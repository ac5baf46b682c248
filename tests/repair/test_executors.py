"""Executors: the same results in the same order, little in flight, lost workers done again once."""

import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from repair.errors import BoundaryError, InputError
from repair.executors import AHEAD, Cluster, Processes, Serial, executor

ROOT = Path(__file__).parents[2]


def tripled(number):
    return 3 * number


def dies_once(folder, number):
    """Ends its process without a word, the first time that it is asked for 5."""
    mark = Path(folder) / "died"
    if number == 5 and not mark.exists():
        mark.touch()
        os._exit(9)
    return number


def dies_always(number):
    if number == 3:
        os._exit(9)
    return number


def fails(number):
    raise InputError(f"{number} is bad", field="number")


def counted(items, taken):
    for item in items:
        taken.append(item)
        yield item


def test_results_come_in_order_and_items_are_taken_as_needed():
    taken = []
    results = Processes(2).map(tripled, counted(range(50), taken))
    assert [next(results) for _ in range(5)] == [0, 3, 6, 9, 12]
    assert len(taken) <= 5 + 2 * AHEAD
    assert list(results) == [3 * n for n in range(5, 50)] == list(Serial().map(tripled, range(5, 50)))


def test_a_lost_worker_costs_nothing_but_time(tmp_path):
    assert list(Processes(2).map(partial(dies_once, str(tmp_path)), range(9))) == list(range(9))
    assert (tmp_path / "died").exists()


def test_a_worker_lost_twice_is_told_with_its_item():
    results = Processes(2).map(dies_always, range(6))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(BoundaryError, match="lost twice at 3"):
        next(results)


def test_errors_of_the_function_keep_their_field():
    with pytest.raises(InputError, match="0 is bad") as caught:
        next(Processes(1).map(fails, range(3)))
    assert caught.value.field == "number"


def sleeps(number):
    time.sleep(60 if number else 0)
    return os.getpid()


def test_workers_end_when_their_results_are_not_wanted():
    results = Processes(1).map(sleeps, range(3))
    worker = next(results)
    results.close()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{worker}/stat").read_text().split(") ")[1].startswith("Z"):
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{worker}").exists()


@pytest.mark.parametrize("settings", [{}, {"RAY_AUTH_MODE": "token"}, {"RAY_AUTH_TOKEN_PATH": "/x"}])
def test_a_cluster_without_token_is_refused(monkeypatch, settings):
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="token"), executor(1, "127.0.0.1:6379") as chosen:
        list(chosen.map(tripled, [1]))


RAY_SCRIPT = """
import json, os
from functools import partial
import psutil
from repair.executors import executor
from data.labels import hunks_of

with executor(2, "local") as chosen:
    same = list(chosen.map(partial(hunks_of, "a\\n"), [f"{n}\\n" for n in range(9)])) == [
        hunks_of("a\\n", f"{n}\\n") for n in range(9)]
    own = [psutil.Process(), *psutil.Process().children(recursive=True)]
    listening = {c.laddr.ip for p in own for c in p.net_connections("tcp") if c.status == "LISTEN"}
print(json.dumps([same, os.environ["RAY_AUTH_MODE"], sorted(listening)]))
"""


def test_ray_gives_the_same():
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(
        [sys.executable, "-c", RAY_SCRIPT], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    same, mode, listening = json.loads(done.stdout)
    assert (same, mode) == (True, "token")
    assert {ip.removeprefix("::ffff:") for ip in listening} <= {"127.0.0.1", "::1"}


def test_no_process_is_no_executor():
    with pytest.raises(InputError, match="at least 1"):
        Processes(0)
    assert Cluster().address == "local"
