"""Engine: what takes long: run tests, locate, repair. Runs in the desk's thread; knows nothing of the protocol.

Cancelling works at every run of a sandbox and between any two candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from repair.campaign import survey
from repair.defects import Budget, Defect, Location, RepairRequest
from repair.errors import NothingToRepair
from repair.model import Model
from repair.oracle import Baseline, Oracle
from repair.oracles.tests import TestOracle
from repair.pipeline import CandidateJudged, Finished, informed
from repair.sandbox import Command, Execution, Limits, Sandbox, Tier, Zygote
from repair.verdicts import RepairResult, Suspect
from serve.lsp.desk import Stop
from serve.lsp.options import Options
from serve.lsp.project import Project
from serve.oracles import events_of, locate, project_oracle


@dataclass(frozen=True, slots=True)
class TestsRun:
    """What a run of the tests told; `baseline` is None where all pass."""

    __test__ = False

    baseline: Baseline | None
    suspects: tuple[Suspect, ...] = ()


class Engine:
    """Holds the models it loaded; used by one thread at a time."""

    def __init__(self) -> None:
        self._models: dict[tuple[str | None, Path | None], Model | None] = {}

    def model(self, options: Options) -> Model | None:
        """The chosen model, loaded the first time. Raises ModelError."""
        key = (options.model, options.adapter)
        if key not in self._models:
            from repair.models.select import load_model  # torch comes with the first model only

            adapter = None if options.adapter is None else str(options.adapter)
            self._models = {key: load_model(options.model, adapter=adapter)}  # one at a time: they are large
        return self._models[key]

    def run_tests(self, project: Project, command: str, options: Options, stop: Stop) -> TestsRun:
        """Run the tests and locate the fault. Raises OracleError, SandboxError, ModelError, InputError."""
        request = _request(project, Defect(), options)
        with _oracle(project, request, command, options, stop).open() as bench:
            try:
                baseline = bench.baseline()
            except NothingToRepair:
                return TestsRun(None)
            stop.check()
            found, _ = survey(informed(request, baseline), self.model(options), baseline.spectrum)
        return TestsRun(baseline, found.suspects)

    def locate(self, project: Project, defect: Defect, options: Options) -> tuple[Suspect, ...]:
        """Where the fault may be by the text, an error and the model; nothing is run. Raises ModelError."""
        request = _request(project, defect, options)
        return locate(
            request, self.model(options), project_oracle(project.root, request, options.judging, None)
        ).suspects

    def repair(self, sought: Sought, options: Options, stop: Stop, tell: Callable[[int, int], None]) -> RepairResult:
        """Repair; `tell` learns how many candidates were judged and how many are plausible. Raises as `repair`."""
        request = _request(sought.project, sought.defect, options)
        request = replace(request, location=sought.location)
        oracle = _oracle(sought.project, request, sought.command, options, stop)
        plausible = 0
        with closing(events_of(request, self.model(options), oracle)) as events:
            for event in events:
                stop.check()
                if isinstance(event, Finished):
                    return event.result
                if isinstance(event, CandidateJudged):
                    plausible += event.judgement.verdict.value == "plausible"
                    tell(event.number, plausible)
        raise NothingToRepair("the repair ended without a result")


@dataclass(frozen=True, slots=True)
class Sought:
    """What to repair; `command` None: no test judges, `location` where the user pointed."""

    project: Project
    defect: Defect
    command: str | None
    location: Location | None = None


def _request(project: Project, defect: Defect, options: Options) -> RepairRequest:
    return RepairRequest(project.sources, defect, Budget(options.candidates, options.seconds))


def _oracle(project: Project, request: RepairRequest, command: str | None, options: Options, stop: Stop) -> Oracle:
    oracle = project_oracle(project.root, request, options.judging, command)
    stop.check()
    stop.killable.set()  # the sandbox has been found
    if isinstance(oracle, TestOracle):
        return replace(oracle, sandbox=_Stoppable(oracle.sandbox, stop), tests=project.overlay)
    return oracle


@dataclass(frozen=True, slots=True)
class _Stoppable:
    """A sandbox that runs nothing more once the task is cancelled (implements `repair.sandbox.Sandbox`)."""

    inner: Sandbox
    stop: Stop

    @property
    def tier(self) -> Tier:
        """As the inner one's."""
        return self.inner.tier

    def run(self, command: Command) -> Execution:
        """As the inner one. Raises CancelledByUser."""
        self.stop.check()
        try:
            return self.inner.run(command)
        finally:
            self.stop.check()  # what the killed run says counts for nothing

    @contextmanager
    def zygote(self, command: Command, *, preload: tuple[str, ...]) -> Generator[Zygote]:
        """As the inner one. Raises CancelledByUser."""
        self.stop.check()
        try:
            with self.inner.zygote(command, preload=preload) as zygote:
                yield _StoppableZygote(zygote, self.stop)
        finally:
            self.stop.check()


@dataclass(frozen=True, slots=True)
class _StoppableZygote:
    inner: Zygote
    stop: Stop

    def run(self, files: Mapping[str, bytes], argv: tuple[str, ...], limits: Limits) -> Execution:
        """As the inner one. Raises CancelledByUser."""
        self.stop.check()
        try:
            return self.inner.run(files, argv, limits)
        finally:
            self.stop.check()
