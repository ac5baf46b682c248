"""Engine: what a repair process repairs with. Owns the sandbox; knows nothing of HTTP, pipes or the store."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Literal

from repair.defects import Budget, RepairRequest
from repair.errors import SandboxError
from repair.oracle import Oracle
from repair.pipeline import Options
from repair.search import SearchOptions
from serve.modelnames import Models
from serve.oracles import Judging, events_of, locate, sent_oracle
from serve.problems import DeadlineError
from serve.settings import Settings
from serve.telling import Telling, Told
from serve.wire import RepairIn

_LEAST_SECONDS = 0.1  # with less left nothing can be found any more


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to do: `body` is the JSON of a RepairIn, `expires` the time (Unix seconds) of its deadline."""

    kind: Literal["repair", "localization"]
    id: str
    body: str
    expires: float | None = None
    long: bool = False  # a job: its limit of seconds is max_job_seconds


class Engine:
    """Does tasks, one at a time."""

    def __init__(self, settings: Settings, models: Models) -> None:
        self._settings = settings
        self._models = models
        self._judging = Judging(settings.sandbox_minimum, settings.unsafe_no_sandbox, settings.python)

    def sandbox_tier(self) -> str:
        """The tier that tests run in here, "" where none is good enough."""
        try:
            return self._judging.sandbox().tier.value
        except SandboxError:
            return ""

    def do(self, task: Task) -> Generator[Told]:
        """What happens, in the words of the wire; closing it ends the repair and what it runs."""
        body = RepairIn.model_validate_json(task.body)
        model = self._models.get(body.options.model, body.options.adapter)
        request = self._request(task, body)
        sources = {source.path: source for source in request.sources}
        telling = Telling(task.id, model.name if model else "none", sources, self._settings.max_answer_bytes)
        with self._oracle(body, request) as oracle:
            if task.kind == "localization":
                found = locate(request, model, oracle)
                yield Told("localization", telling.localization(found).model_dump_json())
                return
            options = Options(search=SearchOptions(order=body.options.order, seed=body.options.seed))
            for event in events_of(request, model, oracle, options=options):
                yield telling.tell(event)

    def _request(self, task: Task, body: RepairIn) -> RepairRequest:
        limit = self._settings.max_job_seconds if task.long else self._settings.max_seconds
        request = body.to_request(max_candidates=self._settings.max_candidates, max_seconds=limit)
        if task.expires is None:
            return request
        left = task.expires - time.time()
        if left < _LEAST_SECONDS:
            raise DeadlineError("the deadline passed before the repair began; give it more seconds or come again later")
        budget = Budget(request.budget.candidates, min(request.budget.seconds, left))
        return replace(request, budget=budget)

    def _oracle(self, body: RepairIn, request: RepairRequest) -> AbstractContextManager[Oracle]:
        """What judges this request. Raises SandboxError when tests were sent and nothing isolates them."""
        if body.test is None:
            return sent_oracle(request, self._judging, None, {})
        try:
            self._judging.sandbox()
        except SandboxError as error:
            raise SandboxError(f"tests are refused, they would run without isolation: {error}") from error
        return sent_oracle(request, self._judging, body.test.command, body.test_files())
