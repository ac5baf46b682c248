"""Batch repair over real projects with faults that their tests notice: where, plausible, correct, what it costs.

    python benchmarks/batch_faults.py PROJECTS.toml --faults 10 [--seed 0] [--candidates 400] [--fault-seconds 300]
        [--no-model | --model SPEC] [--history] [--work FOLDER] [--only NAME ...] [--first K] [--report-only]

PROJECTS.toml stands in `batch_material.py`. Every fault becomes a repository of its own (without --history one commit,
which tells nothing about what changed last). Half of the failing tests are held out: the test command leaves them out.
The whole batch repair of one repository runs: open, diagnose, mend each fault found, combine. Then, by code that shares
nothing with the judging, plain pytest runs everything on the patched tree:

  localized    the best ranked place (or one of the best five) is a line, a function or a file that the fault changed;
               of the suspected fault that has most of the failing tests. A deleted line is the line that follows it
  plausible    some fault was FIXED (its failing tests pass, nothing else got worse, by the repair's own word)
  correct      the patched file has the reference's syntax tree, or the held-out tests pass and so do all others;
               where nothing was held out the tree alone speaks: "unknown" where it differs
  regressions  tests that passed with the fault, that the repair could see, and fail with the patch, twice; must be 0
  share        of all tests, executed for a judged candidate before the last whole run

A line of FOLDER/results.jsonl is written for each fault and read by the next run: stop and go on at any time.
The table is written to FOLDER/report.json too. Exit status 1 when there is a regression.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent))
from batch_material import (
    Broken,
    HeldOut,
    Target,
    applied,
    fault_repository,
    faults_of,
    hold_out,
    passing,
    read_targets,
)  # fmt: skip

from eval.stats import wilson
from repair.candidates import Completion
from repair.languages import functions, tree_key
from repair.projects.values import Bounds, Combination, Diagnosis, Fault, Fix, Order, Ranked, Refusal, State
from repair.sandbox import Sandbox
from repair.sandboxes.select import find_sandbox
from repair.sources import Source, language_of

if TYPE_CHECKING:
    from repair.model import Decoding, LineBelief, Model, Usage
    from repair.projects.bench import Tally
    from repair.views import Hunk, View

Row = dict[str, Any]
RANKS = (1, 5)


def changed_lines(before: str, after: str) -> frozenset[int]:
    """Lines of `before` (1-based) that `after` changes, or inserts before."""
    found: set[int] = set()
    pairs = SequenceMatcher(None, before.split("\n"), after.split("\n"), autojunk=False)
    for tag, start, end, _, _ in pairs.get_opcodes():
        if tag != "equal":
            found.update(range(start + 1, max(end, start + 1) + 1))
    return frozenset(found)


def function_lines(path: str, text: str, lines: frozenset[int]) -> frozenset[int]:
    """All lines of the innermost functions that hold one of the lines."""
    found = functions(Source(path, text, language_of(path)))
    own: set[int] = set()
    for line in lines:
        around = [f for f in found if f.first_line <= line <= f.last_line]
        if around:
            least = min(around, key=lambda f: f.last_line - f.first_line)
            own.update(range(least.first_line, least.last_line + 1))
    return frozenset(own)


def rank_of(ranking: Sequence[Ranked], path: str, lines: frozenset[int] | None) -> int | None:
    """The first place (from 1) that is in the file and, unless None, on one of the lines."""
    for rank, place in enumerate(ranking, 1):
        span = range(place.first, max(place.first, place.last) + 1)
        if place.path == path and (lines is None or not lines.isdisjoint(span)):
            return rank
    return None


def meant(faults: Sequence[Fault], failing: Iterable[str]) -> Fault | None:
    """The suspected fault with most of the failing tests, the first of equals."""
    wanted = frozenset(failing)
    return max(faults, key=lambda fault: len(wanted.intersection(fault.tests)), default=None)


def ranks_of(fault: Broken, held: HeldOut, diagnosis: Diagnosis | None) -> Row:
    """Ranks of the true place in the three rankings of the suspected fault."""
    found = meant(diagnosis.faults, held.visible) if diagnosis else None
    lines = changed_lines(fault.buggy, fault.fixed)
    inside = function_lines(fault.path, fault.buggy, lines)
    return {
        "line_rank": rank_of(found.lines, fault.path, lines) if found else None,
        "function_rank": rank_of(found.functions, fault.path, inside or lines) if found else None,
        "file_rank": rank_of(found.files, fault.path, None) if found else None,
    }


def final_diff(fixes: Sequence[Fix], combination: Combination | None) -> str:
    """What a user would be given: all fixes together, else the first alone."""
    if combination is not None and combination.passed and combination.diff:
        return combination.diff
    return next((fix.diff for fix in fixes if fix.state is State.FIXED), "")


def decided(*, plausible: bool, same: bool, held: HeldOut, passed: frozenset[str], good: frozenset[str]) -> str:
    """ "yes", "no" or "unknown"; `good` are all tests that passed with the fault and pass on the reference."""
    if not plausible:
        return "no"
    if same:
        return "yes"
    if not held.tests:
        return "unknown"
    return "yes" if passed.issuperset(held.tests) and passed >= good else "no"


class Timed:
    """A model, and the seconds that it took to answer."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.seconds, self.calls = 0.0, 0

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def usage(self) -> Usage:
        return self._model.usage

    def locate(self, view: View) -> LineBelief | None:
        with self._timed():
            return self._model.locate(view)

    def propose(self, view: View, decoding: Decoding) -> Iterator[Completion]:
        answers = iter(self._model.propose(view, decoding))
        while True:
            with self._timed():
                answer = next(answers, None)
            if answer is None:
                return
            yield answer

    def score(self, view: View, changes: Sequence[tuple[Hunk, ...]]) -> Sequence[float] | None:
        with self._timed():
            return self._model.score(view, changes)

    @contextmanager
    def _timed(self) -> Generator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - began
            self.calls += 1


