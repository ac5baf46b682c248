"""Executed examples: faults that really break a function, with the failure that was really observed.

Functions that can run alone are run on drawn inputs; what the original answers becomes their tests. A mutant is
kept only if a test breaks (SWE-smith, Yang et al. 2025), and carries that test, the error text in the form that
our own oracle reports it, and the true lines of the traceback. Gives training examples and, in our suite format,
programs for evaluation. Owns the child process; what can run is decided by `standalone`.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from select import select

from data.mutants import Example, Injector, Unit, broken, draw_fault, example, units
from data.recipe import Recipe
from data.sources.packages import CodeFile
from data.standalone import Module, Standalone, draw_calls, standalone
from repair.edits import Span
from repair.mutate import Mutation, sites

CALLS = 30
TESTS = 8
JOB_SECONDS = 20.0
LOUD_SHARE = 0.3
_LOUD = ("TypeError", "NameError", "UnboundLocalError", "AttributeError")
_WIDEST = 90  # characters of a result that makes a readable assertion
Outcome = tuple[str, str, tuple[int, ...]]  # "value" | "raise" | "hang", text, lines innermost first


@dataclass(slots=True)
class Runner:
    """A child process that runs programs; replaced by a new one when it dies or hangs."""

    _child: subprocess.Popen[str] | None = field(default=None)
    deaths: int = 0

    def _started(self) -> subprocess.Popen[str]:
        if self._child is not None and self._child.poll() is not None:
            self.close()
        if self._child is None:
            path = Path(__file__).with_name("runner.py")
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-B", "-W", "ignore", str(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env={"PYTHONHASHSEED": "0"},
            )
        return self._child

    def run(self, program: str, calls: list[str]) -> list[Outcome] | None:
        """The outcome of each call, None when the child died of them (out of memory, a call that never came back)."""
        child = self._started()
        if child.stdin is None or child.stdout is None:
            return None
        try:
            child.stdin.write(json.dumps({"program": program, "calls": calls}) + "\n")
            child.stdin.flush()
            ready, _, _ = select([child.stdout], [], [], JOB_SECONDS)
            line = child.stdout.readline() if ready else ""
        except BrokenPipeError:
            line = ""
        if not line:
            self.deaths += 1
            self.close()
            return None
        return [(o[0], o[1], tuple(o[2]) if len(o) > 2 else ()) for o in json.loads(line)]

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None


@dataclass(frozen=True, slots=True)
class Tested:
    """A function with tests that it passes: (call, repr of its result)."""

    unit: Unit
    alone: Standalone
    tests: tuple[tuple[str, str], ...]

    @property
    def shift(self) -> int:
        """Lines of the program before the function."""
        return self.alone.prefix.count("\n")

    def program(self, text: str) -> str:
        """The whole program with another text of the function."""
        return self.alone.prefix + text


@dataclass(frozen=True, slots=True)
class Broken:
    """An executed example, its program and the tests that it was run on."""

    example: Example
    buggy: str
    fixed: str
    tests: tuple[str, ...]
    failing: int  # how many of them fail


def tested(unit: Unit, module: Module, runner: Runner, draw: random.Random) -> Tested | None:
    """The unit with tests, None when it cannot run alone or answers too little that could be tested."""
    if unit.function.class_header or unit.text[:1] in " \t@":
        return None
    alone = standalone(module, unit.function.name)
    if alone is None:
        return None
    calls = draw_calls(alone, CALLS, draw)
    outcomes = runner.run(alone.prefix + unit.text, calls)
    again = runner.run(alone.prefix + unit.text, calls) if outcomes else None
    if outcomes is None or outcomes != again:  # not deterministic
        return None
    good = [(c, o[1]) for c, o in zip(calls, outcomes, strict=True) if o[0] == "value" and len(o[1]) <= _WIDEST]
    good = [(c, want) for c, want in good if " at 0x" not in want and "nan" not in want and len(c) <= _WIDEST]
    if len(good) < 3 or len({want for _, want in good}) < 2:
        return None
    return Tested(unit, alone, tuple(_varied(good, draw)))


def _varied(good: list[tuple[str, str]], draw: random.Random) -> list[tuple[str, str]]:
    """At most TESTS tests, different results first."""
    draw.shuffle(good)
    by_result: dict[str, tuple[str, str]] = {}
    for test in good:
        by_result.setdefault(test[1], test)
    first = list(by_result.values())[:TESTS]
    return first + [t for t in good if t not in first][: TESTS - len(first)]


def _error(outcome: Outcome, want: str, draw: random.Random) -> str:
    kind, text, _ = outcome
    if kind == "hang":
        return "Timeout: it had not ended when its time was up"
    if kind == "raise":
        return text[:300]
    forms = ("AssertionError: got {got}, expected {want}",) * 6 + ("AssertionError", "assert {got} == {want}")
    return draw.choice(forms).format(got=text[:120], want=want[:120])


def observed(made: Example, case: Tested, text: str, runner: Runner, draw: random.Random) -> Broken | None:
    """The example with what really happens when its text runs; None when every test still passes."""
    program = case.program(text)
    outcomes = runner.run(program, [call for call, _ in case.tests])
    if outcomes is None:
        return None
    failing = [n for n, o in enumerate(outcomes) if o[0] != "value" or o[1] != case.tests[n][1]]
    if not failing:
        return None
    first = failing[0]
    outcome, (call, want) = outcomes[first], case.tests[first]
    base = made.view.first_line - case.shift - 1
    lines = dict.fromkeys(n + base for n in outcome[2])
    frames = tuple(n for n in lines if made.view.first_line <= n <= made.view.last_line)
    shown = [case.tests[n] for n in range(first)][-draw.choice((0, 1, 2)) :] if draw.random() < 0.5 else []
    test = "\n".join(f"assert {c} == {w}" for c, w in [*shown, (call, want)])
    view = replace(made.view, error=_error(outcome, want, draw), frames=frames[:3], test=test)
    tests = tuple(f"assert {c} == {w}" for c, w in case.tests)
    return Broken(
        replace(made, view=view, error_made=False), program, case.program(case.unit.text), tests, len(failing)
    )


def _kept(case: Tested, found: list[Mutation], runner: Runner, draw: random.Random) -> Broken | None:
    made = example(case.unit, found, draw)
    return None if made is None else observed(made, case, broken(case.unit, found), runner, draw)


def _wanted(made: Broken, draw: random.Random) -> bool:
    """Whether to keep it: most of those that crash at once are left out, real faults are rarely that loud."""
    loud = made.example.view.error.startswith(_LOUD) and made.failing == len(made.tests)
    return not loud or draw.random() < LOUD_SHARE


def executed(file: CodeFile, injector: Injector, runner: Runner, *, each: int, seed: int) -> Iterator[Broken]:
    """Up to `each` broken versions of each function of a file that can be run, no syntax errors among them."""
    draw = random.Random(f"{seed}:executed:{file.package}:{file.path}")
    module = Module.of(file.text)
    if module is None or not any(standalone(module, name) for name in module.provided):
        return
    for unit in units(file, draw):
        case = tested(unit, module, runner, draw)
        if case is None:
            continue
        places = sites(unit.source, Span(unit.start, unit.start + len(unit.text)))
        texts: set[tuple[str, ...]] = set()
        for _ in range(each):
            fault = draw_fault(unit, places, injector.quota, draw, syntax=False)
            made = None if fault is None else _kept(case, [fault], runner, draw)
            if made is not None and made.example.view.lines not in texts and _wanted(made, draw):
                texts.add(made.example.view.lines)
                injector.quota.drawn.update(made.example.bug_classes)
                injector.made += 1
                yield made


def dropped_out(made: Broken, draw: random.Random) -> Example:
    """The training example, with parts of the evidence left out in some: not every user has them."""
    view = made.example.view
    if draw.random() < 0.15:
        view = replace(view, error="", frames=())
    if draw.random() < 0.25:
        view = replace(view, test="")
    return replace(made.example, view=view)


def suite_row(made: Broken, number: int) -> dict[str, object]:
    """The program in our suite format: half of the tests held out, at least one failing among the visible ones."""
    view, tests = made.example.view, list(made.tests)
    shown = [t for t in tests if t in view.test.split("\n")]
    rest = [t for t in tests if t not in shown]
    visible = shown + rest[: max(0, len(tests) // 2 - len(shown))]
    hidden = [t for t in rest if t not in visible]
    row: dict[str, object] = {
        "id": f"{made.example.package}/{made.example.function}/{number}",
        "language": "python",
        "buggy_code": made.buggy,
        "fixed_code": made.fixed,
        "tests": "\n".join(visible) + "\n",
        "entry_point": made.example.function,
        "bug_type": made.example.bug_classes[0],
        "error": view.error,
        "source": made.example.package,
    }
    return row | ({"held_out_tests": "\n".join(hidden) + "\n"} if hidden else {})


def all_executed(files: Iterable[CodeFile], recipe: Recipe, *, seed: int) -> Iterator[Broken]:
    """Those of many files, more of algorithmic ones; one child runs them all and is ended afterwards."""
    runner, injector = Runner(), Injector(seed, 0, 0)
    try:
        for file in files:
            each = recipe.executed_each * recipe.weight(file.package, file.path)
            yield from executed(file, injector, runner, each=each, seed=seed)
    finally:
        runner.close()
