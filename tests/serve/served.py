"""Real servers for tests: an app in a thread, or `emend serve` as a process."""

import asyncio
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from serve.app import create_app
from serve.loaded import LocalModels
from serve.observe.metrics import Metrics
from serve.parts import Parts
from serve.settings import Settings
from serve.store import Store

ROOT = Path(__file__).resolve().parents[2]


class NoQueue:
    """A queue that nobody works on; counts how often it was told."""

    told = 0

    def notify(self):
        self.told += 1


def parts_of(runner, store, *, checks=None, queue=None, explainer=None, **settings):
    """What routes work with, around a runner and a store."""
    chosen = Settings(**{"auth": "off", "model": "none", **settings})
    models = LocalModels(chosen)
    queue, draining = queue or NoQueue(), asyncio.Event()
    return Parts(chosen, runner, store, models, queue, Metrics(), draining, checks or {}, explainer)


@contextmanager
def served(runner, *, checks=None, queue=None, store=None, explainer=None, **settings):
    """The address of an app around `runner`, served by uvicorn in a thread, with a store of its own."""
    listening = socket.create_server(("127.0.0.1", 0))
    with tempfile.TemporaryDirectory() as folder:
        own = store or Store.open(f"sqlite:///{folder}/emend.db")
        parts = parts_of(runner, own, checks=checks, queue=queue, explainer=explainer, **settings)
        config = uvicorn.Config(create_app(parts), log_level="critical", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            wait_for(lambda: server.started)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            parts.draining.set()
            server.should_exit = True
            thread.join(60)
            if store is None:
                own.close()


@contextmanager
def serving(*options, auth="off", **environment):
    """The address of `emend serve` with these options, as a process on a free port, with a state of its own."""
    with tempfile.TemporaryDirectory() as state:
        environment = {"XDG_STATE_HOME": state, **environment}
        with serving_over(*options, auth=auth, **environment) as (url, _, _):
            yield url


@contextmanager
def serving_over(*options, auth="off", **environment):
    """As `serving`, with what it said on the way and its process."""
    command = [sys.executable, "-m", "serve", "serve", "--port", "0", "--auth", auth, *options]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "EMEND_LOG_LEVEL": "error",
        **environment,
    }
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    told = ""
    try:
        for line in process.stderr:
            told += line
            if found := re.search(r"listens on (http://\S+)", line):
                yield found[1], told, process
                return
        raise AssertionError(f"the service did not start: {told}")
    finally:
        process.terminate()
        process.communicate(timeout=300)


def wait_for(condition, seconds=90):
    """Wait until `condition()` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
