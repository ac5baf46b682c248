"""Inject faults into real Python files and print how fast, how near to the requested mix, and whether all restore.

    python benchmarks/injection.py [--files N] [--each N] [--profile] [PATH ...]

Without paths the running interpreter's standard library is read. What is timed is process CPU time on one core:
reading the text, trees, drawing (class first, then site), the check that each mutant parses, its hunks, error
text, error type, difficulty, and the class by syntax-tree difference. Exit status 0 when at least 500 valid
mutants come out of a core-second, no class is further than 2 points from the mix and every mutant's hunks lead
back to the file byte for byte.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import random
import sys
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from data.classes import coarse_class
from data.filters import is_test
from data.labelling import labelled, record_of
from data.mutants import Injector, Unit, units
from data.records import Record
from data.sources.packages import CodeFile
from repair.mutate import MIX
from repair.sources import Source
from repair.views import hunks_patch

LEAST_RATE = 500.0
MOST_DEVIATION = 2.0


@dataclass(slots=True)
class Run:
    """What came out: the mutants with their units, CPU seconds, the injector with its counts."""

    injector: Injector
    made: list[tuple[Unit, Record]] = field(default_factory=list[tuple[Unit, Record]])
    classes: list[str] = field(default_factory=list[str])  # by syntax-tree difference
    files: int = 0
    seconds: float = 0.0  # all of it
    trees: float = 0.0  # of these for the class by syntax-tree difference, which injection itself does not need

    @property
    def mutants(self) -> int:
        """Examples that have a fault."""
        return sum(record.buggy != record.fixed for _, record in self.made)


def stdlib() -> list[Path]:
    root = Path(sysconfig.get_paths()["stdlib"])
    found = (p for p in sorted(root.rglob("*.py")) if "site-packages" not in p.parts)
    return [p for p in found if not is_test(p.relative_to(root).as_posix())]


def read(paths: list[Path]) -> Iterator[CodeFile]:
    for path in paths:
        try:
            text = path.read_text("utf-8")
        except (UnicodeDecodeError, OSError):
            continue
        if 300 <= len(text) <= 400_000 and "\r" not in text and "\f" not in text and "\0" not in text:
            yield CodeFile("benchmark", path.name, text)


def inject(files: list[CodeFile], seed: int, each: int) -> Run:
    run, draw = Run(Injector(seed, 0.18, 0.07)), random.Random(seed)
    started = time.process_time()
    for file in files:
        for unit in units(file, draw):
            for example in run.injector.examples(unit, each):
                record = labelled(record_of(example))
                run.made.append((unit, record))
                before = time.process_time()
                run.classes.append(coarse_class(record.language, record.buggy, record.fixed))
                run.trees += time.process_time() - before
    run.seconds, run.files = time.process_time() - started, len(files)
    return run


def restores(unit: Unit, record: Record) -> bool:
    """Whether the hunks, applied to the file with the fault in it, give the file."""
    source = Source("m.py", record.buggy, "python")
    function = hunks_patch(source, record.hunks).apply({"m.py": record.buggy})["m.py"]
    before, after = unit.source.text[: unit.start], unit.source.text[unit.start + len(unit.text) :]
    return (before + function + after).encode() == unit.source.text.encode()


def show(run: Run) -> int:
    broken = sum(not restores(unit, record) for unit, record in run.made)
    rate, deviation = run.mutants / run.seconds, run.injector.quota.deviation()
    print(f"files {run.files}   examples {len(run.made)}   of these mutants {run.mutants}")
    print(
        f"CPU seconds {run.seconds:.2f}   valid mutants per core-second {rate:.0f} (at least {LEAST_RATE:.0f})", end=""
    )
    print(f", {run.mutants / (run.seconds - run.trees):.0f} with the operators' own classes")
    drawn, whole = run.injector.quota.drawn, sum(MIX.values())
    print(f"\n{'class':<12}{'asked %':>9}{'drawn %':>9}{'points':>8}")
    for name, share in MIX.items():
        asked, got = 100 * share / whole, 100 * drawn[name] / max(1, drawn.total())
        print(f"{name:<12}{asked:>9.2f}{got:>9.2f}{got - asked:>+8.2f}")
    print(f"\nlargest deviation {deviation:.2f} points (at most {MOST_DEVIATION})   not restored {broken} of", end=" ")
    print(len(run.made))
    single = [(r, c) for (_, r), c in zip(run.made, run.classes, strict=True) if len(r.operators) == 1]
    agreed = sum(record.bug_classes == (found,) for record, found in single)
    print(f"class by tree difference agrees with the operator's in {100 * agreed / max(1, len(single)):.1f} %", end=" ")
    print(f"of {len(single)} single faults")
    return 0 if rate >= LEAST_RATE and deviation <= MOST_DEVIATION and not broken else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH")
    parser.add_argument("--files", type=int, default=150, help="at most so many files, drawn evenly")
    parser.add_argument("--each", type=int, default=8, help="examples of one function")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--profile", action="store_true", help="print where the time goes instead of the rate")
    given = parser.parse_args()
    paths = list(given.paths) or stdlib()
    random.Random(given.seed).shuffle(paths)
    files = list(read(paths))[: given.files]
    if not files:
        print("no readable Python files", file=sys.stderr)
        return 2
    inject(files[:1], given.seed, 1)  # loads grammars and tables
    if given.profile:
        with cProfile.Profile() as profile:
            inject(files, given.seed, given.each)
        pstats.Stats(profile).sort_stats("tottime").print_stats(45)
        return 0
    return show(inject(files, given.seed, given.each))


if __name__ == "__main__":
    raise SystemExit(main())
