"""The model process: `python -m serve.modelhost`, started and ended by `start_host`.

The process loads models on first use and answers Questions of `hosted.py`, a thread per connection. It gets its
settings, address and secret on standard input and ends when that is closed, so it never outlives who started it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing import AuthenticationError
from multiprocessing.connection import Listener, answer_challenge, deliver_challenge
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, TYPE_CHECKING, Any, cast

from repair.errors import InputError, ModelError
from repair.model import Decoding
from serve.hosted import Answer, Question, Wire, receive, send
from serve.loaded import Shelf, answer_once, load_batched
from serve.modelnames import choose
from serve.settings import Settings

if TYPE_CHECKING:
    from repair.models.batching import BatchedModel

_NICE = 5  # before the repair processes, which wait for it, after the service, which only moves bytes
_START_SECONDS = 300.0  # a checkpoint of many gigabytes is read in that time
_PAUSE = 0.05  # seconds
_MAX_SOCKET = 90  # characters of its path; Linux takes 107


class ModelHost:
    """The running model process, seen from the service. Its methods block; call them from a thread."""

    def __init__(self, settings: Settings, *, start_seconds: float = _START_SECONDS) -> None:
        self._settings = settings
        self._start_seconds = start_seconds
        self._folder = _private_folder()
        self._process: subprocess.Popen[str] | None = None
        self._turn = threading.Lock()
        self.address = str(self._folder / "model.sock")
        self.secret = secrets.token_bytes(32)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of the process, 0 when there is none."""
        return self._process.pid if self._process else 0

    def restart(self) -> None:
        """Start the process (again), with the same address and secret; returns when it has answered a question.

        Raises ModelError: it cannot load its default model, or takes too long.
        """
        with self._turn:
            self._kill()
            self._folder.mkdir(mode=0o700, exist_ok=True)
            Path(self.address).unlink(missing_ok=True)
            self._process = _spawn()
            given = {"settings": self._settings.model_dump(mode="json"), "address": self.address}
            pipe = cast("IO[str]", self._process.stdin)
            try:
                pipe.write(json.dumps(given | {"secret": self.secret.hex()}) + "\n")
                pipe.flush()
            except BrokenPipeError as error:
                raise ModelError("the model process ended at once: look at its log") from error
            error = self._told()
            if error:
                self._kill()
                raise ModelError(error)

    def _told(self) -> str:
        """What is wrong, "" when the process is ready."""
        process = cast("subprocess.Popen[str]", self._process)
        late = threading.Timer(self._start_seconds, process.kill)
        late.daemon = True
        late.start()
        line = cast("IO[str]", process.stdout).readline()
        late.cancel()
        if not line:
            return f"the model process ended with {process.wait()} before it was ready: look at its log"
        return str(json.loads(line)["error"])

    def stop(self, grace: float = 10.0) -> None:
        """End the process; calls that run have `grace` seconds. The address is gone afterwards."""
        with self._turn:
            if self._process is not None and self.alive:
                self._process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(grace)
            self._kill()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _kill(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what was buffered has no reader any more
                    pipe.close()
        self._process = None


def start_host(settings: Settings, *, start_seconds: float = _START_SECONDS) -> ModelHost:
    """A model process with its default model loaded and warm. Raises ModelError with what to do."""
    host = ModelHost(settings, start_seconds=start_seconds)
    try:
        host.restart()
    except BaseException:
        host.stop(0)
        raise
    return host


def _private_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="emend-model-")  # 0700
    if len(folder) > _MAX_SOCKET:
        Path(folder).rmdir()
        folder = tempfile.mkdtemp(prefix="emend-model-", dir="/tmp")
    return Path(folder)


def _spawn() -> subprocess.Popen[str]:
    """The process; `-P` and the path keep a folder `serve` where the user happens to stand out of it."""
    package = str(Path(__file__).resolve().parents[1])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "serve.modelhost"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )  # fmt: skip


