"""Text packs: a corpus as compressed JSON lines that a machine without network gets in a few small files.

A pack `code-0.jsonl.xz` is a row of .xz streams, each of whole lines, so that several processes compress at once and
the size of a pack is known as it grows. A line is one file: `package`, `path`, `text` (long docstrings shortened), and
where they say something `weight` (how many times it is seen) and `tests` (an assertion for a function's name, from its
docstring). Functions that are copies of others are cut out. Owns the format. Knows nothing of tokens or faults.
"""

from __future__ import annotations

import ast
import json
import lzma
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from data.collect import collected
from data.condense import condense
from data.dedup import Print, Seen, fingerprint
from data.filters import parse
from data.mutants import LEAST_LINES, documented_test
from data.recipe import Recipe
from data.shards import write_bytes
from data.sources.packages import CodeFile
from repair.errors import InputError
from repair.executors import Executor, Serial

MIB = 1 << 20
PIECE = 24 * MIB  # of text that is compressed at once; larger ones shrink by hardly more
_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class PackFile:
    """One file of a pack. `weight`: how many times it is seen. `tests`: an assertion for a function's name."""

    code: CodeFile
    weight: int = 1
    tests: Mapping[str, str] = field(default_factory=dict[str, str])

    def row(self) -> dict[str, object]:
        """The JSON object of its line."""
        row: dict[str, object] = {"package": self.code.package, "path": self.code.path, "text": self.code.text}
        return (
            row | ({"weight": self.weight} if self.weight > 1 else {}) | ({"tests": self.tests} if self.tests else {})
        )


@dataclass(frozen=True, slots=True)
class Part:
    """A function that may be a copy of another one: its lines (1-based, with decorators) and its print."""

    first: int
    last: int
    own: Print


Packed = tuple[PackFile, tuple[Part, ...]]


def _outermost(tree: ast.Module) -> Iterator[tuple[int, int]]:
    """First and last line of each function of LEAST_LINES or more that lies in no other one, decorators counted."""
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, _FUNCTION):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            last = node.end_lineno or node.lineno
            if last - first + 1 >= LEAST_LINES:
                yield first, last
        elif not isinstance(node, ast.expr):
            stack.extend(ast.iter_child_nodes(node))


def shortened(file: CodeFile, recipe: Recipe) -> Packed:
    """A file as it is packed, and the prints of its functions; of the whole text where it has none."""
    draw = random.Random(f"{recipe.seed}:pack:{file.package}:{file.path}")
    text = condense(file.text if file.text.endswith("\n") else f"{file.text}\n", draw)
    tree = parse(text)
    lines = text.split("\n")
    spans = sorted(_outermost(tree)) if tree else []
    parts = tuple(Part(first, last, fingerprint("\n".join(lines[first - 1 : last]) + "\n")) for first, last in spans)
    tests: dict[str, str] = {}
    if ">>>" in file.text and tree:
        names = sorted({node.name for node in ast.walk(tree) if isinstance(node, _FUNCTION)})
        tests = {name: test for name in names if (test := documented_test(file.text, name))}
    whole = PackFile(CodeFile(file.package, file.path, text), recipe.weight(file.package, file.path), tests)
    return whole, parts or (Part(0, 0, fingerprint(text)),)


def shortened_package(name: str, folder: Path, recipe: Recipe) -> list[Packed]:
    """All files of a collected package."""
    return [shortened(file, recipe) for file in collected(folder, [name])]


def _without(text: str, copies: Sequence[Part]) -> str:
    """The text without some functions; with `pass` in their places where it would not parse any more."""
    for filler in (False, True):
        lines = text.split("\n")
        for part in sorted(copies, key=lambda p: -p.first):
            head = lines[part.first - 1]
            lines[part.first - 1 : part.last] = [f"{head[: len(head) - len(head.lstrip())]}pass"] if filler else []
        left = "\n".join(lines)
        if parse(left) is not None:
            return left
    return ""


def distinct(found: Iterable[Packed], seen: Seen) -> Iterator[PackFile]:
    """The files without functions that were met before; those that have nothing else are left out."""
    for file, parts in found:
        copies = [part for part in parts if seen.reason_of(part.own)]
        if not copies:
            yield file
        elif len(copies) < len(parts) and (text := _without(file.code.text, copies)):
            code = CodeFile(file.code.package, file.code.path, text)
            yield PackFile(code, file.weight, file.tests)


def _pieces(files: Iterable[PackFile], size: int, counts: Counter[str]) -> Iterator[bytes]:
    """Lines of about `size` bytes together."""
    held: list[bytes] = []
    total = 0
    for file in files:
        line = json.dumps(file.row(), ensure_ascii=False).encode() + b"\n"
        if held and total + len(line) > size:
            yield b"".join(held)
            held, total = [], 0
        held.append(line)
        total += len(line)
        counts.update(files=1, text_bytes=len(line), oversampled=int(file.weight > 1))
    if held:
        yield b"".join(held)


def compress(piece: bytes) -> bytes:
    """One .xz stream."""
    seen = min(32 * MIB, max(1 << 12, len(piece)))  # bytes that a repetition may lie back
    return lzma.compress(piece, filters=({"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": seen},))


def write_packs(
    names: Sequence[str], files: Path, out: Path, recipe: Recipe, executor: Executor | None = None
) -> dict[str, object]:
    """Write `code-0.jsonl.xz` … of at most `recipe.pack_mib` MiB from collected packages; counts, also of duplicates.

    The packs depend on the packages and the recipe alone. Raises InputError when the disk is full.
    """
    work = executor or Serial()
    seen, counts, limit = Seen(), Counter[str](), recipe.pack_mib * MIB
    packages = work.map(partial(shortened_package, folder=files, recipe=recipe), names)
    kept = distinct((one for package in packages for one in package), seen)
    sizes: list[int] = []
    held: list[bytes] = []

    def flush() -> None:
        content = b"".join(held)
        write_bytes(out / f"code-{len(sizes)}.jsonl.xz", content)
        sizes.append(len(content))
        held.clear()

    for old in out.glob("code-*.jsonl.xz"):
        old.unlink()
    for stream in work.map(compress, _pieces(kept, min(PIECE, limit // 2), counts)):
        if held and sum(map(len, held)) + len(stream) > limit:
            flush()
        held.append(stream)
    flush()
    return {"pack_bytes": sizes, **dict(sorted(counts.items())), **seen.left_out}


def read_packs(paths: Sequence[Path]) -> Iterator[PackFile]:
    """The files of some packs, in order. Raises InputError: missing, not a pack, cut short."""
    for path in paths:
        try:
            with lzma.open(path, "rt", encoding="utf-8") as stream:
                for line in stream:
                    row = json.loads(line)
                    code = CodeFile(row["package"], row["path"], row["text"])
                    yield PackFile(code, int(row.get("weight", 1)), row.get("tests", {}))
        except FileNotFoundError as error:
            raise InputError(f"{path}: no such pack", field="packs") from error
        except (OSError, EOFError, lzma.LZMAError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: not a text pack of `emend data build` ({error})", field="packs") from error
