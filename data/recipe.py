"""Recipe: every choice that a corpus depends on, with its unit. The manifest repeats it whole."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field

from data.filters import FileLimits
from repair.errors import InputError

# Whole packages that no training text comes from, for validation and for the held-out faults.
HELD_OUT = ("attrs", "boltons", "click", "more-itertools", "nibabel", "rich", "toolz", "werkzeug")

# Paths (package/prefix) of algorithmic code, which is rare in packages and common in repair tasks.
ALGORITHMIC = (
    "algorithms/", "sortedcontainers/", "cachetools/", "networkx/networkx/algorithms/", "sympy/sympy/ntheory/",
    "sympy/sympy/combinatorics/", "sympy/sympy/utilities/", "sympy/sympy/polys/", "lark/", "nltk/nltk/metrics/",
    "python-stdlib/heapq", "python-stdlib/bisect", "python-stdlib/statistics", "python-stdlib/fractions",
    "python-stdlib/difflib", "python-stdlib/random", "python-stdlib/textwrap", "python-stdlib/graphlib",
    "python-stdlib/functools", "python-stdlib/collections/", "python-stdlib/calendar", "python-stdlib/string",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recipe:
    """One corpus. `cap` is in bytes a package; `row` is the length of a packed row in tokens."""

    seed: int = 1
    cap: int = 4_000_000
    test_share: float = 0.1
    stdlib: bool = True
    held_out: tuple[str, ...] = HELD_OUT
    algorithmic: tuple[str, ...] = ALGORITHMIC
    oversample: int = 3  # times that algorithmic code is seen
    vocabulary: int = 4096
    tokenizer: str = ""  # tokenizer.json of an earlier base that goes on learning; empty: a new one is trained
    sample: int = 40_000_000  # bytes of text that the vocabulary is trained on
    row: int = 1024
    pretrain_tokens: int = 30_000_000
    plain_share: float = 0.05  # of the pre-training documents: plain text with newlines instead of line tokens
    examples: int = 150_000  # injected training examples
    each: int = 2  # examples of one function
    executed_each: int = 6  # executed faults of one function that can run alone, several times that of algorithmic ones
    held_out_examples: int = 2_500
    clean_share: float = 0.18  # examples without a fault
    second_share: float = 0.07  # faulty examples with a second fault
    pack_mib: int = 0  # of a compressed text pack for `data.arriving`, instead of training shards; 0: shards
    limits: FileLimits = field(default_factory=FileLimits)

    def __post_init__(self) -> None:
        for name in ("test_share", "plain_share", "clean_share", "second_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"recipe.{name} is {getattr(self, name)}; it is a share between 0 and 1", field=name)
        for name in ("cap", "oversample", "row"):
            if getattr(self, name) < 1:
                raise InputError(f"recipe.{name} is {getattr(self, name)}; it must be at least 1", field=name)
        if self.pack_mib < 0:
            raise InputError(f"recipe.pack_mib is {self.pack_mib}; 0 writes shards instead of packs", field="pack_mib")

    def digest(self, *names: str) -> str:
        """A hash of the choices `names` (of all when none is given): equal digests mean equal results."""
        chosen = {key: value for key, value in asdict(self).items() if not names or key in names}
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:16]

    def weight(self, package: str, path: str) -> int:
        """How many times a file is seen."""
        return self.oversample if f"{package}/{path}".startswith(self.algorithmic) else 1