class Stages:
    """Seconds of the stages of one repair, and its pieces as far as they came."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.diagnosis: Diagnosis | None = None
        self.fixes: list[Fix] = []
        self.tallies: list[Tally] = []
        self.combination: Combination | None = None
        self.refused = ""
        self._since = time.monotonic()

    def end(self, name: str) -> None:
        now = time.monotonic()
        self.seconds[name] = round(now - self._since, 3)
        self._since = now


def repaired(order: Order, cache: Path, model: Timed | None, sandbox: Sandbox) -> Stages:
    """The batch repair of one repository, stage by stage, by the functions that `emend batch` calls."""
    from repair.projects.bench import Tally
    from repair.projects.combine import combine
    from repair.projects.diagnosis import diagnose
    from repair.projects.intake import open_project
    from repair.projects.mend import mend

    stages = Stages()
    try:
        with open_project(order, cache=cache, sandbox=sandbox) as project:
            stages.end("intake")
            diagnosis, groundwork = diagnose(project, sandbox, model)
            stages.diagnosis = diagnosis
            stages.end("diagnosis")
            for fault in diagnosis.faults[: order.bounds.faults]:
                tally = Tally()
                stages.fixes.append(mend(project, fault, groundwork, model, sandbox, order.bounds, tally=tally))
                stages.tallies.append(tally)
            stages.end("mend")
            if any(fix.state is State.FIXED for fix in stages.fixes):
                stages.combination = combine(project, stages.fixes, groundwork, sandbox)
            stages.end("combine")
    except Refusal as refusal:
        stages.refused = f"{refusal.standing}: {refusal.reason}"
        stages.end("refused")
    return stages


def measured(
    target: Target, fault: Broken, reference: frozenset[str], model: Timed | None, sandbox: Sandbox,
    arguments: argparse.Namespace,
) -> Row:  # fmt: skip
    """Repair one fault and decide what came of it."""
    held = hold_out(fault, target.test, arguments.seed)
    with tempfile.TemporaryDirectory(prefix="emend-benchmark-", ignore_cleanup_errors=True) as folder:
        history = bool(arguments.history)
        repository = fault_repository(target, {fault.path: fault.buggy}, Path(folder) / "repo", history=history)
        bounds = Bounds(fault_seconds=arguments.fault_seconds, candidates=arguments.candidates, seconds=0)
        name = fault.id.replace("/", "-")
        order = Order(name, str(repository), test=held.command, python=str(target.python), bounds=bounds)
        before = model.seconds if model else 0.0
        stages = repaired(order, arguments.work / "cache", model, sandbox)
        diff = final_diff(stages.fixes, stages.combination)
        row = _told(target, fault, held, stages)
        row["model_seconds"] = round(model.seconds - before, 3) if model else 0.0
        if diff:
            patched = applied(repository, diff, Path(folder) / "patched")
            row |= _decision(target, fault, held, reference, patched, sandbox)
    fixed = any(fix.state is State.FIXED for fix in stages.fixes)
    row["correct"] = row.get("correct", "no") if fixed else "no"
    return {**row, "plausible": fixed, "diff": diff}


def _decision(
    target: Target, fault: Broken, held: HeldOut, reference: frozenset[str], patched: Path, sandbox: Sandbox
) -> Row:
    """What plain pytest and the syntax tree say of a patched tree. What fails is run once more."""
    source = Source(fault.path, fault.fixed, language_of(fault.path))
    mine = (patched / fault.path).read_bytes().decode("utf-8", "surrogatepass")
    others = any((patched / path).read_bytes() != (target.path / path).read_bytes()
                 for path in _tracked(patched) if path != fault.path)  # fmt: skip
    same = not others and tree_key(source.with_text(mine)) == tree_key(source)
    good = reference.intersection(fault.pass_to_pass)
    needed = good | reference.intersection(fault.fail_to_pass)
    passed = passing(patched, target, sandbox)
    if not passed >= needed:
        passed |= passing(patched, target, sandbox)
    broken = good - passed
    return {
        "same_tree": same,
        "correct": decided(plausible=True, same=same, held=held, passed=passed, good=good),
        "regressions": sorted(broken - held.hidden),
        "hidden_broken": sorted(broken & held.hidden),
        "still_failing": sorted(reference.intersection(held.visible) - passed),
        "held_out_failing": sorted(reference.intersection(held.tests) - passed),
    }


def _tracked(tree: Path) -> Iterator[str]:
    for path in sorted(tree.rglob("*")):
        if path.is_file() and not path.is_symlink() and ".git" not in path.relative_to(tree).parts:
            yield path.relative_to(tree).as_posix()


def _told(target: Target, fault: Broken, held: HeldOut, stages: Stages) -> Row:
    """Everything but the decision on the patch, in values that JSON has."""
    diagnosis, fixes, combined = stages.diagnosis, stages.fixes, stages.combination
    tests = diagnosis.tests if diagnosis else 0
    spent = [fix.spent for fix in fixes]
    spent += [diagnosis.spent] if diagnosis else []
    spent += [combined.spent] if combined else []
    mended = [fix.spent for fix in fixes]
    judged, early = (sum(getattr(tally, name) for tally in stages.tallies) for name in ("judged", "early"))
    return {
        "project": target.name, "id": fault.id, "bug_class": fault.bug_class, "path": fault.path,
        "failing": len(fault.fail_to_pass), "visible": len(held.visible), "held_out": len(held.tests),
        **ranks_of(fault, held, diagnosis),
        "refused": stages.refused, "faults": len(diagnosis.faults) if diagnosis else 0,
        "states": [fix.state.value for fix in fixes], "reasons": [fix.reason for fix in fixes],
        "origins": [fix.origin for fix in fixes], "combined": combined.passed if combined else None,
        "tests": tests, "seconds": round(sum(stages.seconds.values()), 3), "stages": stages.seconds,
        "test_runs": sum(s.test_runs for s in spent), "whole_runs": sum(s.whole for s in spent),
        "candidates": sum(s.candidates for s in mended), "executed": sum(s.executed for s in mended),
        "mend_whole": sum(s.whole for s in mended), "mend_seconds": round(sum(s.seconds for s in mended), 3),
        "tokens": sum(s.tokens for s in spent),
        "judged": judged, "early": early, "share": early / (judged * tests) if judged and tests else None,
        "run_seconds": round(sum(t.seconds for t in stages.tallies), 3),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,  # of this process, model included
        "regressions": [], "hidden_broken": [],
    }  # fmt: skip


def summary(rows: Sequence[Row]) -> Row:
    """One row of the table: counts, means, and what is proportions with its 95 % interval."""
    n = len(rows)
    known = [row for row in rows if row["correct"] != "unknown"]
    shares = [row["share"] for row in rows if row["share"] is not None]

    def proportion(of: Sequence[Row], holds: Callable[[Row], bool]) -> list[float]:
        count = sum(map(holds, of))
        return [count, len(of), *(round(bound, 3) for bound in wilson(count, len(of)))] if of else [0, 0, 0.0, 1.0]

    levels = {
        f"{level}@{k}": proportion(rows, lambda row, level=level, k=k: (row[f"{level}_rank"] or k + 1) <= k)
        for level in ("line", "function", "file")
        for k in RANKS
    }
    return {
        "faults": n, **levels,
        "plausible": proportion(rows, lambda row: row["plausible"]),
        "correct": proportion(known, lambda row: row["correct"] == "yes"),
        "unknown": n - len(known),
        "refused": sum(bool(row["refused"]) for row in rows),
        "errors": sum(bool(row.get("error")) for row in rows),
        "regressions": sum(len(row["regressions"]) for row in rows),
        "hidden_broken": sum(len(row["hidden_broken"]) for row in rows),
        "seconds": round(sum(row["seconds"] for row in rows) / n, 1),
        "test_runs": round(sum(row["test_runs"] for row in rows) / n, 1),
        "whole_runs": round(sum(row["whole_runs"] for row in rows) / n, 1),
        "candidates": round(sum(row["candidates"] for row in rows) / n, 1),
        "share": round(sum(shares) / len(shares), 4) if shares else None,
        "tests": max(row["tests"] for row in rows),
    }  # fmt: skip


_COLUMNS = ("faults", "line@1", "line@5", "function@1", "file@1", "plausible", "correct", "unknown", "regressions",
            "seconds", "test_runs", "candidates", "share", "tests")  # fmt: skip


def table(rows: Sequence[Row]) -> tuple[str, Row]:
    """The printed table and the same as a value: each project, then all."""
    names = list(dict.fromkeys(row["project"] for row in rows))
    parts: dict[str, Row] = {name: summary([row for row in rows if row["project"] == name]) for name in names}
    parts["total"] = summary(rows)
    lines = [f"{'project':12}" + "".join(f"{name:>12}" for name in _COLUMNS)]
    for name, part in parts.items():
        lines.append(f"{name:12}" + "".join(f"{_cell(part[column]):>12}" for column in _COLUMNS))
    whole = parts["total"]
    for name, value in whole.items():
        if isinstance(value, list):
            count, n, low, high = value
            lines.append(f"{name:12} {count} of {n}, 95 % interval {100 * low:.0f} to {100 * high:.0f} %")
    return "\n".join(lines), parts


def _cell(value: object) -> str:
    if isinstance(value, list):
        return f"{value[0]}/{value[1]}"
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) and value < 1 else str(value)


def read_rows(file: Path) -> list[Row]:
    """Whole lines only: the last one may have been cut by a kill."""
    if not file.exists():
        return []
    text = file.read_text("utf-8")
    file.write_text(text[: text.rfind("\n") + 1], "utf-8")
    return [json.loads(line) for line in text.split("\n")[:-1]]


def tried(
    arguments: argparse.Namespace, targets: Iterable[Target], done: Mapping[tuple[str, str], Row]
) -> Iterator[Row]:
    """A row for each fault without one."""
    from repair.models.select import load_model

    sandbox = find_sandbox()
    loaded = None if arguments.no_model else load_model(arguments.model, threads=1)
    model = Timed(loaded) if loaded else None
    for target in targets:
        faults = faults_of(target, arguments.work / "faults", arguments.faults, arguments.seed)[: arguments.first]
        left = [fault for fault in faults if (target.name, fault.id) not in done]
        reference = _reference(target, sandbox, arguments) if left else frozenset[str]()
        for fault in left:
            print(f"{target.name} {fault.id}", file=sys.stderr, flush=True)
            try:
                yield measured(target, fault, reference, model, sandbox, arguments)
            except Exception:  # noqa: BLE001  (a bug in what is measured: told, counted, and the others go on)
                print(traceback.format_exc(), file=sys.stderr, flush=True)
                held = hold_out(fault, target.test, arguments.seed)
                row = _told(target, fault, held, Stages())
                yield {**row, "plausible": False, "correct": "no", "diff": "", "error": traceback.format_exc()[-2000:]}


def _reference(target: Target, sandbox: Sandbox, arguments: argparse.Namespace) -> frozenset[str]:
    """Tests that plain pytest sees pass, twice, on the project as it is."""
    with tempfile.TemporaryDirectory(prefix="emend-benchmark-", ignore_cleanup_errors=True) as folder:
        tree = fault_repository(target, {}, Path(folder) / "repo", history=bool(arguments.history))
        return passing(tree, target, sandbox) & passing(tree, target, sandbox)


def main() -> int:
    """Repair, decide, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("projects", type=Path)
    parser.add_argument("--faults", type=int, default=10, help="of a project")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--candidates", type=int, default=400, help="of a fault, at most")
    parser.add_argument("--fault-seconds", type=float, default=300.0, help="of a fault, at most; 0: no bound")
    parser.add_argument("--no-model", action="store_true")
    parser.add_argument("--model", help="default: the embedded one")
    parser.add_argument("--history", action="store_true", help="the project's history under the fault's commit")
    parser.add_argument("--work", type=Path, help="default: the folder of PROJECTS.toml")
    parser.add_argument("--results", help="name of the results in it", default="results")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--first", type=int, default=None, metavar="K", help="faults of each project, for a slice")
    parser.add_argument("--report-only", action="store_true")
    arguments = parser.parse_args()
    arguments.work = (arguments.work or arguments.projects.parent).resolve()
    file = arguments.work / f"{arguments.results}.jsonl"
    rows = read_rows(file)
    targets = [t for t in read_targets(arguments.projects) if not arguments.only or t.name in arguments.only]
    if not arguments.report_only:
        done = {(row["project"], row["id"]): row for row in rows}
        with file.open("a", encoding="utf-8") as out:
            for row in tried(arguments, targets, done):
                out.write(json.dumps(row) + "\n")
                out.flush()
                rows.append(row)
    if not rows:
        raise SystemExit(f"nothing to report: {file} is empty and no project was chosen")
    told, parts = table(rows)
    print(told)
    (arguments.work / f"{arguments.results}.report.json").write_text(json.dumps(parts, indent=1) + "\n", "utf-8")
    return 1 if parts["total"]["regressions"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
