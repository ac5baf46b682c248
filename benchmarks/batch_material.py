"""What the batch benchmarks work on: projects of a TOML file, faults of theirs that tests notice, repositories of them.

    [[project]]
    name = "humanize"                    # of file names and tables
    path = "src/humanize"                # a git checkout; relative paths are of the TOML file's folder
    python = "envs/humanize/bin/python"  # has what the tests need
    test = "python -m pytest -q"         # everything passes with it; pytest
    tests = 784                          # how many; for the reader
    seconds = 3.8                        # of a run; for the reader

Faults are made once by the data pipeline (`data.executable`) and kept, a JSON line each, in FOLDER/NAME.jsonl: another
run reads them. A fault is a change to one function, each in a function of its own, with all tests that it breaks.
"""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from repair.oracles.interpreters import environment_folders, find_python  # noqa: E402
from repair.oracles.tests import TEST_LIMITS  # noqa: E402
from repair.sandbox import Command, Limits, Sandbox  # noqa: E402

_UNQUOTABLE = frozenset("$`\n\r\0")  # a command with one of them would be given to a shell
_MOST_DESELECTED = 200
_RUN_SECONDS = 300.0
_OUTPUT = 256 << 20  # the lines that each of thousands of tests executes are many
_AUTHOR = ("-c", "user.name=Emend benchmark", "-c", "user.email=benchmark@example.org", "-c", "commit.gpgsign=false")
_STAMP = "2026-01-01T00:00:00Z"  # of commits, so that the same material has the same ids
# A pytest plugin of our own, ten lines, so that the last word on a patch is not the repair's own judging code.
_PLUGIN = """
import json, os
_ends, _fd = {}, int(os.environ["EMEND_REPORT_FD"])
def pytest_runtest_logreport(report):
    worst = max(_ends.get(report.nodeid, "passed"), {"passed": "passed", "skipped": "skipped"}.get(report.outcome, "zfailed"))
    _ends[report.nodeid] = worst
def pytest_sessionfinish():
    with os.fdopen(os.dup(_fd), "w") as file:
        json.dump([test for test, end in _ends.items() if end == "passed"], file)
"""  # noqa: E501


@dataclass(frozen=True, slots=True)
class Target:
    """A project of the TOML file."""

    name: str
    path: Path
    python: Path
    test: str
    tests: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Broken:
    """A fault: one file before (`fixed`) and after (`buggy`), and what that does to the tests."""

    id: str
    project: str
    path: str
    buggy: str
    fixed: str
    fail_to_pass: tuple[str, ...]
    pass_to_pass: tuple[str, ...]
    error: str
    bug_class: str


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Which failing tests the repair may see. `command` leaves the others out; `hidden` has passing ones too."""

    command: str
    visible: tuple[str, ...]
    tests: tuple[str, ...]
    hidden: frozenset[str] = field(default_factory=frozenset[str])


def read_targets(file: Path) -> tuple[Target, ...]:
    """The projects of a TOML file, in its order. Raises SystemExit naming what is wrong."""
    try:
        rows = tomllib.loads(file.read_text("utf-8")).get("project", [])
        base = file.resolve().parent
        found = tuple(
            Target(row["name"], base / row["path"], base / row["python"], row["test"], int(row.get("tests", 0)),
                   float(row.get("seconds", 0)))
            for row in rows
        )  # fmt: skip
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise SystemExit(f"{file} cannot be read ({error!r}); its format stands in {__file__}") from error
    for target in found:
        if not (target.path / ".git").exists() or not target.python.exists():
            raise SystemExit(f"{target.name}: {target.path} must be a git checkout and {target.python} a Python")
    return found


def git(folder: Path, *words: str, stdin: str | None = None) -> str:
    """Run git over material of our own; CalledProcessError where it fails."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_DATE": _STAMP,
        "GIT_COMMITTER_DATE": _STAMP,
    }
    done = subprocess.run(
        ("git", *_AUTHOR, "-C", str(folder), *words),
        input=stdin, capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    return done.stdout


def faults_of(target: Target, folder: Path, count: int, seed: int) -> tuple[Broken, ...]:
    """`count` faults, made where the cache does not have them yet (fewer where the project gives no more)."""
    file = folder / f"{target.name}.jsonl"
    rows = _rows(file)
    if sum("buggy_file" in row for row in rows) < count and not any("exhausted" in row for row in rows):
        _make(target, file, rows, count, seed)
        rows = _rows(file)
    kept = [row for row in rows if "buggy_file" in row][:count]
    return tuple(_broken(target, row) for row in kept)


def _rows(file: Path) -> list[dict[str, Any]]:
    """Whole lines only: the last one may have been cut by a kill."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text("utf-8").split("\n")[:-1]]


def _broken(target: Target, row: Mapping[str, Any]) -> Broken:
    return Broken(
        row["id"], target.name, row["path"], row["buggy_file"], row["fixed_file"], tuple(row["fail_to_pass"]),
        tuple(row["pass_to_pass"]), row["error"], row["bug_type"],
    )  # fmt: skip


def _make(target: Target, file: Path, rows: Sequence[Mapping[str, Any]], count: int, seed: int) -> None:
    from data.executable import ExecuteOptions, executable_mutants

    kept = sum("buggy_file" in row for row in rows)
    options = ExecuteOptions(
        target.path, target.test, target.python, mutants=count - kept, attempts=60 * count, each=1, seed=seed,
        whole=True, skip=frozenset(str(row["tried"]) for row in rows if "tried" in row), repository=target.name,
        limits=replace(TEST_LIMITS, output_bytes=_OUTPUT),
    )  # fmt: skip
    file.parent.mkdir(parents=True, exist_ok=True)
    whole = file.read_bytes().rpartition(b"\n") if file.exists() else (b"", b"", b"")
    file.write_bytes(whole[0] + whole[1])
    with file.open("a", encoding="utf-8") as out:

        def report(kind: str, text: str) -> None:
            print(f"{target.name}: {text}", file=sys.stderr, flush=True)
            if kind == "tried":
                out.write(json.dumps({"tried": text.partition(" ")[0], "reason": text.partition(" ")[2]}) + "\n")
                out.flush()

        for one in executable_mutants(options, report):
            out.write(json.dumps({**one.task, "operators": list(one.record.operators)}) + "\n")
            out.flush()
            kept += 1
        if kept < count:
            out.write('{"exhausted": true}\n')


def hold_out(fault: Broken, command: str, seed: int) -> HeldOut:
    """Half of the failing tests, whole functions where there are several; none where only one test fails.

    Left out by `--deselect`, which goes by beginnings of ids: passing tests may go with them, they are `hidden` too.
    """
    functions: dict[str, list[str]] = {}
    for test in fault.fail_to_pass:
        functions.setdefault(test.partition("[")[0], []).append(test)
    draw = random.Random(f"{seed}:{fault.id}")
    groups = list(functions.values()) if len(functions) > 1 else [[test] for test in fault.fail_to_pass]
    draw.shuffle(groups)
    chosen = [test for group in groups[: len(groups) // 2] for test in group]
    words = _deselected(chosen)
    everything = (*fault.fail_to_pass, *fault.pass_to_pass)
    hidden = frozenset(test for test in everything if test.startswith(words)) if words else frozenset[str]()
    visible = tuple(test for test in fault.fail_to_pass if test not in hidden)
    if not visible or not words:
        return HeldOut(command, fault.fail_to_pass, ())
    told = " ".join(f"--deselect {shlex.quote(word)}" for word in words)
    return HeldOut(f"{command} {told}", visible, tuple(t for t in fault.fail_to_pass if t in hidden), hidden)


def _deselected(tests: Sequence[str]) -> tuple[str, ...]:
    """Ids where they are few and can stand in a command, else their functions."""
    plain = len(tests) <= _MOST_DESELECTED and not any(_UNQUOTABLE.intersection(test) for test in tests)
    words = tests if plain else [test.partition("[")[0] for test in tests]
    return tuple(word for word in dict.fromkeys(words) if not _UNQUOTABLE.intersection(word))


def fault_repository(target: Target, files: Mapping[str, str], folder: Path, *, history: bool = False) -> Path:
    """A repository at `folder` whose HEAD has the project's tree with `files` laid over.

    With `history` the real one lies under that commit, which then tells by itself what has changed; without, all is
    one commit and tells nothing.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    git(folder.parent, "clone", "-q", "--shared", str(target.path), str(folder))
    for path, text in files.items():
        (folder / path).write_bytes(text.encode("utf-8", "surrogatepass"))
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "Work in progress")
    if not history:
        tree = git(folder, "rev-parse", "HEAD^{tree}").strip()
        root = git(folder, "commit-tree", tree, "-m", "The code as it is").strip()
        git(folder, "reset", "-q", "--hard", root)
    git(folder, "remote", "remove", "origin")
    return folder


