"""The injection stage of a build: cleaned files to packed shards for training and to held-out rows for evaluation.

Files are taken in an order drawn from the seed, several packages mixed; each shard is written as soon as it is
full, so that training can begin with the first.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from data.dedup import Seen
from data.mutants import Example, Injector, units
from data.pack import encode_example, write_packed
from data.recipe import Recipe
from data.sources.packages import CodeFile
from data.store import write_rows
from data.tokenizer import LineEncoder

SHUFFLE_BUFFER = 6000


def examples(files: Iterable[CodeFile], recipe: Recipe, injector: Injector, seen: Seen, each: int) -> Iterator[Example]:
    """Examples of all functions that are no duplicates: `each` of one, several times that of algorithmic ones."""
    draw = random.Random(f"{recipe.seed}:inject")
    ordered = list(files)
    draw.shuffle(ordered)
    for file in ordered:
        for unit in units(file, draw):
            if not seen.reason(unit.text):
                yield from injector.examples(unit, each * recipe.weight(file.package, file.path))


def mixed(found: Iterable[Example], draw: random.Random) -> Iterator[Example]:
    """The same examples, those of one file spread over a buffer."""
    held: list[Example] = []
    for example in found:
        held.append(example)
        if len(held) >= 2 * SHUFFLE_BUFFER:
            draw.shuffle(held)
            yield from held[SHUFFLE_BUFFER:]
            del held[SHUFFLE_BUFFER:]
    draw.shuffle(held)
    yield from held


def write_training(
    found: Iterable[Example],
    encoder: LineEncoder,
    folder: Path,
    recipe: Recipe,
    *,
    shard: int = 15_000,
    number: int = 0,
) -> Iterator[tuple[str, dict[str, int]]]:
    """Write `repair-000` … of `shard` examples each, until the recipe's number is reached; yields each one's counts.

    `number` is that of the first shard.
    """
    held: list[Example] = []
    for total, example in enumerate(mixed(found, random.Random(f"{recipe.seed}:mixed")), 1):
        held.append(example)
        if len(held) >= shard or total >= recipe.examples:
            name = f"repair-{number:03d}"
            yield name, write_packed(folder, name, (encode_example(e, encoder) for e in held), recipe.row)
            held, number = [], number + 1
        if total >= recipe.examples:
            return
    if held:
        name = f"repair-{number:03d}"
        yield name, write_packed(folder, name, (encode_example(e, encoder) for e in held), recipe.row)


def example_row(example: Example, number: int) -> dict[str, object]:
    """An example as it is stored for evaluation; hunks are [first, last, text] in the view's line numbers."""
    view = example.view
    return {
        "id": f"{example.package}/{number}",
        "package": example.package,
        "path": view.path,
        "function": example.function,
        "bug_classes": list(example.bug_classes),
        "operators": list(example.operators),
        "error_made": example.error_made,
        "view": {
            "path": view.path,
            "language": view.language,
            "first_line": view.first_line,
            "lines": list(view.lines),
            "error": view.error,
            "frames": list(view.frames),
            "test": view.test,
            "context": list(view.context),
        },
        "hunks": [[h.first, h.last, h.text] for h in example.hunks],
    }


def write_held_out(found: Iterable[Example], path: Path, recipe: Recipe) -> Counter[str]:
    """Write the held-out examples as JSON lines, as many as the recipe says, drawn evenly; counts by class."""
    chosen = list(found)
    random.Random(f"{recipe.seed}:held-out").shuffle(chosen)
    chosen = chosen[: recipe.held_out_examples]
    write_rows(path, (example_row(e, n) for n, e in enumerate(chosen)))
    return Counter(c for e in chosen for c in e.bug_classes)
