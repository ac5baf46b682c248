"""Preference pairs from programs with tests: candidates that pass against candidates that fail.

Owns which programs may be used, how long a repair goes on, and which candidates make a pair. The repair itself is
`repair.pipeline`; whatever has effects comes in as a Protocol. A program is a JSON line of the suite format (DESIGN.md
§4). Programs that are measured with (the marks that ship with `data`) are left out: a suite is no training set.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from data.dataset import MARKS
from data.decontaminate import marks, read_marks
from data.labels import hunks_of
from data.sources.suites import whole_lines
from repair.campaign import request_views
from repair.defects import Budget, Defect, RepairRequest
from repair.errors import InputError, NothingToRepair, OracleError, PatchError, SuiteError
from repair.model import Model
from repair.oracles.scripts import ScriptOracle, run_script, warm_programs
from repair.pipeline import Finished, Options, repair
from repair.sandbox import Sandbox
from repair.search import SearchOptions
from repair.sources import Source
from repair.traces import parse_error
from repair.verdicts import Judgement, RepairResult, Verdict
from repair.views import Hunk, View
from training.preference import PreferencePair

_PATHS = {"python": "solution.py", "javascript": "solution.js", "java": "Main.java"}
_REQUIRED = ("id", "language", "buggy_code", "tests")
_FAILING = (Verdict.UNFIXED, Verdict.REGRESSED, Verdict.BROKEN)
_CONFIRMED = 12  # plausible candidates of a program that the held-out tests are run on


@dataclass(frozen=True, slots=True)
class Program:
    """Code with a fault and the tests that show it. `held_out_tests` tell a plausible repair from a correct one."""

    id: str
    language: str
    code: str
    tests: str
    held_out_tests: str = ""
    error: str = ""

    @property
    def source(self) -> Source:
        """The code as the file that the tests follow."""
        return Source(_PATHS[self.language], self.code, self.language)


@dataclass(frozen=True, slots=True)
class Judging:
    """What is spent on each program; a repair goes on after the first plausible candidate."""

    candidates: int = 100
    seconds: float = 10.0
    pairs: int = 4  # of each program at most
    seed: int = 0

    def __post_init__(self) -> None:
        if self.pairs < 1:
            raise InputError("at least one pair of each program is needed", field="pairs")


@dataclass(frozen=True, slots=True)
class Judged:
    """What a program gave: its pairs, how many candidates passed and failed, why there is nothing otherwise."""

    id: str
    pairs: tuple[PreferencePair, ...] = ()
    passing: int = 0
    failing: int = 0
    reason: str = ""


def read_programs(path: Path) -> list[Program]:
    """The programs of a file. Raises SuiteError naming line and field, InputError: no such file, no program."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", field=str(path)) from error
    found: list[Program] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(_program(json.loads(line)))
            except (ValueError, InputError) as error:
                field = error.field if isinstance(error, InputError) else ""
                raise SuiteError(f"{path}:{number}: {error}", field=field, line=number) from error
    if not found:
        raise InputError(f"{path} has no programs", field=str(path))
    return found


def _program(row: object) -> Program:
    if not isinstance(row, dict):
        raise InputError("a row must be an object")
    table = cast("Mapping[str, object]", row)
    for name in (*_REQUIRED, "held_out_tests", "error"):
        value = table.get(name)
        needed = name in _REQUIRED
        if (value is None and needed) or (value is not None and not isinstance(value, str)) or (needed and not value):
            raise InputError(f"{name} must be a text", field=name)
    texts = {name: str(table.get(name) or "") for name in (*_REQUIRED, "held_out_tests", "error")}
    if texts["language"] not in _PATHS:
        raise InputError(f"language is {texts['language']!r}; known are {', '.join(_PATHS)}", field="language")
    code = whole_lines(texts.pop("buggy_code"))
    return Program(code=code, **texts)


def judge_programs(
    programs: Iterable[Program], model: Model | None, sandbox: Sandbox, options: Judging
) -> Iterator[Judged]:
    """Repair one program after another. Raises ModelError, SandboxError; a program that cannot be used is told."""
    measured = read_marks(MARKS)
    for program in programs:
        if _is_measured(program, measured):
            yield Judged(program.id, reason="it is a program of a benchmark")
            continue
        try:
            yield judged(program, model, sandbox, options)
        except (NothingToRepair, OracleError) as error:
            yield Judged(program.id, reason=str(error))


def _is_measured(program: Program, measured: frozenset[str]) -> bool:
    try:
        return program.language == "python" and any(mark in measured for _, mark in marks(program.code))
    except (SyntaxError, ValueError, RecursionError):
        return False


