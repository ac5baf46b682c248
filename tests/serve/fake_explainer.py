"""A process that speaks as `serve.explaining.worker` does and behaves as the body's error text says. Loads nothing."""

import json
import os
import signal
import sys
import time
from pathlib import Path

from serve import frames


def tell(frame):
    sys.stdout.buffer.write(frames.packed(frame))
    sys.stdout.buffer.flush()


def wait_for(path):
    while not path.exists():
        time.sleep(0.01)


def main():
    frames.read(0)
    while (frame := frames.read(0)) is not None:
        word, _, argument = json.loads(frame["body"])["error"].partition(" ")
        path = Path(argument or "/nowhere")
        if word == "die" or (word == "die-once" and not path.exists()):
            if argument:
                path.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        tell({"opened": True})
        if word == "begin":
            path.touch()
        if word in ("hang", "begin"):
            wait_for(path.with_suffix(".go"))
        if word == "memory":
            tell({"problem": {"status": 503, "detail": "too little memory"}, "spent": True})
            continue
        values = json.dumps({"pid": os.getpid(), "word": word})
        tell({"answer": {"values": values, "pictured": "{}", "report": "<p>"}})


main()
