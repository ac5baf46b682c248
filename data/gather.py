"""Gathers a profile's facts from a stream of records: counts, hashes and small samples, never the records themselves.

Owns what is counted for one record. Must not know files, thresholds or pictures.
"""

from __future__ import annotations

import heapq
import random
import re
from collections import Counter
from dataclasses import dataclass, field

from data.doubts import NATURAL, Pairs, cosmetic, mixed, weak, words
from data.records import CLEAN, ErrorOrigin, Origin, Record
from repair.errors import PatchError
from repair.views import Hunk

SEED = 11
BINS = 10
EXAMPLES = 2  # for each class
SHORT = 30  # lines of an example that is easily read
_LONGEST = 1 << 20
_TYPE = re.compile(r"[^\W\d][\w.]*")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
# Words that make up most English identifiers: a lower bound of the share that is English.
ENGLISH = frozenset({
    "add", "all", "and", "args", "array", "as", "at", "base", "before", "bool", "buffer", "by", "cache", "call",
    "check", "child", "class", "clear", "client", "close", "code", "column", "command", "config", "content",
    "context", "convert", "copy", "count", "create", "current", "data", "date", "debug", "default", "delete",
    "depth", "dict", "diff", "dir", "end", "entry", "error", "event", "exists", "expected", "extra", "fail",
    "field", "file", "filter", "find", "first", "flag", "float", "for", "format", "found", "from", "func",
    "function", "get", "group", "handle", "has", "hash", "header", "height", "id", "in", "index", "info", "init",
    "input", "insert", "int", "is", "item", "items", "join", "key", "keys", "kind", "kwargs", "label", "last",
    "left", "length", "level", "limit", "line", "lines", "link", "list", "load", "lock", "log", "lower", "make",
    "map", "mask", "match", "max", "message", "method", "min", "mode", "model", "module", "name", "names", "new",
    "next", "node", "none", "not", "num", "number", "object", "of", "offset", "old", "on", "only", "open", "option",
    "options", "or", "order", "out", "output", "pack", "page", "parent", "parse", "part", "path", "pattern",
    "point", "pop", "port", "position", "prefix", "print", "process", "properties", "queue", "raise", "range",
    "raw", "read", "record", "ref", "remove", "replace", "request", "reset", "response", "result", "results",
    "return", "right", "root", "row", "run", "save", "scale", "score", "search", "self", "send", "seq", "sequence",
    "set", "shape", "show", "size", "sort", "source", "split", "start", "state", "status", "step", "stop", "str",
    "stream", "string", "sub", "sum", "symbol", "table", "tag", "target", "task", "test", "text", "time", "to",
    "token", "top", "total", "tree", "type", "types", "unit", "update", "upper", "url", "use", "user", "val",
    "valid", "value", "values", "var", "version", "view", "width", "with", "word", "words", "work", "write", "zero",
})  # fmt: skip


@dataclass(slots=True)
class Sample:
    """Up to `size` records, uniformly drawn; those of at most SHORT lines before longer ones."""

    size: int
    _draw: random.Random
    _heap: list[tuple[bool, float, int, Record]] = field(default_factory=list[tuple[bool, float, int, Record]])
    _met: int = 0

    def add(self, record: Record) -> None:
        """Take part in the draw."""
        self._met += 1
        entry = (record.buggy.count("\n") <= SHORT, self._draw.random(), -self._met, record)
        if len(self._heap) < self.size:
            heapq.heappush(self._heap, entry)
        elif entry > self._heap[0]:
            heapq.heapreplace(self._heap, entry)

    @property
    def records(self) -> tuple[Record, ...]:
        """Those drawn, in a fixed order."""
        return tuple(entry[3] for entry in sorted(self._heap, reverse=True))


