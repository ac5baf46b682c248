"""Real servers for tests: an app in a thread, or `emend serve` as a process."""

import os
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from serve.app import create_app

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def served(settings, engine):
    """The address of an app around `engine`, served by uvicorn in a thread."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(create_app(settings, engine), log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        wait_for(lambda: server.started)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)


@contextmanager
def serving(*options):
    """The address of `emend serve` with these options, as a process on a free port."""
    command = [sys.executable, "-m", "serve", "serve", "--port", "0", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    told = ""
    try:
        for line in process.stderr:
            told += line
            if found := re.search(r"http://\S+", line):
                yield found[0]
                return
        raise AssertionError(f"the service did not start: {told}")
    finally:
        process.terminate()
        process.communicate(timeout=30)


def wait_for(condition, seconds=20):
    """Wait until `condition()` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
