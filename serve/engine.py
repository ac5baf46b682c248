"""Engine: what the service repairs with. Owns the loaded model and the sandbox; knows nothing of HTTP."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager
from threading import Lock

from repair.defects import RepairRequest
from repair.errors import SandboxError
from repair.model import Model
from repair.oracle import Oracle
from repair.pipeline import Event, Options, SuspectsFound
from repair.search import SearchOptions
from serve.oracles import Judging, events_of, locate, sent_oracle
from serve.settings import Settings
from serve.wire import RepairIn


class Engine:
    """Repairs requests of the wire. Safe to call from several threads; the model answers one at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._judging = Judging(settings.sandbox_minimum, settings.unsafe_no_sandbox, settings.python)
        self._loading = Lock()
        self._model: Model | None = None
        self._loaded = False

    def load(self) -> None:
        """Load the model, once. Raises ModelError."""
        with self._loading:
            if not self._loaded:
                from repair.models.select import load_model

                adapter = self._settings.adapter
                self._model = load_model(self._settings.model, adapter=str(adapter) if adapter else None)
                self._loaded = True

    @property
    def model_name(self) -> str:
        """Name of the model, "none" without one."""
        return self._model.name if self._model else "none"

    def repair(self, body: RepairIn) -> Generator[Event]:
        """Events of one repair; closing it ends the repair and what it runs."""
        request = self._request(body)
        options = Options(search=SearchOptions(order=body.options.order, seed=body.options.seed))
        with self._oracle(body, request) as oracle:
            yield from events_of(request, self._model, oracle, options=options)

    def localize(self, body: RepairIn) -> Generator[SuspectsFound]:
        """The suspects, once."""
        request = self._request(body)
        with self._oracle(body, request) as oracle:
            yield locate(request, self._model, oracle)

    def _request(self, body: RepairIn) -> RepairRequest:
        self.load()
        return body.to_request(max_candidates=self._settings.max_candidates, max_seconds=self._settings.max_seconds)

    def _oracle(self, body: RepairIn, request: RepairRequest) -> AbstractContextManager[Oracle]:
        """What judges this request. Raises SandboxError when tests were sent and nothing isolates them."""
        if body.test is None:
            return sent_oracle(request, self._judging, None, {})
        try:
            self._judging.sandbox()
        except SandboxError as error:
            raise SandboxError(f"tests are refused, they would run without isolation: {error}") from error
        return sent_oracle(request, self._judging, body.test.command, body.test_files())
