"""Models of the model process, used from other processes over its Unix socket. Never imports torch.

The questions are pure, so one that was cut off by a restart of the model process is asked once more.
"""

from __future__ import annotations

import io
import pickle
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection
from threading import Lock
from typing import Any, Literal, TypeAlias, cast

from repair.candidates import Completion
from repair.errors import EmendError, InputError, ModelError
from repair.model import Decoding, LineBelief, Model, Usage
from repair.views import Hunk, View
from serve.modelnames import Choice, ModelInfo, choose, list_models
from serve.settings import Settings

Method = Literal["locate", "score", "propose", "ready"]
Wire: TypeAlias = "Connection[Any, Any]"
_PATIENCE = 20.0  # seconds for a model process that is being restarted
_LONGEST = 600.0  # seconds for one answer
_POLL = 0.05
_ALLOWED = {
    ("repair.views", "View"),
    ("repair.views", "Hunk"),
    ("repair.model", "Decoding"),
    ("repair.model", "LineBelief"),
    ("repair.model", "Usage"),
    ("repair.candidates", "Completion"),
    ("serve.hosted", "Question"),
    ("serve.hosted", "Answer"),
}


@dataclass(frozen=True, slots=True)
class Question:
    """One call of a model, by the names that the request chose."""

    method: Method
    model: str | None = None
    adapter: str | None = None
    view: View | None = None
    changes: tuple[tuple[Hunk, ...], ...] = ()
    decoding: Decoding | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a Question: a value and the tokens it took, or an error."""

    value: object = None
    usage: Usage = field(default_factory=Usage)
    error: str = ""
    at_fault: str = ""  # field of an InputError


class _Reader(pickle.Unpickler):
    """Reads the few types of this protocol and refuses every other."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:  # noqa: ANN401 - as pickle has it
        if (module_name, global_name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module_name}.{global_name} is not part of this protocol")
        return super().find_class(module_name, global_name)


def send(wire: Wire, message: Question | Answer) -> None:
    """Write one message. Raises OSError when the other side is gone."""
    wire.send_bytes(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))


def receive(wire: Wire) -> object:
    """The next message. Raises EOFError or OSError: the other side is gone; UnpicklingError: not of this protocol."""
    return _Reader(io.BytesIO(wire.recv_bytes())).load()


class _Gone(Exception):
    """The model process ended while it was asked, or does not listen."""


class _Line:
    """Connections to the model process, opened when needed and used again. Threads may share it."""

    def __init__(self, address: str, secret: bytes, patience: float) -> None:
        self._address, self._secret, self._patience = address, secret, patience
        self._idle: list[Wire] = []
        self._lock = Lock()

    def ask(self, question: Question, seconds: float, *, again: bool = True) -> Answer:
        """The answer. Raises ModelError: not reached (twice), too slow, or the secret is refused."""
        try:
            return self._ask(question, seconds)
        except _Gone as error:
            self.close()  # those that are idle are as dead
            if not again:
                raise ModelError(f"the model process does not answer ({error}): look at its log") from error
        return self.ask(question, seconds, again=False)

    def _ask(self, question: Question, seconds: float) -> Answer:
        wire = self._taken() or self._opened()
        try:
            send(wire, question)
            if not wire.poll(seconds):
                raise ModelError(f"the model did not answer within {seconds:g} s: try again, or a smaller request")
            answer = receive(wire)
        except (EOFError, OSError) as error:
            wire.close()
            raise _Gone(str(error) or "it ended") from error
        except BaseException:
            wire.close()  # its answer would be taken for that of the next question
            raise
        with self._lock:
            self._idle.append(wire)
        return cast("Answer", answer)

    def _taken(self) -> Wire | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _opened(self) -> Wire:
        until = time.monotonic() + self._patience
        while True:
            try:
                return Client(self._address, "AF_UNIX", authkey=self._secret)
            except AuthenticationError as error:
                raise ModelError("the model process refused the secret: start both from the same service") from error
            except (OSError, EOFError) as error:
                if time.monotonic() > until:
                    raise _Gone(f"no one listens: {error}") from error
            time.sleep(_POLL)

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for wire in idle:
            wire.close()


