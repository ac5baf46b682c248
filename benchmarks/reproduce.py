"""Reproduce injected faults from tracebacks alone: `python benchmarks/reproduce.py CHECKOUT ...`.

For each checkout (a clone of a repository with pytest tests) faults are drawn by `repair.mutate` that make a call,
which stands in the project's tests and raises nothing on the original code, raise. A scratch script outside of the
project makes that call with its arguments in variables; only the text of the traceback that it prints is given to
`attempt`. Twice: with all tests of the project at hand, and with every test file removed that names the called
function, so that its inputs must be made up. Printed: faults, reproduced, how many of the tests pass on the original
code, seconds. `--shown` writes the arguments into the calling line, where a traceback shows them.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from repair.mutate import MIX, draw, sites
from repair.projects.reproduce import attempt, confirm
from repair.projects.reproduce.harvest import Seen, seen_calls
from repair.projects.reproduce.index import Index
from repair.projects.reproduce.trying import Bench, staged
from repair.projects.reproduce.writing import Draft
from repair.projects.values import Order, Project
from repair.sandbox import Command, Limits, Sandbox
from repair.sandboxes.select import find_sandbox
from repair.sources import Source

COMMAND = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest"
MOST_CALLS = 160
_MIX = {name: share for name, share in MIX.items() if name != "syntax"}


@dataclass(frozen=True)
class Call:
    """A call that works on the original code, and the name of what it calls."""

    name: str
    seen: Seen
    draft: Draft


@dataclass(frozen=True)
class Injected:
    path: str
    original: bytes
    faulty: bytes
    call: Call
    report: str


def project_of(root: Path) -> Project:
    order = Order(root.name, str(root))
    return Project(order, root, "", "", "python", COMMAND, "pytest", "given", Path(sys.executable))


def calls_of(index: Index, random: Random) -> list[Call]:
    """Calls of the project's functions and methods in its tests."""
    found: list[Call] = []
    for name in sorted(index.defined):
        for seen in seen_calls(index, name)[:12]:
            if seen.whole is not None:
                found.append(Call(name, seen, Draft(seen.whole.imports, (seen.whole.text,), name, "")))
    random.shuffle(found)
    return found[:MOST_CALLS]


def script_of(call: Call, *, shown: bool) -> str:
    """The call in a function of a script, its arguments in variables unless `shown`."""
    whole, imports = call.seen.whole, list(call.draft.imports)
    assert whole is not None
    if shown or not whole.text.endswith(")"):
        lines = [whole.text]
    else:
        given = [(f"given_{n}", v) for n, v in enumerate(call.seen.arguments)]
        named = [(f"named_{key}", v) for key, v in call.seen.keywords]
        imports += [i for _, v in (*given, *named) for i in v.imports]
        arguments = [g for g, _ in given] + [f"{k.removeprefix('named_')}={k}" for k, _ in named]
        head = whole.text[: whole.text.index("(")]
        lines = [*(f"{name} = {v.text}" for name, v in (*given, *named)), f"result = {head}({', '.join(arguments)})"]
    body = "\n".join(f"    {line}" for text in lines for line in text.split("\n"))
    return "\n".join(dict.fromkeys(imports)) + f"\n\n\ndef main():\n{body}\n\n\nmain()\n"


def traceback_of(bench: Bench, files: dict[str, bytes], script: str) -> str:
    """What the script prints when it runs outside of the project, below another folder's name."""
    run = "import sys, runpy; sys.path[:0] = sys.argv[2:]; runpy.run_path(sys.argv[1])"
    command = Command(
        (str(bench.python.path), "-c", run, ".emend-scratch/report.py", *(p or "." for p in bench.paths)),
        project=bench.staged,
        files={**files, ".emend-scratch/report.py": script.encode()},
        readable=bench.python.readable,
        limits=Limits(wall_seconds=20.0),
    )
    text = bench.sandbox.run(command).stderr.decode("utf-8", "replace")
    at = text.find('  File ".emend-scratch/report.py"')
    return "Traceback (most recent call last):\n" + text[at:] if at >= 0 else ""


