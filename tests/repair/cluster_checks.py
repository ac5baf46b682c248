"""A program of its own: a Ray cluster of two nodes on this machine, each check on it, their results as JSON.

Not in the tests' process, which a lost cluster would take with it. `tests/repair/test_cluster.py` runs it and judges.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from functools import partial
from pathlib import Path

os.environ |= {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # a lost node, which refuses to be asked, is noticed within two seconds; a slow one is none
    "RAY_health_check_initial_delay_ms": "500",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "20000",
    "RAY_health_check_failure_threshold": "3",
}

import psutil
import ray
from ray.cluster_utils import Cluster as Nodes

from repair.candidates import Completion
from repair.cluster_models import models_on
from repair.errors import InputError, ModelError
from repair.executors import Cluster, Serial
from repair.model import Decoding, LineBelief
from repair.models.scripted import ScriptedModel
from repair.views import View
from tests.serve.batch import ray_checks

NODE = {"node_ip_address": "127.0.0.1", "object_store_memory": 80 * 1024 * 1024}


def where():
    return ray.get_runtime_context().get_node_id()


def squared(number):
    return number * number


def halves(number, result):
    return (number // 2,) if number > 3 and number % 2 == 0 else ()


def dies_always(number):
    if number == 3:
        os._exit(9)
    return number


def fails(folder, number):
    if number == 1:
        raise InputError("1 is bad", field="number")
    try:
        subprocess.run(["sleep", "60"], check=True)  # an interrupt ends the wait for it
    finally:
        (Path(folder) / f"cleaned {number}").touch()


def leaves(shelf, folder, number):
    """Wait until all run at the same time on both nodes, so that each node keeps some."""
    (Path(folder) / f"{number}").touch()
    until = time.monotonic() + 60
    while len(list(Path(folder).iterdir())) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    return where(), shelf.put(bytes([number]) * 300_000)


def takes(shelf, ticket):
    content = shelf.get(ticket)
    return None if content is None else (len(content), content[0], where())


def marks(folder, number):
    """Slow, and tells that it has begun."""
    (Path(folder) / f"{number}").touch()
    time.sleep(0.15)
    return number * number


def belief(view):
    return LineBelief({1: 0.75}, 0.25)


def completions(view, decoding):
    if view.lines[0] == "broken":
        raise ModelError("the weights are damaged: load them again")
    if view.lines[0] == "odd":
        raise ValueError("odd")
    mark = Path(view.path)
    if view.lines[0] == "lost" and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return [Completion(f"{n} {decoding.seed}", n + 1, -n / 3) for n in range(5)]


def scripted():
    return ScriptedModel(belief, completions, {(): -0.5}, name="of a test")


def unloadable():
    raise ModelError("no weights at /nowhere: download them")


def view_of(text, path="a.py"):
    return View(path, "python", 1, (text,))


def asked(model, text):
    decoding = Decoding({1: 1.0}, candidates=4, seed=7)
    view = view_of(text)
    return repr((model.name, model.locate(view), list(model.propose(view, decoding)), model.score(view, [()])))


def asked_and_counted(model, text):
    before = model.usage
    answers = asked(model, text)
    return answers, repr(before), repr(model.usage)


def check_map(cluster, nodes):
    return list(cluster.map(squared, range(30))) == list(Serial().map(squared, range(30)))


def check_flow(cluster, nodes):
    def key(done):
        return done.item, done.result, done.error

    return sorted(map(key, cluster.flow(squared, range(12), halves))) == sorted(
        map(key, Serial().flow(squared, range(12), halves))
    )


def check_few_in_flight(cluster, nodes):
    taken = []
    flow = cluster.flow(squared, (taken.append(n) or n for n in range(500)), halves)
    next(flow)
    flow.close()
    return len(taken)


def check_lost(cluster, nodes):
    done = {one.item: (one.result, one.error) for one in cluster.flow(dies_always, range(5), lambda *_: ())}
    return [done[n][0] for n in range(5)], done[3][1], [done[n][1] for n in (0, 1, 2, 4)]


def check_raised(cluster, nodes):
    with tempfile.TemporaryDirectory() as folder:
        try:
            list(cluster.flow(partial(fails, folder), range(3), lambda *_: ()))
        except InputError as error:
            until = time.monotonic() + 60
            mark = Path(folder) / "cleaned 0"
            while not mark.exists() and time.monotonic() < until:
                time.sleep(0.05)
            return str(error), error.field, mark.exists()
        return None


def check_models(cluster, nodes):
    local = scripted()
    expected = asked(local, "x")
    with models_on(cluster, scripted, count=2, cpus=0.5) as model:
        same = [asked(model, "x") == expected for _ in range(3)]
        usage = (model.usage.prompt_tokens, model.usage.completion_tokens)
        once = (local.usage.prompt_tokens, local.usage.completion_tokens)
        in_tasks = list(cluster.map(partial(asked_and_counted, model), ["x"] * 2))
        told = []
        for text in ("broken", "odd"):
            try:
                list(model.propose(view_of(text), Decoding()))
            except ModelError as error:
                told.append(str(error))
        with tempfile.TemporaryDirectory() as folder:
            again = list(model.propose(view_of("lost", f"{folder}/mark"), Decoding(seed=1)))
    return {
        "same": same,
        "usage": usage == tuple(3 * n for n in once),
        "in_tasks": [answers == expected and before != after for answers, before, after in in_tasks],
        "told": told,
        "again": again == completions(view_of("x"), Decoding(seed=1)),
    }


def check_unloadable(cluster, nodes):
    told = []
    for factory, wanted in ((unloadable, {}), (scripted, {"count": 3})):
        try:
            with models_on(cluster, factory, **wanted):
                pass
        except ModelError as error:
            told.append(str(error))
    return told


def check_killed_node(cluster, nodes):
    """Kill -9 everything of the second node while items are computed on it, what it has put on the shelf gone."""
    shelf = cluster.shelf()
    with tempfile.TemporaryDirectory() as folder:
        left = list(cluster.map(partial(leaves, shelf, folder), range(3)))
    both = list(cluster.map(partial(takes, shelf), [ticket for _, ticket in left]))
    head = where()
    with tempfile.TemporaryDirectory() as folder:
        results = {}
        flow = cluster.flow(partial(marks, folder), range(20), halves)
        done = next(flow)
        begun = len(list(Path(folder).iterdir()))
        kill(next(iter(nodes.worker_nodes)))
        results = sorted((one.item, one.result, one.error) for one in (done, *flow))
        expected = sorted((one.item, one.result, one.error) for one in Serial().flow(squared, range(20), halves))
    gone = [shelf.get(ticket) is None for node, ticket in left if node != head]
    kept = [shelf.get(ticket) == bytes([n]) * 300_000 for n, (node, ticket) in enumerate(left) if node == head]
    return {
        "nodes": len({node for node, _ in left}),
        "taken": [found and found[:2] for found in both],
        "begun": begun,
        "equal": results == expected,
        "gone": gone,
        "kept": kept,
    }


def kill(node):
    process = node.all_processes["raylet"][0].process
    for one in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
        one.kill()


CHECKS = (
    check_map,
    check_flow,
    check_few_in_flight,
    check_lost,
    check_raised,
    check_models,
    check_unloadable,
    *ray_checks.CHECKS,
    check_killed_node,
)


def main():
    nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, **NODE})
    try:
        nodes.add_node(num_cpus=2, **NODE)
        cluster = Cluster(nodes.address)
        found = {}
        for check in CHECKS:
            start = time.monotonic()
            try:
                found[check.__name__] = check(cluster, nodes)
            except Exception:  # noqa: BLE001 - the test shows it, the other checks go on
                found[check.__name__] = traceback.format_exc()
            sys.stderr.write(f"{check.__name__}: {time.monotonic() - start:.1f} s\n")
        cluster.close()
    finally:
        nodes.shutdown()
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