class HostedModel:
    """A `repair.model.Model` whose answers come from the model process. Threads may share it."""

    def __init__(self, line: _Line, choice: Choice) -> None:
        self._line, self._choice = line, choice
        self._read = self._written = 0
        self._counting = Lock()

    @property
    def name(self) -> str:
        """Of the model and its adapter, without any path."""
        return self._choice.label

    @property
    def usage(self) -> Usage:
        """Tokens of the questions that this object asked."""
        return Usage(self._read, self._written)

    def locate(self, view: View) -> LineBelief | None:
        """As `Model.locate`."""
        return cast("LineBelief | None", self._ask("locate", view))

    def score(self, view: View, changes: Sequence[tuple[Hunk, ...]]) -> Sequence[float] | None:
        """As `Model.score`."""
        return cast("list[float] | None", self._ask("score", view, changes=tuple(changes)))

    def propose(self, view: View, decoding: Decoding) -> Iterator[Completion]:
        """As `Model.propose`; all are computed before the first comes."""
        plain = replace(decoding, lines=dict(decoding.lines))  # any Mapping may be given, the protocol knows dicts
        yield from cast("list[Completion]", self._ask("propose", view, decoding=plain))

    def _ask(
        self,
        method: Method,
        view: View,
        *,
        changes: tuple[tuple[Hunk, ...], ...] = (),
        decoding: Decoding | None = None,
    ) -> object:
        choice = self._choice
        question = Question(method, choice.model, choice.adapter, view, changes, decoding)
        answer = checked(self._line.ask(question, _LONGEST))
        with self._counting:
            self._read += answer.usage.prompt_tokens
            self._written += answer.usage.completion_tokens
        return answer.value


def checked(answer: Answer) -> Answer:
    """The answer. Raises the error that it tells."""
    if not answer.error:
        return answer
    error: EmendError = InputError(answer.error, field=answer.at_fault) if answer.at_fault else ModelError(answer.error)
    raise error


def _check_server(choice: Choice, spec: str, deadline: float) -> None:
    """Raises ModelError, without the server's address: everybody may ask whether the service is ready."""
    from repair.models.chat import check_server

    try:
        check_server(spec, deadline)
    except ModelError as error:
        raise ModelError(f"the server of the model {choice.label} does not answer or refuses: look at it") from error


class HostedModels:
    """Models of the model process at `address`, as `modelnames.Models`; a model server is talked to directly.

    `patience`: seconds that a call waits for a model process that is being restarted.
    """

    def __init__(self, settings: Settings, address: str, secret: bytes, *, patience: float = _PATIENCE) -> None:
        self._settings = settings
        self._address, self._secret = address, secret
        self._line = _Line(address, secret, patience)
        self._servers: dict[str, Model] = {}
        self._connecting = Lock()

    def get(self, model: str | None = None, adapter: str | None = None) -> Model | None:
        """As `Models.get`; weights are loaded with the first question, so that this never waits."""
        choice = choose(self._settings, model, adapter)
        if choice.is_none:
            return None
        return self._server(choice) if choice.is_server else HostedModel(self._line, choice)

    def _server(self, choice: Choice) -> Model:
        from serve.loaded import Labelled, load_choice

        with self._connecting:
            if choice.model not in self._servers:
                self._servers[choice.model] = cast("Model", load_choice(choice))
        return Labelled(choice.label, self._servers[choice.model])

    def listed(self) -> tuple[ModelInfo, ...]:
        """As `Models.listed`."""
        return list_models(self._settings)

    def ready(self, deadline: float) -> float:
        """As `Models.ready`; waits neither for a restart nor beyond the deadline."""
        start = time.monotonic()
        choice = choose(self._settings, None, None)
        if choice.is_server and choice.spec is not None:
            _check_server(choice, choice.spec, deadline)
            return time.monotonic() - start
        line = _Line(self._address, self._secret, 0.0)
        try:
            checked(line.ask(Question("ready"), deadline, again=False))
        finally:
            line.close()
        return time.monotonic() - start

    def close(self) -> None:
        """Close the connections."""
        self._line.close()
