"""Cheap trials for the tests of the search: workers import them by name, and this file loads no torch."""

from __future__ import annotations

import os
import time
from pathlib import Path

from repair.errors import InputError


def valley(recipe, report):
    """Lowest at lr = 1e-3 and rank = 16; reports a curve that falls to the result."""
    import math

    value = (math.log10(recipe.optim.lr) + 3) ** 2 + (recipe.lora.rank - 16) ** 2 / 100
    recipe.run.out.mkdir(parents=True, exist_ok=True)
    (recipe.run.out / "told.txt").write_text(f"{recipe.run.threads} {os.getpid()}")
    for step in range(1, 6):
        report(step, value + 1 / step)
    report(5, value)  # the same step again, as an evaluation at the end may be
    return value


def hill(recipe, report):
    """A goal to maximise, with a loss that is lower where the goal is higher."""
    for step in range(1, 6):
        report(step, 10 * recipe.optim.lr + 1 / step)
    return 1 - recipe.optim.lr


def slow(recipe, report):
    """Like `valley`, but waits in its second trial until it is killed; once a mark is there it does not."""
    count = recipe.run.out.parent / "begun.txt"
    with count.open("a") as file:
        file.write(f"{recipe.run.out.name} {recipe.optim.lr!r} {recipe.lora.rank} {os.getpid()}\n")
    if len(count.read_text().splitlines()) == 3:
        time.sleep(600)
    return valley(recipe, report)


def failing(recipe, report):
    raise InputError(f"{recipe.run.out} has no dataset of {id(recipe)} bytes", field="data.dataset")


def stumbling(recipe, report):
    """The first dies without a word, the second raises, the third gives nonsense, the rest work."""
    number = int(recipe.run.out.name[-3:])
    if number == 0:
        os.kill(os.getpid(), 9)
    if number == 1:
        raise ZeroDivisionError("by\nzero")
    return float("nan") if number == 2 else valley(recipe, report)


def hurried(recipe, report):
    """Takes longer than a search of two seconds has."""
    time.sleep(2.1)
    return valley(recipe, report)


def waiting(recipe, report):
    """Never ends by itself; tells that it has begun."""
    recipe.run.out.mkdir(parents=True, exist_ok=True)
    (recipe.run.out / "pid").write_text(str(os.getpid()))
    time.sleep(600)
    return 0.0


def gone(pid: int) -> bool:
    """Whether a process has ended, within a minute and a half."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        stat = Path(f"/proc/{pid}/stat")
        try:
            if stat.read_text().split(") ")[1].startswith("Z"):
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


def inventive(recipe, report):
    """Fails in another way each time."""
    raise RuntimeError("x" * int(recipe.run.out.name[-3:]))