def applied(folder: Path, diff: str, into: Path) -> Path:
    """A copy of the repository's HEAD with a unified diff applied. Raises CalledProcessError where it does not fit."""
    shutil.rmtree(into, ignore_errors=True)
    git(folder.parent, "clone", "-q", "--shared", str(folder), str(into))
    if diff:
        git(into, "apply", "--whitespace=nowarn", "-", stdin=diff)
    return into


def passing(tree: Path, target: Target, sandbox: Sandbox) -> frozenset[str]:
    """Tests that pass in a whole run by plain pytest: no warm process, no selection, no judging of ours."""
    python = find_python(target.python, target.path)
    words = shlex.split(target.test)
    environment = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        environment[name] = value
    paths = (".emend-plain", *environment_folders(python, target.path.resolve()), environment.pop("PYTHONPATH", ""))
    options = words[words.index("pytest") + 1 :]
    command = Command(
        (str(python.path), "-m", "pytest", "-p", "emend_plain", "-p", "no:cacheprovider", *options),
        project=tree,
        files={".emend-plain/emend_plain.py": _PLUGIN.encode()},
        env={**environment, "PYTHONPATH": os.pathsep.join(path for path in paths if path)},
        readable=python.readable,
        limits=Limits(_RUN_SECONDS, _RUN_SECONDS, output_bytes=_OUTPUT),
        report=True,
    )  # fmt: skip
    done = sandbox.run(command)
    return frozenset(json.loads(done.report)) if done.report else frozenset()


def made(targets: Sequence[Target], folder: Path, count: int, seed: int) -> Iterator[tuple[Target, tuple[Broken, ...]]]:
    """Every project with its faults, as they are made."""
    for target in targets:
        yield target, faults_of(target, folder, count, seed)


def main() -> int:
    """Make the faults of every project: python benchmarks/batch_material.py PROJECTS.toml FOLDER [COUNT [NAME ...]]."""
    file, folder, *rest = sys.argv[1:]
    count, names = int(rest[0]) if rest else 10, rest[1:]
    chosen = [target for target in read_targets(Path(file)) if not names or target.name in names]
    for target, faults in made(chosen, Path(folder), count, 0):
        print(f"{target.name}: {len(faults)} faults", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