def injected(root: Path, sandbox: Sandbox, wanted: int, seed: int, *, shown: bool) -> Iterator[Injected]:
    random = Random(seed)
    with staged(project_of(root), sandbox) as bench:
        index = bench.index
        calls = calls_of(index, random)
        raised = bench.attempts([c.draft for c in calls], "Any")
        calls = [c for c, r in zip(calls, raised, strict=True) if r is None]
        paths = [p for p in index.sources if index.module(p).partition(".")[0] in index.packages and "/" in p]
        paths = [p for p in paths if not p.startswith(("docs/", "examples/", "benchmarks/", "scripts/"))]
        made = 0
        for _ in range(60 * wanted):
            if made == wanted:
                return
            path = random.choice(paths)
            source = Source(path, index.text(path))
            mutation = draw(sites(source), random, mix=_MIX)
            if mutation is None:
                continue
            edit = mutation.edit
            text = source.text[: edit.span.start] + edit.text + source.text[edit.span.end :]
            (bench.staged / path).write_bytes(source.with_text(text).to_bytes())
            faulty = (bench.staged / path).read_bytes()
            some = random.sample(calls, min(len(calls), 80))
            seen = bench.attempts([c.draft for c in some], "Any")
            broken = [c for c, r in zip(some, seen, strict=True) if r and r.error != "AssertionError"
                      and any(level.path and level.function != "<module>" for level in r.levels)]  # fmt: skip
            if broken and len(broken) < len(some) * 0.9:
                call = random.choice(broken)
                report = traceback_of(bench, {}, script_of(call, shown=shown))
                if f'{path}"' in report:
                    made += 1
                    yield Injected(path, source.to_bytes(), faulty, call, report)
            (bench.staged / path).write_bytes(source.to_bytes())


def measured(root: Path, fault: Injected, sandbox: Sandbox, *, tests: bool) -> tuple[bool, bool, float, str]:
    """Reproduced, passing on the original, seconds, what it was made from or why not."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / root.name
        shutil.copytree(root, copy, ignore=shutil.ignore_patterns(".git"))
        (copy / fault.path).write_bytes(fault.faulty)
        index = Index(copy, ("src",))
        for path in () if tests else index.tests:
            if fault.call.name in index.text(path):
                (copy / path).unlink()
        start = time.monotonic()
        project = project_of(copy)
        found = attempt(project, fault.report, sandbox)
        seconds = time.monotonic() - start
        if found.reproduction is None:
            return False, False, seconds, found.reason
        after = confirm(project, found.reproduction, {fault.path: fault.original}, sandbox)
        last = found.reproduction.text.strip().rsplit("\n", 1)[-1].strip()
        return True, after.passes is True, seconds, f"{found.origin}: {last[:90]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkouts", nargs="+", type=Path)
    parser.add_argument("--faults", type=int, default=8, help="for each checkout")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shown", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    sandbox = find_sandbox()
    totals: dict[bool, list[tuple[bool, bool, float, str]]] = {True: [], False: []}
    for root in options.checkouts:
        here: dict[bool, list[tuple[bool, bool, float, str]]] = {True: [], False: []}
        for fault in injected(root, sandbox, options.faults, options.seed, shown=options.shown):
            for tests in (True, False):
                result = measured(root, fault, sandbox, tests=tests)
                here[tests].append(result)
                if options.verbose:
                    error = fault.report.strip().rsplit("\n", 1)[-1][:60]
                    print(f"  {fault.path} {fault.call.name} {error!r} tests={tests} {result}", flush=True)
        for tests, results in here.items():
            totals[tests] += results
            told(root.name, results, tests=tests)
    if len(options.checkouts) > 1:
        for tests, results in totals.items():
            told("all", results, tests=tests)


def told(name: str, results: list[tuple[bool, bool, float, str]], *, tests: bool) -> None:
    seconds = sorted(r[2] for r in results)
    middle = seconds[len(seconds) // 2] if seconds else 0.0
    kept = "all tests kept" if tests else "tests of the function removed"
    print(
        f"{name:12} {kept:30} faults {len(results):3}  reproduced {sum(r[0] for r in results):3}  "
        f"pass on the original {sum(r[1] for r in results):3}  median {middle:.1f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
