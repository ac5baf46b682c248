"""Runs drafts in the sandbox: many quickly, each in a fork of its own, and a finished test by the project's runner.

Owns the protocol of `inside/emend_attempts.py`. Decides nothing.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from repair.errors import OracleError
from repair.oracles.commands import TestCommand, Tool, parse_command
from repair.oracles.interpreters import Interpreter, environment_folders, find_python, has_module
from repair.oracles.suites import Place, Selection, Suite, SuiteRun, open_suite
from repair.projects.reproduce.index import Index
from repair.projects.reproduce.target import Level, Raised
from repair.projects.reproduce.writing import Draft, entry_name, render
from repair.projects.values import Project
from repair.sandbox import Command, Limits, Sandbox
from repair.workspace import workspace

INSIDE = Path(__file__).parent / "inside"
TASK = ".emend-attempts.json"
ATTEMPT_SECONDS = 3.0  # of one attempt
TOGETHER_SECONDS = 45.0  # of one run of the sandbox
BATCH = 120  # attempts in one run
SUITE_LIMITS = Limits(wall_seconds=60.0, cpu_seconds=60.0)


@dataclass(frozen=True, slots=True)
class Bench:
    """A project staged for attempts. `pytest` says whether its interpreter has that."""

    staged: Path
    index: Index
    sandbox: Sandbox
    python: Interpreter
    command: TestCommand
    pytest: bool
    paths: tuple[str, ...]

    def attempts(self, drafts: Sequence[Draft], error: str, *, apart: bool = False) -> list[Raised | None]:
        """What each draft raises, None for nothing (or no end). With `apart` each has a sandbox of its own.

        Raises SandboxError.
        """
        size = 1 if apart else BATCH
        found: list[Raised | None] = []
        for at in range(0, len(drafts), size):
            found += self._batch(drafts[at : at + size], error)
        return found

    def _batch(self, drafts: Sequence[Draft], error: str) -> list[Raised | None]:
        nonce = secrets.token_hex(16)
        programs = [
            {"text": render(d, error, ""), "entry": entry_name(d, error), "path": "tests/test_emend.py"} for d in drafts
        ]
        preload = sorted({i.split()[1] for d in drafts if not d.late for i in d.imports if i.split()[1][0] != "."})
        task = {
            "nonce": nonce,
            "paths": self.paths,
            "preload": preload,
            "seconds": ATTEMPT_SECONDS,
            "together": TOGETHER_SECONDS,
            "programs": programs,
        }
        wall = TOGETHER_SECONDS + 20.0
        execution = self.sandbox.run(
            Command(
                (str(self.python.path), str(INSIDE / "emend_attempts.py")),
                project=self.staged,
                files={TASK: json.dumps(task).encode()},
                env={"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", **self.command.env},
                readable=(INSIDE, *self.python.readable),
                limits=Limits(wall_seconds=wall, cpu_seconds=wall, disk_bytes=1024 * 1024 * 1024),
                report=True,
            )
        )
        answers = _answers(execution.report, nonce)
        return [answers.get(number) for number in range(len(drafts))]

    @contextlib.contextmanager
    def runner(self, path: str) -> Generator[Suite]:
        """The project's runner for the test file at `path`. Raises OracleError when it cannot start."""
        place = Place(self.sandbox, self.staged, self.python, SUITE_LIMITS, paths=self.paths)
        tool = Tool.PYTEST if self.pytest else Tool.UNITTEST
        env, on_path = self.command.env, self.command.cwd_on_path
        with open_suite(place, TestCommand(tool, (path,), env=env, cwd_on_path=on_path)) as suite:
            yield suite


@contextlib.contextmanager
def staged(project: Project, sandbox: Sandbox) -> Generator[Bench]:
    """Raises OracleError without an interpreter, InputError for a tree that cannot be copied."""
    command = _command(project.command)
    python = find_python(project.python, project.root, command.python)
    folders = environment_folders(python, project.root.resolve())
    with workspace(project.root) as copy:
        index = Index(copy, folders)
        has_pytest = has_module(python, "pytest") and command.tool is not Tool.UNITTEST
        yield Bench(copy, index, sandbox, python, command, has_pytest, tuple(dict.fromkeys((*folders, ""))))


def _command(text: str) -> TestCommand:
    """How the project's tests are started; pytest from the root where that is not known."""
    with contextlib.suppress(OracleError):
        return parse_command(text)
    return TestCommand(Tool.PYTEST, ())


def run_test(suite: Suite, files: Mapping[str, bytes], only: frozenset[str] | None = None) -> SuiteRun:
    """One run. Raises OracleError when nothing can be concluded from it, SandboxError."""
    run = suite.run(files, SUITE_LIMITS, Selection(only=only, test_seconds=20.0))
    if run.infrastructure:
        run = suite.run(files, SUITE_LIMITS, Selection(only=only, test_seconds=20.0))
    if run.infrastructure:
        raise OracleError(f"{run.infrastructure}; run again")
    return run


def raised_in(run: SuiteRun, test_path: str, paths: Sequence[str]) -> tuple[str, Raised] | None:
    """The first failing test of a run with what it raised, the frames of `test_path` left out."""
    known = frozenset(paths)
    for test_id, trace in run.report.traces.items():
        frames = [f for f in trace.frames if f.path != test_path]
        levels = tuple(Level(f.path if f.path in known else "", f.line, f.function, f.code) for f in frames)
        return test_id, Raised(trace.error_type.rpartition(".")[2], trace.message, levels)
    return None


def _answers(report: bytes, nonce: str) -> dict[int, Raised | None]:
    """What came over the pipe, by the number of the attempt; lines of others do not count."""
    found: dict[int, Raised | None] = {}
    for line in report.split(b"\n"):
        if not line.startswith(nonce.encode() + b" "):
            continue
        with contextlib.suppress(ValueError, KeyError, TypeError):
            record = cast("dict[str, object]", json.loads(line[len(nonce) + 1 :]))
            rows = cast("list[tuple[str, int, str, str]]", record["levels"])
            levels = tuple(Level(str(p), int(n), str(f), str(c)) for p, n, f, c in rows)
            raised = Raised(str(record["error"]), str(record["message"]), levels, int(cast("int", record["line"])))
            found[int(cast("int", record["number"]))] = raised if raised.error else None
    return found
