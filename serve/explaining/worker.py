"""The explaining process: `python -m serve.explaining.worker`. One body at a time on stdin, its answer on stdout.

The first message has the settings. It ends when stdin ends, so none outlives its service, and loads models on first
use. Messages are JSON (`serve.frames`) on pipes that only the parent has: there is no address and no secret to keep.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from queue import SimpleQueue
from threading import Thread
from typing import Any, cast

from repair.errors import EmendError
from serve import frames
from serve.explaining.computing import Computing, answer_of
from serve.explaining.wire import ExplanationIn
from serve.frames import Frame
from serve.problems import of_error, problem
from serve.settings import Settings

_STDIN = 0
_NICE = 10  # repairs go first
_THREADS = 1  # two contend with the repairs: 1.1 s became 27 s on a busy machine of two cores


def work(computing: Computing, text: str, tell: Callable[[Frame], None]) -> None:
    """Answer one body: `opened` once its model is there, then `answer` or `problem`.

    A problem with `spent` says that this process may not be sound any more.
    """
    try:
        body = ExplanationIn.model_validate_json(text)
        choice, opened = computing.open(body)
        tell({"opened": True})
        tell({"answer": asdict(answer_of(computing.explanation(body, choice, opened)))})
    except EmendError as error:
        tell({"problem": of_error(error), "spent": _is_memory(error)})
    except Exception as error:  # noqa: BLE001 - the client learns the kind only, the log has the rest
        sys.excepthook(type(error), error, error.__traceback__)
        tell({"problem": _unforeseen(error), "spent": True})


def _unforeseen(error: Exception) -> dict[str, Any]:
    if _is_memory(error):
        detail = "too little memory for this explanation: ask for fewer parts, or explain a smaller function"
        return problem(503, detail, kind="memory")
    return problem(500, f"internal error ({type(error).__name__})", kind="internal")


def _is_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or "out of memory" in str(error).lower() or "allocate memory" in str(error)


def _listen(bodies: SimpleQueue[str]) -> None:
    """Read until the stream ends; then the process ends, too, whatever it is doing."""
    while (frame := frames.read(_STDIN)) is not None:
        bodies.put(cast("str", frame["body"]))
    os.kill(os.getpid(), signal.SIGKILL)  # it has nothing to clean up


def main() -> None:
    """Serve stdin until it ends."""
    stdout = sys.stdout.buffer
    sys.stdout = sys.stderr  # whatever prints must not be taken for a message
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the service decides
    os.nice(_NICE)
    first = frames.read(_STDIN)
    if first is None:
        return

    def tell(frame: Frame) -> None:
        stdout.write(frames.packed(frame))
        stdout.flush()

    computing = Computing(Settings.model_validate_json(cast("str", first["settings"])))
    bodies: SimpleQueue[str] = SimpleQueue()
    Thread(target=_listen, args=(bodies,), daemon=True).start()
    _few_threads()
    while True:
        work(computing, bodies.get(), tell)


def _few_threads() -> None:
    import torch

    torch.set_num_threads(_THREADS)


if __name__ == "__main__":
    main()
