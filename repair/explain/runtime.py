"""What a failing test saw around a change: variables at lines, in the program as it is and as repaired.

Owns the runs and what is believed of their reports; the tracer is `oracles/inside/emend_values.py`. The program runs
inside the sandbox only; it shares its process with the tracer, so what it reports is bounded and only ever shown.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import cast

from repair.explain.values import LineValues, RunValues, Subject
from repair.oracles.commands import TestCommand, Tool, command_for, is_test_name, parse_command
from repair.oracles.interpreters import environment_folders, find_python, has_module
from repair.oracles.programs import INSIDE, task_file
from repair.oracles.tests import TestOracle
from repair.sandbox import Command
from repair.sources import Source
from repair.views import hunks_patch
from repair.workspace import workspace

AROUND = 2  # lines beside the changed ones
SECONDS = 20.0  # of one run
_LINES, _VALUES, _NAME, _TEXT = 40, 20, 60, 160  # lines, values of a line, characters of a name and of a value


def observed(oracle: TestOracle, test: str, subject: Subject, source: Source) -> tuple[RunValues | None, str]:
    """Run the failing test twice and tell what it saw; None with the reason where there is nothing to tell.

    Raises SandboxError when the sandbox itself breaks, OracleError or InputError for an unusable project.
    """
    if source.language != "python":
        return None, "run-time values are taken of Python programs only"
    command = _command(oracle)
    if command.tool not in (Tool.PYTEST, Tool.UNITTEST, Tool.PYTHON):
        return None, f"run-time values are taken of pytest, unittest and scripts, not of `{command.shown}`"
    old, new = watched_lines(subject, source.line_count)
    text = hunks_patch(source, subject.hunks).apply({source.path: source.text})[source.path]
    repaired = source.with_text(text)
    sides = [_run(oracle, command, test, one, lines) for one, lines in ((source, old), (repaired, new))]
    if not any(sides):
        return None, "the failing test told no values: it may not come to these lines, or not in this process"
    return RunValues(test, *sides), ""


def watched_lines(subject: Subject, count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Lines near the change: in the program as it is (`count` lines), and as repaired."""
    old, new, shift = set[int](), set[int](), 0
    for hunk in sorted(subject.hunks):
        size = len(hunk.text.split("\n")) if hunk.text or hunk.inserts else 0
        old |= set(range(hunk.first - AROUND, hunk.last + AROUND + 1))
        new |= set(range(hunk.first + shift - AROUND, hunk.first + shift + size + AROUND))
        shift += size - (hunk.last - hunk.first + 1)
    return tuple(sorted(n for n in old if 1 <= n <= count))[:_LINES], tuple(
        sorted(n for n in new if 1 <= n <= count + shift)
    )[:_LINES]


def _command(oracle: TestOracle) -> TestCommand:
    if oracle.command is not None:
        return parse_command(oracle.command)
    names = [path for path in sorted(oracle.tests) if is_test_name(path)] or sorted(oracle.tests)
    return command_for(names, pytest=has_module(find_python(oracle.python, oracle.project), "pytest"))


def _run(
    oracle: TestOracle, command: TestCommand, test: str, source: Source, lines: tuple[int, ...]
) -> tuple[LineValues, ...]:
    """One run of one test over one state of the source."""
    python = find_python(oracle.python, oracle.project, command.python)
    nonce = secrets.token_hex(16)
    task: dict[str, object] = {
        "cwd_on_path": command.cwd_on_path, "paths": environment_folders(python, oracle.project.resolve()),
        "values": {"path": source.path, "lines": lines},
    }  # fmt: skip
    if command.tool is Tool.PYTHON:
        task |= {"mode": "script", "script": command.args[0], "args": command.args[1:]}
    else:
        files = [test.partition("::")[0]] if command.tool is Tool.PYTEST else []
        task |= {
            "mode": command.tool.value, "args": command.args, "functions": command.functions, "plain": True,
            "measures": True, "distributes": True, "only": [test], "files": files, "terse": True,
            "trace": [source.path],
        }  # fmt: skip
    overlay = {**{s.path: s.to_bytes() for s in oracle.sources}, **oracle.tests, source.path: source.to_bytes()}
    seconds = min(SECONDS, oracle.limits.wall_seconds)
    with workspace(oracle.project, files=overlay, max_bytes=oracle.limits.disk_bytes // 2) as root:
        done = oracle.sandbox.run(
            Command(
                (str(python.path), "-m", "emend_values"),
                project=root,
                files=task_file(nonce, **task),
                env={"PYTHONDONTWRITEBYTECODE": "1", **_without_paths(command.env), "PYTHONPATH": str(INSIDE)},
                readable=(INSIDE, *python.readable),
                limits=replace(oracle.limits, wall_seconds=seconds, cpu_seconds=seconds),
                report=True,
            )
        )
    return read_values(done.report, nonce)


def _without_paths(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name != "PYTHONPATH"}


def read_values(report: bytes, nonce: str) -> tuple[LineValues, ...]:
    """The last record of values in a report; whatever is not as it should be is left out."""
    found: object = None
    for line in report.decode("utf-8", "replace").split("\n"):
        head, _, body = line.partition(" ")
        if head != nonce:
            continue
        try:
            record: object = json.loads(body)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and cast("dict[str, object]", record).get("kind") == "values":
            found = cast("dict[str, object]", record).get("lines")
    return tuple(_lines(found))


def _lines(found: object) -> Iterator[LineValues]:
    if not isinstance(found, dict):
        return
    known = {int(n): one for n, one in cast("dict[str, object]", found).items() if n.isdecimal() and len(n) < 9}
    for line in sorted(known)[:_LINES]:
        one = known[line]
        if not isinstance(one, dict):
            continue
        record = cast("dict[str, object]", one)
        hits, values = record.get("hits"), record.get("values")
        if isinstance(hits, int) and isinstance(values, list):
            pairs = tuple(_pairs(cast("list[object]", values)))
            cut = (("(last visits)", "only counted"),) if record.get("cut") is True else ()
            yield LineValues(line, hits, (*pairs, *cut))


def _pairs(values: list[object]) -> Iterator[tuple[str, str]]:
    for pair in values[:_VALUES]:
        match pair:
            case [str(name), str(text)]:
                yield name[:_NAME], text[:_TEXT]
            case _:
                continue