@dataclass(slots=True)
class Gathered:
    """All facts so far. Each `Counter` counts records unless said otherwise."""

    total: int = 0
    faulty: int = 0
    natural: int = 0  # faulty ones written by people
    splits: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])  # (split, origin)
    languages: Counter[str] = field(default_factory=Counter[str])
    classes: Counter[str] = field(default_factory=Counter[str])  # faults
    projects: Counter[str] = field(default_factory=Counter[str])
    licences: Counter[str] = field(default_factory=Counter[str])
    error_types: Counter[str] = field(default_factory=Counter[str])  # records with an error text
    error_origins: Counter[str] = field(default_factory=Counter[str])
    years: Counter[str] = field(default_factory=Counter[str])
    months: Counter[str] = field(default_factory=Counter[str])
    lines: Counter[int] = field(default_factory=Counter[int])
    tokens: Counter[int] = field(default_factory=Counter[int])
    hunks: Counter[int] = field(default_factory=Counter[int])  # faulty records
    touched: Counter[int] = field(default_factory=Counter[int])  # lines of buggy text that a fix replaces
    difficulty: list[int] = field(default_factory=lambda: [0] * BINS)
    position: list[int] = field(default_factory=lambda: [0] * BINS)  # where the first hunk begins
    even: list[float] = field(default_factory=lambda: [0.0] * BINS)  # were every line as likely
    doubts: Counter[str] = field(default_factory=Counter[str])
    commits: int = 0
    names: int = 0  # identifiers
    foreign_names: int = 0  # identifiers that are not ASCII
    foreign_texts: int = 0  # records with characters that are not ASCII
    name_words: int = 0  # words of three letters or more in identifiers
    english_words: int = 0
    pairs: Pairs = field(default_factory=Pairs)
    samples: dict[str, Sample] = field(default_factory=dict[str, Sample])

    def add(self, record: Record, split: str = "") -> None:
        """Count one record."""
        self.total += 1
        hunks = _hunks(record)
        self.splits[split or "all", str(record.origin)] += 1
        self.languages[record.language] += 1
        self.projects[record.repository or "(unknown)"] += 1
        self.licences[record.licence or "(unknown)"] += 1
        self.years[record.authored[:4] or "(unknown)"] += 1
        if record.authored:
            self.months[record.authored[:7]] += 1
        self._count_error(record)
        self._count_text(record)
        self.pairs.add(record)
        if record.buggy == record.fixed:
            self._sampled(CLEAN, record)
            return
        self.faulty += 1
        self._count_fault(record, hunks)
        self._count_doubts(record, hunks)

    def _count_error(self, record: Record) -> None:
        self.error_origins[str(record.error_origin) or "none"] += 1
        if record.error_origin is not ErrorOrigin.NONE:
            self.error_types[_error_type(record)] += 1

    def _count_text(self, record: Record) -> None:
        tokens = words(record.buggy)
        self.lines[min(record.buggy.count("\n"), _LONGEST)] += 1
        self.tokens[min(len(tokens), _LONGEST)] += 1
        names = {t for t in tokens if t[:1].isalpha() or t[:1] == "_"}
        self.names += len(names)
        self.foreign_names += sum(not name.isascii() for name in names)
        self.foreign_texts += not record.buggy.isascii()
        parts = [w.lower() for name in names if name.isascii() for w in _WORD.findall(name) if len(w) > 2]
        self.name_words += len(parts)
        self.english_words += sum(w in ENGLISH or w.removesuffix("s") in ENGLISH for w in parts)

    def _count_fault(self, record: Record, hunks: tuple[Hunk, ...]) -> None:
        classes = record.bug_classes or ("(unlabelled)",)
        self.classes.update(classes)
        for name in dict.fromkeys(classes):
            self._sampled(name, record)
        self.hunks[len(hunks)] += 1
        self.difficulty[min(BINS - 1, max(0, int(record.difficulty * BINS)))] += 1
        if not hunks:
            return
        self.touched[sum(h.last - h.first + 1 for h in hunks)] += 1
        count = record.buggy.count("\n")
        self.position[_bin(min(hunks[0].first, count), count)] += 1
        for line in range(1, count + 1):
            self.even[_bin(line, count)] += 1 / count

    def _count_doubts(self, record: Record, hunks: tuple[Hunk, ...]) -> None:
        self.commits += record.origin is Origin.COMMIT
        self.doubts["weak"] += weak(record)
        if record.origin in NATURAL:
            self.natural += 1
            lines = sum(h.last - h.first + 1 for h in hunks)
            self.doubts["cosmetic"] += cosmetic(record)
            self.doubts["mixed"] += mixed(record, len(hunks), lines)

    def _sampled(self, name: str, record: Record) -> None:
        if name not in self.samples:
            self.samples[name] = Sample(EXAMPLES, random.Random(f"{SEED}:{name}"))
        self.samples[name].add(record)


def _error_type(record: Record) -> str:
    """The type's name; pytest shows failed assertions without one."""
    name = record.error_type or record.error.partition(":")[0].strip()
    if _TYPE.fullmatch(name):
        return name
    return "AssertionError" if name.startswith("assert ") else "(no type)"


def _bin(line: int, count: int) -> int:
    """The tenth of a text in which the middle of a line lies."""
    return int((line - 0.5) / count * BINS)


def _hunks(record: Record) -> tuple[Hunk, ...]:
    try:
        return record.hunks
    except PatchError:
        return ()
