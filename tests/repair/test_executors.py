"""Executors: the same results in the same order, little in flight, lost workers done again once."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from repair.errors import BoundaryError, InputError
from repair.executors import AHEAD, Cluster, Done, Processes, Serial, executor
from repair.shelves import FolderShelf, Ticket

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
    time.sleep(600 if number else 0)
    return os.getpid()


def test_workers_end_when_their_results_are_not_wanted():
    results = Processes(1).map(sleeps, range(3))
    worker = next(results)
    results.close()
    deadline = time.monotonic() + 90
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{worker}/stat").read_text().split(") ")[1].startswith("Z"):
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{worker}").exists()


def halves(number, result):
    assert result == 3 * number
    return (number // 2, 0) if number % 2 == 0 and number else ()


@pytest.mark.parametrize("chosen", [Serial(), Processes(1)])
def test_what_a_result_brings_goes_before_what_waits(chosen):
    items = [one.item for one in chosen.flow(tripled, [4, 9, 6], halves)]
    assert items.index(2) < items.index(6)
    assert sorted(items) == [0, 0, 0, 1, 2, 3, 4, 6, 9]
    assert [one.item for one in Serial().flow(tripled, [4, 9], halves)] == [4, 2, 0, 1, 0, 9]


def waits(folder, number):
    """Number 0 is done after number 3."""
    mark = Path(folder) / "3"
    while number == 0 and not mark.exists():
        time.sleep(0.01)
    if number == 3:
        mark.touch()


def test_flow_gives_what_is_done_first_and_reads_no_further_than_it_must(tmp_path):
    taken = []
    flow = Processes(2).flow(partial(waits, str(tmp_path)), counted(range(50), taken), lambda *_: ())
    assert [next(flow).item for _ in range(2)] == [1, 2]
    assert len(taken) <= 2 + 2
    assert sorted(one.item for one in flow) == [0, *range(3, 50)]


def ends(how, number):
    """Number 3 ends its process, always; the others go on for a while."""
    if number == 3:
        os.kill(os.getpid(), how) if how else os._exit(9)
    time.sleep(0.05)
    return number


@pytest.mark.parametrize("how, told", [(signal.SIGKILL, "memory"), (signal.SIGABRT, "SIGABRT"), (0, "exit status 9")])
def test_an_item_that_ends_its_workers_is_the_only_one_without_result(how, told):
    done = {one.item: one for one in Processes(2).flow(partial(ends, how), range(7), lambda *_: ())}
    lost = done.pop(3)
    assert lost.result is None
    assert "lost twice at 3" in lost.error
    assert told in lost.error
    assert done == {n: Done(n, n) for n in (0, 1, 2, 4, 5, 6)}


def shoots(folder, name):
    """The hog kills whoever is there, then itself, whenever it is done; its victim waits for that a while."""
    pid = Path(folder) / "victim"
    if name == "victim":
        pid.write_text(str(os.getpid()))
        deadline = time.monotonic() + (1 if (Path(folder) / "shot").exists() else 60)
        while time.monotonic() < deadline:
            time.sleep(0.01)
        pid.unlink()
        return name
    deadline = time.monotonic() + (1 if (Path(folder) / "shot").exists() else 60)
    while time.monotonic() < deadline and not (pid.exists() and pid.read_text()):
        time.sleep(0.01)
    (Path(folder) / "shot").touch()
    if pid.exists():
        os.kill(int(pid.read_text()), signal.SIGKILL)
        pid.unlink()
    return os.kill(os.getpid(), signal.SIGKILL)


def test_the_victim_of_another_item_is_not_blamed(tmp_path):
    done = {
        one.item: one for one in Processes(2).flow(partial(shoots, str(tmp_path)), ["victim", "hog"], lambda *_: ())
    }
    assert (tmp_path / "shot").exists()
    assert done["victim"] == Done("victim", "victim")
    assert "lost twice at hog" in done["hog"].error


def cleans(folder, number):
    """Number 1 fails once 0 has begun; 0 works until it is told to end."""
    begun = Path(folder) / "begun"
    if number == 0:
        begun.write_text(str(os.getpid()))
        try:
            time.sleep(600)
        finally:
            (Path(folder) / "cleaned").touch()
    while not begun.exists():
        time.sleep(0.01)
    raise OddError(1, "odd")


class OddError(Exception):
    """Cannot be made again from what pickle keeps of it."""

    def __init__(self, number, text):
        super().__init__(text)


def test_what_the_function_raises_ends_the_rest_and_lets_it_clean_up(tmp_path):
    flow = Processes(2).flow(partial(cleans, str(tmp_path)), range(5), lambda *_: ())
    with pytest.raises(BoundaryError, match="OddError: odd"):
        next(flow)
    assert (tmp_path / "cleaned").exists()
    assert not Path(f"/proc/{(tmp_path / 'begun').read_text()}").exists()


class Unreadable:
    """A function that cannot be read by a worker."""

    def __reduce__(self):
        return os._exit, (4,)


def test_workers_that_cannot_start_are_told_once():
    with pytest.raises(BoundaryError, match=r"cannot start .*exit status 4"):
        list(Processes(2).flow(Unreadable(), range(100), lambda *_: ()))


KILLED_SCRIPT = """
import sys
from functools import partial
from repair.executors import Processes
from tests.repair.test_executors import cleans

if __name__ == "__main__":
    for one in Processes(1).flow(partial(cleans, sys.argv[1]), [0], lambda *_: ()):
        pass
"""


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(KILLED_SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, str(script), str(tmp_path)], env=environment, cwd=ROOT)
    deadline = time.monotonic() + 200
    while not ((tmp_path / "begun").exists() and (tmp_path / "begun").read_text()):
        assert parent.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    while not (tmp_path / "cleaned").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def leaves(shelf, text):
    return shelf.put(text.encode())


def takes(shelf, ticket):
    return shelf.get(ticket)


@pytest.mark.parametrize("jobs", [1, 2])
def test_tasks_take_what_others_left_on_the_shelf(tmp_path, jobs):
    with executor(jobs, folder=tmp_path / "shelf") as chosen:
        shelf = chosen.shelf()
        tickets = list(chosen.map(partial(leaves, shelf), ["a", "b", "a"]))
        assert list(chosen.map(partial(takes, shelf), tickets)) == [b"a", b"b", b"a"]
    assert tickets[0] == tickets[2]
    assert len([path for path in (tmp_path / "shelf").rglob("*") if path.is_file()]) == 2


def test_what_is_damaged_on_a_shelf_is_gone_until_it_is_put_again(tmp_path):
    shelf = FolderShelf(tmp_path)
    ticket = shelf.put(b"whole")
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    file.write_bytes(b"who")
    assert shelf.get(ticket) is None
    assert shelf.put(b"whole") == ticket
    assert shelf.get(ticket) == b"whole"
    assert shelf.get(Ticket("0" * 64, 5)) is None


def test_a_shelf_without_folder_goes_with_its_process():
    script = "from repair.executors import Serial; s = Serial().shelf(); s.put(b'x'); print(s.folder)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip()
    assert not Path(done.stdout.strip()).exists()


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
        [sys.executable, "-c", RAY_SCRIPT], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    same, mode, listening = json.loads(done.stdout)
    assert (same, mode) == (True, "token")
    assert {ip.removeprefix("::ffff:") for ip in listening} <= {"127.0.0.1", "::1"}


def test_no_process_is_no_executor():
    with pytest.raises(InputError, match="at least 1"):
        Processes(0)
    assert Cluster().address == "local"