class Answering:
    """Answers questions; counts those that run or wait, so that they can be bounded and waited for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._shelf: Shelf[BatchedModel] = Shelf(lambda choice: load_batched(choice, settings), drop=_close)
        self._most = settings.workers + settings.waiting
        self._changed = threading.Condition()
        self._calls = 0
        self.stopping = False

    def answer(self, question: Question, gone: Callable[[], bool]) -> Answer:
        """The answer, or the error as an answer; given up when `gone` says that nobody waits for it."""
        try:
            return self._answer(question, gone)
        except InputError as error:
            return Answer(error=str(error), at_fault=error.field)
        except ModelError as error:
            return Answer(error=str(error))
        except Exception as error:  # noqa: BLE001 - one caller's trouble must not end the process
            return Answer(error=f"the model failed ({type(error).__name__}: {error}): try a smaller request")

    def enter(self) -> str:
        """Count a call in; why it is refused, "" when it is not."""
        with self._changed:
            if self.stopping:
                return "the model process is being stopped: try again in a moment"
            if self._calls >= self._most:
                return f"the model is busy with {self._calls} calls: try again later, or raise `waiting`"
            self._calls += 1
            return ""

    def leave(self) -> None:
        """Count a call out."""
        with self._changed:
            self._calls -= 1
            self._changed.notify_all()

    def drain(self) -> None:
        """Refuse new calls and wait for those that run."""
        with self._changed:
            self.stopping = True
            self._changed.wait_for(lambda: self._calls == 0)

    def warm(self) -> None:
        """Load the default model and let it answer. Raises ModelError."""
        choice = choose(self._settings, None, None)
        if not choice.is_none and not choice.is_server:
            answer_once(self._shelf.get(choice))

    def _answer(self, question: Question, gone: Callable[[], bool]) -> Answer:
        if question.method == "ready":
            self.warm()
            return Answer()
        choice, view, decoding = (
            choose(self._settings, question.model, question.adapter),
            question.view,
            question.decoding,
        )
        if choice.is_none or choice.is_server or view is None:
            raise ModelError("the model process was asked for what it does not hold: start both from the same service")
        model = self._shelf.get(choice)
        if question.method == "locate":
            return Answer(*model.ask(view, lambda answers: answers.locate(view), gone=gone))
        if question.method == "score":
            return Answer(*model.ask(view, lambda answers: answers.score(view, question.changes), gone=gone))
        return Answer(*model.ask(view, lambda answers: list(answers.propose(view, decoding or Decoding())), gone=gone))


def _close(model: BatchedModel) -> None:
    model.close()


def _serve(wire: Wire, secret: bytes, answering: Answering) -> None:
    """Answer on one connection until it is closed."""
    try:
        deliver_challenge(wire, secret)
        answer_challenge(wire, secret)
        while True:
            question = receive(wire)
            if not isinstance(question, Question):
                return
            refused = answering.enter()
            if refused:
                send(wire, Answer(error=refused))
                continue
            try:
                send(wire, answering.answer(question, wire.poll))  # nothing comes before the answer but the end
            finally:
                answering.leave()
    except (EOFError, OSError, AuthenticationError, UnpicklingError):
        return  # the caller left, or is none of ours
    finally:
        wire.close()


def _accept(listener: Listener, secret: bytes, answering: Answering) -> None:
    while True:
        try:
            wire = listener.accept()
        except OSError:
            if answering.stopping:
                return
            time.sleep(_PAUSE)  # too many open files, or a caller that left at once
            continue
        threading.Thread(target=_serve, args=(wire, secret, answering), daemon=True).start()


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


def _say(error: str) -> None:
    print(json.dumps({"error": error}), flush=True)  # noqa: T201 - the protocol with `start_host`


def main() -> int:
    """Run the process; 0 after a stop, 1 when it could not start."""
    stopping = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: who started this one stops it

    def stop(_number: int, _frame: object) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    os.nice(_NICE)
    given: dict[str, Any] = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    secret = bytes.fromhex(given["secret"])
    answering = Answering(Settings(**given["settings"]))
    try:
        answering.warm()
    except ModelError as error:
        _say(str(error))
        return 1
    listener = Listener(given["address"], "AF_UNIX", backlog=128)  # without the key: a thread checks it
    threading.Thread(target=_accept, args=(listener, secret, answering), daemon=True).start()
    _say("")
    stopping.wait()
    answering.stopping = True
    listener.close()
    answering.drain()
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # threads that wait for a caller need not be waited for
