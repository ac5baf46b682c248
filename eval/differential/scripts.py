"""Runs the drivers of `inside/` behind code under test, and reads what they write.

Owns the text of the scripts and the reading of answers. Knows nothing of what is expected: answers are compared
out here, so that a script has nothing to forge. A run that does not reach its end under the nonce of
`repair.oracles.programs` keeps the answers it gave until then.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

from eval.differential.scenarios import Recorded, Scenario, read_calls
from eval.differential.values import Json, listed
from eval.suites.rows import LANGUAGES
from repair.languages import parse
from repair.oracles.programs import Program, Programs, Run
from repair.sandbox import MIB, Limits
from repair.sources import Source

_INSIDE = Path(__file__).parent / "inside"
_DRIVERS = {"python": "driver.py", "javascript": "driver.cjs"}
MAX_CALLS = 400
RECORD_LIMITS = Limits(wall_seconds=10.0, cpu_seconds=5.0, output_bytes=8 * MIB)


@dataclass(frozen=True, slots=True)
class Pace:
    """Bounds of a replay: CPU seconds of one input (Python only) and of all together, by the driver's own clock."""

    each: float
    together: float
    first_hang_ends: bool = True  # nothing is asked after an input that took too long

    @property
    def limits(self) -> Limits:
        """Bounds of the process, with room for its start."""
        return Limits(self.together * 3 + 10, self.together + 1, output_bytes=16 * MIB)


@dataclass(frozen=True, slots=True)
class Answers:
    """What a replay told: answers by input; the input that was begun last; why it did not end, "" when it did."""

    by_input: Mapping[int, Json]
    begun: int | None
    reason: str
    undecided: str = ""  # the run was killed from outside
    cpu_seconds: float = 0.0


def record_calls(code: str, tests: str, language: str, programs: Programs) -> dict[int, Recorded | None]:
    """The calls that the tests make of the code, run on it."""
    token = secrets.token_hex(8)
    task: dict[str, object] = {"mode": "record", "token": token, "calls": MAX_CALLS, "from": 0}
    if language == "python":
        start = Program(code, "").tests_from
        text = f"{_driver(language)}\n{_call(language, {**task, 'from': start}, code)}\n{tests}"
    else:
        names = ", ".join(_names(code))
        text = f";{_driver(language)}\n(({names}) => {{ {tests}\n}})(...{_call(language, task, code)});"
    run = programs.run(Program(code, text), RECORD_LIMITS)
    return read_calls(_records(run, token))


def replay(code: str, inputs: Sequence[tuple[int, Scenario]], language: str, programs: Programs, pace: Pace) -> Answers:
    """Run numbered inputs on the code, in their order, each with values of its own."""
    token = secrets.token_hex(8)
    records = [[number, [step.record() for step in scenario]] for number, scenario in inputs]
    task: dict[str, object] = {"mode": "replay", "token": token, "inputs": records}
    task |= {"each": pace.each, "seconds": pace.together, "stop": pace.first_hang_ends}
    begin = "" if language == "python" else ";"  # JavaScript code may end without one
    text = f"{begin}{_driver(language)}\n{_call(language, task, code)};"
    run = programs.run(Program(code, text), pace.limits)
    answers: dict[int, Json] = {}
    begun: int | None = None
    for record in _records(run, token):
        if isinstance(record.get("begin"), int):
            begun = cast("int", record["begin"])
        number = record.get("number")
        if isinstance(number, int):
            answers.setdefault(number, record.get("answers"))
    return Answers(answers, begun, run.observation.reason, run.infrastructure, run.cpu_seconds)


def ended(answers: Json) -> bool:
    """Whether an input was answered to its end: no time-out, nothing too large to tell."""
    return isinstance(answers, list) and not any(a in ({"timeout": 1}, {"large": 1}) for a in listed(answers))


@cache
def _driver(language: str) -> str:
    return (_INSIDE / _DRIVERS[language]).read_text()


def _call(language: str, task: Mapping[str, object], code: str) -> str:
    """The call of the driver."""
    text = json.dumps(task)
    if language == "python":
        return f"_emend_driver(__import__('json').loads({text!r}))"
    return f"_emendDriver(JSON.parse({json.dumps(text)}), {{ {', '.join(_names(code))} }})"


def _names(code: str) -> list[str]:
    """Functions, classes and variables that JavaScript code declares at its top level."""
    tree = parse(Source(LANGUAGES["javascript"], code, "javascript"))
    found: dict[str, None] = {}
    for statement in tree.root.named_children if tree.root else ():
        declared = [c for c in statement.children if c.kind == "variable_declarator"] or [statement]
        for node in declared:
            name = node.child("name")
            if name is not None and name.kind == "identifier":
                found[tree.text(name)] = None
    return list(found)


def _records(run: Run, token: str) -> Iterator[Mapping[str, object]]:
    prefix = f"{token} ".encode()
    for line in run.stdout.split(b"\n"):
        if line.startswith(prefix):
            try:
                record = json.loads(line[len(prefix) :])
            except ValueError:
                continue
            if isinstance(record, dict):
                yield cast("dict[str, object]", record)