def judged(program: Program, model: Model | None, sandbox: Sandbox, options: Judging) -> Judged:
    """Repair one program and pair what passed with what failed.

    With held-out tests a candidate that passes the tests but not those counts as failing: the hardest kind.
    Raises NothingToRepair, OracleError, SandboxError, ModelError.
    """
    result = _repaired(program, model, sandbox, options)
    plausible = [j for j in result.judgements if j.verdict is Verdict.PLAUSIBLE]
    failing = [j for j in result.judgements if j.verdict in _FAILING]
    passing, overfitting = _confirmed(program, plausible, sandbox)
    views = request_views(result.request)
    better = _answers(program, passing, views, model)
    worse = _answers(program, [*overfitting, *failing], views, model)
    pairs = _pairs(program, better, worse)[: options.pairs]
    reason = "" if pairs else "no candidate passed" if not passing else "no candidate failed in the same view"
    return Judged(program.id, tuple(pairs), len(passing), len(failing) + len(overfitting), reason)


def _repaired(program: Program, model: Model | None, sandbox: Sandbox, options: Judging) -> RepairResult:
    request = RepairRequest(
        (program.source,),
        parse_error(program.error) if program.error else Defect(),
        Budget(options.candidates, options.seconds),
    )
    going_on = Options(search=SearchOptions(seed=options.seed), extra=options.candidates)
    oracle = ScriptOracle(program.source, program.tests, sandbox)
    ends = [e.result for e in repair(request, model, oracle, options=going_on) if isinstance(e, Finished)]
    return ends[0]


def _text(program: Program, judgement: Judgement) -> str:
    path = program.source.path
    return judgement.candidate.patch.apply({path: program.code})[path]


def _confirmed(
    program: Program, plausible: Sequence[Judgement], sandbox: Sandbox
) -> tuple[list[Judgement], list[Judgement]]:
    """Plausible candidates that pass the held-out tests too, and those that do not."""
    if not program.held_out_tests or not plausible:
        return list(plausible), []
    passing: list[Judgement] = []
    overfitting: list[Judgement] = []
    with warm_programs(sandbox, program.language) as programs:
        for one in plausible[:_CONFIRMED]:
            seen = run_script(programs, program.language, _text(program, one), program.held_out_tests)
            (passing if seen.passed else overfitting).append(one)
    return passing, overfitting


@dataclass(frozen=True, slots=True)
class _Answer:
    view: View
    hunks: tuple[Hunk, ...]
    score: float  # log-probability where the model gives one, else the order of the search
    verdict: Verdict


def _answers(
    program: Program, judgements: Sequence[Judgement], views: Sequence[View], model: Model | None
) -> list[_Answer]:
    """Candidates as answers about one view, the model's favourites first; those that lie in no view are left out."""
    by_view: dict[int, dict[tuple[Hunk, ...], Judgement]] = {}
    for judgement in judgements:
        try:
            hunks = hunks_of(program.code, _text(program, judgement))
        except PatchError:
            continue
        at = next((n for n, view in enumerate(views) if _inside(view, hunks)), None)
        if at is not None and hunks:
            by_view.setdefault(at, {}).setdefault(hunks, judgement)
    answers: list[_Answer] = []
    for at, found in by_view.items():
        scores = model.score(views[at], list(found)) if model else None
        chosen = scores if scores is not None else [j.candidate.score for j in found.values()]
        answers += [
            _Answer(views[at], hunks, score, judgement.verdict)
            for (hunks, judgement), score in zip(found.items(), chosen, strict=True)
        ]
    return sorted(answers, key=lambda a: -a.score)


def _inside(view: View, hunks: Sequence[Hunk]) -> bool:
    return all(view.first_line <= h.first and max(h.first - 1, h.last) <= view.last_line for h in hunks)


def _pairs(program: Program, better: Sequence[_Answer], worse: Sequence[_Answer]) -> list[PreferencePair]:
    """Each failing answer once, hardest first, against the passing ones of its view in turn."""
    pairs: list[PreferencePair] = []
    used: dict[View, int] = {}
    for one in worse:
        rivals = [b for b in better if b.view == one.view]
        if rivals:
            turn = used.get(one.view, 0)
            used[one.view] = turn + 1
            rival = rivals[turn % len(rivals)]
            pairs.append(PreferencePair(one.view, rival.hunks, one.hunks, f"tests:{program.id}:{one.verdict}"))
    return pairs
