"""A repair process: `python -m serve.worker`. Takes one task at a time on stdin, tells what happens on stdout.

The first message has the settings and where the models are; the answer to it says that all is warm. It ends when
stdin ends, so none outlives its service. Imports no torch: models answer from the model process.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from queue import SimpleQueue
from threading import Event, Lock, Thread
from types import FrameType
from typing import cast

from repair.errors import EmendError
from serve import frames
from serve.engine import Engine, Task
from serve.frames import Frame
from serve.modelnames import Models
from serve.problems import of_error, problem
from serve.security.scrubbing import scrub_told
from serve.settings import Settings

_STDIN = 0
_NICE = 10  # the service itself, which only moves bytes, goes first


class _Desk:
    """Tasks as they arrive, and which of them nobody waits for any more."""

    def __init__(self) -> None:
        self.tasks: SimpleQueue[Task | None] = SimpleQueue()
        self._now = ""
        self._stop = Event()
        self._lock = Lock()

    def listen(self) -> None:
        """Read until the stream ends; then the process ends, too, whatever it is doing."""
        while (frame := frames.read(_STDIN)) is not None:
            if "cancel" in frame:
                with self._lock:
                    if frame["cancel"] == self._now:
                        self._stop.set()
            else:
                self.tasks.put(Task(**cast("dict[str, str]", frame["task"])))  # pyright: ignore[reportArgumentType]
        self.tasks.put(None)
        os.kill(os.getpid(), signal.SIGTERM)

    def begin(self, task: Task) -> Event:
        """The flag that is set when this task is cancelled."""
        with self._lock:
            self._now, self._stop = task.id, Event()
            return self._stop


def work(engine: Engine, task: Task, stop: Event, tell: Callable[[Frame], None]) -> None:
    """Do one task; ends with a message `end` or `problem`."""
    try:
        with closing(engine.do(task)) as events:
            for told in events:
                if stop.is_set():
                    break
                shown = scrub_told(told)
                tell({"told": [shown.name, shown.data]})
    except EmendError as error:
        tell({"problem": of_error(error)})
    except Exception as error:  # noqa: BLE001 - the client learns the kind only, the log has the rest
        sys.excepthook(type(error), error, error.__traceback__)
        tell({"problem": problem(500, f"internal error ({type(error).__name__})", kind="internal")})
    else:
        tell({"end": True})


def main() -> None:
    """Serve stdin until it ends."""
    stdout = sys.stdout.buffer
    sys.stdout = sys.stderr  # whatever prints must not be taken for a message
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the service decides
    os.nice(_NICE)
    first = frames.read(_STDIN)
    if first is None:
        return

    def tell(frame: Frame) -> None:
        stdout.write(frames.packed(frame))
        stdout.flush()

    settings = Settings.model_validate_json(cast("str", first["settings"]))
    engine = Engine(settings, _models(settings, first))
    tell({"ready": {"sandbox": engine.sandbox_tier()}})
    desk = _Desk()
    Thread(target=desk.listen, daemon=True).start()
    while (task := desk.tasks.get()) is not None:
        work(engine, task, desk.begin(task), tell)


def _leave(number: int, _: FrameType | None) -> None:
    """End by an exception, once, so that sandboxes and folders are removed."""
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(0)


def _models(settings: Settings, first: Frame) -> Models:
    host = cast("dict[str, str] | None", first.get("host"))
    if host is None:
        from serve.loaded import LocalModels

        return LocalModels(settings)
    from serve.hosted import HostedModels

    return HostedModels(settings, host["address"], bytes.fromhex(host["secret"]))


if __name__ == "__main__":
    with suppress(SystemExit):
        main()
    os._exit(0)  # a thread still waits for stdin; all that had to be removed is
