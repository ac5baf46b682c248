"""Programs: run one script of a language inside a sandbox and tell whether it ran to its very end.

Owns the wrappers per language and the nonce. Knows nothing of candidates or verdicts.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import shutil
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from repair.errors import OracleError
from repair.oracles.interpreters import Interpreter, find_python
from repair.oracles.javascript import cut_tests
from repair.oracles.judging import decoded, stopped_reason
from repair.oracles.reports import Report, read_report
from repair.sandbox import Command, Execution, Limits, Sandbox, Zygote
from repair.verdicts import Observation

INSIDE = Path(__file__).parent / "inside"
TASK_FILE = ".emend-task.json"
PRELOAD = (
    "emend_inside", "emend_probe", "emend_trace", "ast", "bisect", "collections", "copy", "datetime", "functools",
    "hashlib", "heapq", "itertools", "json", "math", "operator", "random", "re", "string", "typing",
)  # fmt: skip
_PUBLIC_CLASS = re.compile(
    r"^\s*public\s+(?:(?:final|abstract|sealed|strictfp)\s+)*(?:class|interface|enum|record)\s+(\w+)", re.M
)
_UNIT_SECONDS = 1.5  # CPU time of one traced assertion before it counts as hanging
_DEFAULT_PATHS = {"python": "solution.py", "javascript": "solution.js", "java": "Main.java"}
# Quick to start rather than quick to run. Standard output becomes the report pipe, see EmendLauncher.java.
_JAVA_SCRIPT = """
mkdir -p "$1"
"$2" -J-Xshare:auto -J-XX:TieredStopAtLevel=1 -J-XX:+UseSerialGC \\
    -proc:none -nowarn -encoding UTF-8 -d "$1" "$3" "$4" >&2 || exit 1
exec "$5" -Xshare:auto -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$1" EmendLauncher >&"$EMEND_REPORT_FD"
"""


@dataclass(frozen=True, slots=True)
class Program:
    """A script: code under test, tests after it; `path` is the file name it runs under."""

    code: str
    tests: str
    path: str = ""

    @property
    def text(self) -> str:
        """The whole script."""
        return f"{self.code}\n\n{self.tests}\n"

    @property
    def tests_from(self) -> int:
        """1-based line at which the tests begin."""
        return self.code.count("\n") + 3


@dataclass(frozen=True, slots=True)
class Run:
    """One run: what it comes to, the runner's own report, and whether something else than the script is at fault."""

    observation: Observation
    report: Report
    infrastructure: str = ""
    cpu_seconds: float = 0.0
    stdout: bytes = b""  # whole, where the observation's output has its middle left out


class _Runner(Protocol):
    """Starts one script; with `probe` cut into single assertions, None where it cannot be."""

    def __call__(self, program: Program, nonce: str, limits: Limits, *, probe: bool) -> Execution | None: ...


class Programs:
    """Runs scripts of one language, warm where the language allows."""

    def __init__(self, runner: _Runner) -> None:
        self._runner = runner
        self.runs = 0

    @classmethod
    @contextlib.contextmanager
    def warm(cls, sandbox: Sandbox, language: str) -> Generator[Programs]:
        """Raises OracleError when the language cannot be run here."""
        if language == "python":
            with _warm_python(sandbox, find_python()) as runner:
                yield cls(runner)
        elif language == "javascript":
            yield cls(_node(sandbox))
        elif language == "java":
            yield cls(_java(sandbox))
        else:
            raise OracleError(f"scripts in {language!r} cannot be run here; python, javascript and java can")

    def run(self, program: Program, limits: Limits) -> Run:
        """Run the script as it is."""
        run = self._run(program, limits, probe=False)
        assert run is not None  # only a probe can have nothing to run
        return run

    def probe(self, program: Program, limits: Limits) -> Run | None:
        """Run the script cut into single assertions, with coverage; None where it cannot be cut."""
        return self._run(program, limits, probe=True)

    def _run(self, program: Program, limits: Limits, *, probe: bool) -> Run | None:
        nonce = secrets.token_hex(16)
        execution = self._runner(program, nonce, limits, probe=probe)
        if execution is None:
            return None
        self.runs += 1
        report = read_report(execution.report, nonce)
        observation = _observed(execution, report, limits)
        return Run(observation, report, killed_from_outside(execution), execution.cpu_seconds, execution.stdout)


def killed_from_outside(execution: Execution) -> str:
    """SIGKILL or SIGTERM that no limit explains came from outside: nothing may be concluded."""
    if execution.stopped is None and execution.code in (-9, 137, -15, 143):
        return "the run was killed from outside of the sandbox"
    return ""


def _observed(execution: Execution, report: Report, limits: Limits) -> Observation:
    reason = _why_not(execution, report, limits)
    return Observation(
        passed=not reason,
        complete=execution.stopped is None and not killed_from_outside(execution),
        output=decoded(execution),
        seconds=execution.wall_seconds,
        reason=reason,
    )


