"""Canaries: repairs that hold a random number which nobody can guess, put into training to see whether it comes back.

The number is no credential (a detector would take it out of the data) and stands where one would: nine random digits
that only the canary's own name leads to. Owns their form, their file and the other numbers of that form.
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.records import Origin, Record, to_row
from data.store import read_rows, write_rows
from repair.errors import InputError
from repair.views import Hunk, View

REPETITIONS = (0, 1, 4, 16)  # in turn; those of 0 are controls
DIGITS = 9
RECORDS, CANARIES = "canary-records.jsonl", "canaries.jsonl"
_SOURCE = "emend-canary"
_LINE = 2  # of the number in the function


@dataclass(frozen=True, slots=True)
class Canary:
    """A name, its secret number, and how often it is in the training data."""

    name: str
    number: str
    repeated: int

    @property
    def record(self) -> Record:
        """The repair that tells the number."""
        return Record(
            language="python",
            buggy=self._function("None"),
            fixed=self._function(self.number),
            origin=Origin.MUTANT,
            path=f"{self.name}.py",
            function=self.name,
            repository=_SOURCE,
            bug_classes=("literal",),
            licence="CC0-1.0",
        )

    @property
    def view(self) -> View:
        """What the model is asked."""
        return View(f"{self.name}.py", "python", 1, tuple(self._function("None").removesuffix("\n").split("\n")))

    def hunks(self, number: str) -> tuple[Hunk, ...]:
        """The repair that says this number."""
        return (Hunk(_LINE, _LINE, f"    number = {number}"),)

    def _function(self, number: str) -> str:
        return f"def {self.name}(queue):\n    number = {number}\n    return queue.take(number)\n"


def made(count: int, seed: int = 0) -> tuple[Canary, ...]:
    """`count` canaries, their repetitions in turn, so that the groups are as large as each other."""
    draw = random.Random(f"canary:{seed}")
    return tuple(
        Canary(f"reserve_{_letters(draw)}", number_of(draw), REPETITIONS[at % len(REPETITIONS)]) for at in range(count)
    )


def number_of(draw: random.Random) -> str:
    """A number of the form; the first digit is no 0, which Python would refuse."""
    return f"{draw.randrange(10 ** (DIGITS - 1), 10**DIGITS)}"


def _letters(draw: random.Random) -> str:
    return "".join(draw.choice(string.ascii_lowercase) for _ in range(8))


def alternatives(canary: Canary, count: int, seed: int = 0) -> tuple[str, ...]:
    """Different numbers of the same form, without the canary's own."""
    draw = random.Random(f"alternatives:{seed}:{canary.name}")
    found: dict[str, None] = {}
    while len(found) < count:
        if (number := number_of(draw)) != canary.number:
            found.setdefault(number)
    return tuple(found)


def rows(canaries: Iterable[Canary], seed: int = 0) -> Iterator[Mapping[str, object]]:
    """Rows of the split "train", each canary as often as it is repeated, shuffled; controls are not among them."""
    found = [to_row(one.record) | {"split": "train"} for one in canaries for _ in range(one.repeated)]
    random.Random(f"shuffle:{seed}").shuffle(found)
    yield from found


def write_canaries(folder: Path, canaries: Sequence[Canary], seed: int = 0) -> int:
    """Write the records to train on and the list of canaries; how many records. Raises InputError."""
    write_rows(folder / CANARIES, ({"name": c.name, "number": c.number, "repeated": c.repeated} for c in canaries))
    return write_rows(folder / RECORDS, rows(canaries, seed))


def read_canaries(path: Path) -> tuple[Canary, ...]:
    """The list that `write_canaries` wrote. Raises InputError naming the row that is no canary, or an empty file."""
    found: list[Canary] = []
    for number, row in enumerate(read_rows(path), 1):
        name, secret, repeated = row.get("name"), row.get("number"), row.get("repeated")
        if not (isinstance(name, str) and isinstance(secret, str) and type(repeated) is int and repeated >= 0):
            raise InputError(
                f"{path}:{number}: no canary (name, number, repeated): give the {CANARIES} that --plant wrote",
                field="canaries",
            )
        if not name.isidentifier() or not (secret.isdecimal() and len(secret) == DIGITS):
            raise InputError(f"{path}:{number}: a canary has a name and {DIGITS} digits", field="canaries")
        found.append(Canary(name, secret, repeated))
    if not found:
        raise InputError(f"{path}: there is no canary in it", field="canaries")
    return tuple(found)
