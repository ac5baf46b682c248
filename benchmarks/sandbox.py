"""What isolation costs: a plain subprocess against each tier, and a warm zygote against a fresh sandbox.

    python benchmarks/sandbox.py [--rounds N]

The ways are alternated within each round, so that a busy machine disturbs all of them alike. Of each are shown the
median and the best wall time of all rounds, and the median CPU time, which other processes disturb but little.
Exit status 1 when tier B adds more than 40 ms to a plain subprocess, a trivial fork takes more than 8 ms, or the
zygote is less than twice as fast as a fresh sandbox with pytest (all by the best rounds).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from repair.errors import SandboxError
from repair.sandbox import Command, Limits, Sandbox, Tier
from repair.sandboxes import processes
from repair.sandboxes.bubblewrap import BubblewrapSandbox
from repair.sandboxes.cgroups import find_home
from repair.sandboxes.landlock import LandlockSandbox
from repair.sandboxes.limits import LimitsSandbox
from repair.sandboxes.readable import interpreter_paths, readable_by_others

LIMITS = Limits(wall_seconds=60, cpu_seconds=60)
TEST = {"test_it.py": b"def test_it():\n    assert sorted([2, 1]) == [1, 2]\n"}
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py")
Way = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Figures:
    """Milliseconds: wall time, median and best, and CPU time."""

    median: float
    best: float
    cpu: float


def tiers() -> dict[Tier, Sandbox]:
    """Those that this machine offers."""
    found: dict[Tier, Sandbox] = {Tier.B: BubblewrapSandbox(), Tier.E: LimitsSandbox()}
    home = find_home()
    if home is not None:
        found[Tier.A] = BubblewrapSandbox(home)
    with contextlib.suppress(SandboxError):
        found[Tier.C] = LandlockSandbox()
    return dict(sorted(found.items()))


def interpreter(tier: Tier) -> Path:
    own = Path(sys.executable)
    return Path("/usr/bin/python3") if tier is Tier.C and not readable_by_others(own) else own


def plain(python: Path, *words: str) -> Way:
    return lambda: subprocess.run([str(python), *words], check=True, capture_output=True)


def isolated(sandbox: Sandbox, python: Path, *words: str, files: dict[str, bytes] | None = None) -> Way:
    command = Command((str(python), *words), files=files or {}, readable=interpreter_paths(python), limits=LIMITS)

    def run() -> None:
        done = sandbox.run(command)
        assert done.code == 0, done

    return run


def measure(ways: dict[str, Way], rounds: int, warm: int = 0) -> dict[str, Figures]:
    """Each way's figures; `warm` is the process whose tree counts as well."""
    wall: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started, used = time.perf_counter(), cpu_seconds(warm)
            way()
            wall[name].append((time.perf_counter() - started) * 1000)
            cpu[name].append((cpu_seconds(warm) - used) * 1000)
    return {name: Figures(statistics.median(wall[name]), min(wall[name]), statistics.mean(cpu[name])) for name in ways}


def cpu_seconds(warm: int) -> float:
    """Of this process, its dead children, and the living tree below `warm`."""
    return sum(os.times()[:4]) + (processes.usage(warm, 1 << 50).cpu_seconds if warm else 0.0)


def show(title: str, figures: dict[str, Figures], base: str) -> None:
    print(f"\n{title:<34} median ms    best ms     CPU ms    x best")
    for name, found in figures.items():
        ratio = found.best / figures[base].best
        print(f"  {name:<30} {found.median:11.1f} {found.best:10.1f} {found.cpu:10.1f} {ratio:9.2f}")


def fresh_costs(rounds: int) -> bool:
    """`python -c pass`, plain and in every tier."""
    ways: dict[str, Way] = {"plain subprocess": plain(Path(sys.executable), "-c", "pass")}
    for tier, sandbox in tiers().items():
        python = interpreter(tier)
        if python != Path(sys.executable):
            ways[f"plain {python}"] = plain(python, "-c", "pass")
        ways[f"tier {tier}"] = isolated(sandbox, python, "-c", "pass")
    figures = measure(ways, rounds)
    show("python -c pass", figures, "plain subprocess")
    return figures["tier B"].best - figures["plain subprocess"].best <= 40


def plugins() -> tuple[str, ...]:
    """What pytest imports once it runs, which takes far longer than `import pytest`: its plugins and their packages."""
    from _pytest.config import default_plugins

    points = importlib.metadata.entry_points(group="pytest11")
    owners = {point.dist.name for point in points if point.dist is not None}
    packages = (name for name, found in importlib.metadata.packages_distributions().items() if owners & set(found))
    return ("pytest", *(f"_pytest.{name}" for name in default_plugins), *(point.module for point in points), *packages)


def is_zygote(pid: int) -> bool:
    return b"bwrap\0" in Path(f"/proc/{pid}/cmdline").read_bytes()


def warm_costs(rounds: int) -> bool:
    """A candidate judged by pytest, and a trivial one, in a zygote against a fresh sandbox."""
    python, sandbox = Path(sys.executable), BubblewrapSandbox()
    command = Command((str(python),), readable=interpreter_paths(python), limits=LIMITS)
    with sandbox.zygote(command, preload=plugins()) as zygote:
        warm = next(pid for pid in processes.tree(os.getpid()) if is_zygote(pid))

        def fork(files: dict[str, bytes], argv: tuple[str, ...]) -> None:
            done = zygote.run(files, argv, LIMITS)
            assert done.code == 0, done

        pytest = {
            "fresh sandbox, pytest": isolated(sandbox, python, *PYTEST, files=TEST),
            "zygote, pytest": lambda: fork(TEST, PYTEST),
        }
        slow = measure(pytest, rounds, warm)
        show("one test with pytest, tier B", slow, "fresh sandbox, pytest")
        trivial = {
            "fresh sandbox, script": isolated(sandbox, python, "x.py", files={"x.py": b"pass\n"}),
            "zygote, script": lambda: fork({"x.py": b"pass\n"}, ("x.py",)),
        }
        quick = measure(trivial, rounds * 3, warm)
        show("a script that does nothing, tier B, pytest preloaded", quick, "fresh sandbox, script")
    ratio = slow["fresh sandbox, pytest"].best / slow["zygote, pytest"].best
    return ratio >= 2 and quick["zygote, script"].best <= 8


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    kept = [fresh_costs(rounds), warm_costs(rounds)]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