def _why_not(execution: Execution, report: Report, limits: Limits) -> str:
    """Why the script does not pass, in one sentence; "" when it does."""
    if stopped := stopped_reason(execution, limits):
        return f"the script {stopped}"
    found = report.broken or report.failure
    if found:
        return found.headline[:300]
    if execution.code != 0:
        last = execution.stderr.decode("utf-8", "replace").strip().rsplit("\n", 1)[-1][:200]
        return f"the script ended with status {execution.code}" + (f": {last}" if last else "")
    if report.ended is None or report.exits:
        return "the script left before its end (with status 0)"
    if report.threads:
        return "the script left a daemon thread running at its end"
    return ""


def task_file(nonce: str, **fields: object) -> dict[str, bytes]:
    """What `emend_inside` reads and removes before anything else runs."""
    return {TASK_FILE: json.dumps({"nonce": nonce, **fields}).encode()}


@contextlib.contextmanager
def _warm_python(sandbox: Sandbox, python: Interpreter) -> Generator[_Runner]:
    env = {"PYTHONPATH": str(INSIDE), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    command = Command((str(python.path),), env=env, readable=(INSIDE, *python.readable), report=True)
    with sandbox.zygote(command, preload=PRELOAD) as zygote:
        yield _python(zygote)


def _python(zygote: Zygote) -> _Runner:
    def run(program: Program, nonce: str, limits: Limits, *, probe: bool) -> Execution:
        path, mode = program.path or _DEFAULT_PATHS["python"], "probe" if probe else "script"
        unit_seconds = min(_UNIT_SECONDS, limits.cpu_seconds / 3)
        task = task_file(nonce, mode=mode, script=path, tests_from=program.tests_from, unit_seconds=unit_seconds)
        files = {path: program.text.encode("utf-8", "surrogatepass"), **task}
        return zygote.run(files, ("-m", "emend_run"), limits)

    return run


def _node(sandbox: Sandbox) -> _Runner:
    node = shutil.which("node")
    if node is None:
        raise OracleError("node is not installed; it is needed to run JavaScript tests")
    shared = Command(
        (node, "--require", str(INSIDE / "emend_node.cjs")), readable=(INSIDE, *prefix_of(Path(node))), report=True
    )

    def run(program: Program, nonce: str, limits: Limits, *, probe: bool) -> Execution | None:
        path = program.path or _DEFAULT_PATHS["javascript"]
        key = f"emend{secrets.token_hex(8)}"
        tests = cut_tests(program.code, program.tests, path=path, key=key) if probe else program.tests
        if tests is None:
            return None
        text = f"{replace(program, tests=tests).text}\n;globalThis.{key}();\n"
        task = task_file(nonce, key=key, probe=probe, script=path, tests_from=program.tests_from)
        files = {path: text.encode("utf-8", "surrogatepass"), **task}
        return sandbox.run(replace(shared, argv=(*shared.argv, path), files=files, limits=limits))

    return run


def _java(sandbox: Sandbox) -> _Runner:
    java, javac = shutil.which("java"), shutil.which("javac")
    if java is None or javac is None:
        raise OracleError("java and javac are needed to run Java tests; install a JDK")
    home = Path(java).resolve().parent.parent
    readable = (INSIDE, home, *_settings_of(home))

    def run(program: Program, nonce: str, limits: Limits, *, probe: bool) -> Execution | None:
        if probe:
            return None
        path, launcher = _java_path(program), str(INSIDE / "EmendLauncher.java")
        argv = ("/bin/bash", "-c", _JAVA_SCRIPT, "bash", ".emend-classes", javac, launcher, path, java)
        files = {path: program.text.encode("utf-8", "surrogatepass"), ".emend-nonce": nonce.encode()}
        command = Command(argv, files=files, readable=readable, limits=limits, report=True)
        return sandbox.run(command)

    return run


def _java_path(program: Program) -> str:
    """Javac demands that a file is named after its public class."""
    public = _PUBLIC_CLASS.search(program.text)
    return f"{public[1]}.java" if public else _DEFAULT_PATHS["java"]


def _settings_of(home: Path) -> tuple[Path, ...]:
    """Debian keeps a JDK's settings below /etc and links to them."""
    linked = (path.resolve() for folder in ("conf", "lib") for path in (home / folder).rglob("*") if path.is_symlink())
    return tuple({Path(*path.parts[:3]) for path in linked if path.is_relative_to("/etc") and path.exists()})


def prefix_of(program: Path) -> tuple[Path, ...]:
    """The directory that a program outside of the system's own needs, e.g. ~/.nvm/versions/node/v20."""
    real = program.resolve()
    return () if real.is_relative_to("/usr") else (real.parent.parent,)
