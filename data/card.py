"""The manifest of a dataset and the card that is written from it.

Owns the manifest's fields (hashes of every file, counts, licences, versions, the whole recipe) and the card's front
matter, by which `datasets.load_dataset(FOLDER)` finds the splits. Computes nothing of the dataset itself.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from data.splits import SPLITS

if TYPE_CHECKING:
    from typing import Any

FORMAT = 1
_LIBRARIES = ("emend", "datasets", "detect-secrets", "numpy", "pyarrow", "tokenizers", "tree-sitter")
_SPDX = {"mit", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "isc", "cc0-1.0", "unlicense", "zlib"}
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def versions() -> dict[str, str]:
    """Of the interpreter and of the libraries that the bytes may depend on."""
    return {"python": platform.python_version(), **{name: _version(name) for name in _LIBRARIES}}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _front_matter(values: Mapping[str, Any]) -> Iterable[str]:
    licences = [name.lower() for name in values["counts"]["licence"]]
    plain = licences[0] if len(licences) == 1 and licences[0] in _SPDX else "other"
    total = sum(values["counts"]["split"].values())
    size = next((name for most, name in _SIZES if total < most), "1M<n<10M")
    yield from ("---", f"pretty_name: {json.dumps(values['name'])}", f"license: {plain}")
    if plain == "other":
        yield from ("license_name: several", "license_link: manifest.json")
    yield from ("language:", "- code", "task_categories:", "- text-generation", "tags:", "- code", "- program-repair")
    yield from ("size_categories:", f"- {size}", "configs:", "- config_name: default", "  data_files:")
    for split in SPLITS:
        if values["counts"]["split"].get(split):
            yield from (f"  - split: {split}", f"    path: data/{split}-*.parquet")
    yield "---"


def _cell(text: object) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return [*lines, *(f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows), ""]


def _counts(title: str, counts: Mapping[str, int]) -> list[str]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [f"## {title}", "", *_table((title, "records"), [(name or "unknown", n) for name, n in ordered])]


def card(values: Mapping[str, Any]) -> str:
    """The manifest as a dataset card: Markdown with the front matter that dataset hubs read."""
    counts = values["counts"]
    lines = [*_front_matter(values), "", f"# {values['name']}", ""]
    lines += [
        "Functions before and after a repair, with what is known of the fault. Built by Emend from the recipe in",
        "`manifest.json`, which also has the hash of every file.",
        "",
    ]
    lines += ["```python", "from datasets import load_dataset", "", 'load_dataset("FOLDER", streaming=True)', "```", ""]
    lines += [*_counts("split", counts["split"]), *_counts("origin", counts["origin"])]
    lines += [*_counts("language", counts["language"]), *_counts("licence", counts["licence"])]
    lines += [*_counts("bug class", counts["bug_class"]), "## Sources", ""]
    rows = [
        [one.get(name, "") for name in ("source", "name", "version", "licence", "sha256")] for one in values["from"]
    ]
    lines += _table(("source", "name", "version", "licence", "SHA-256"), [[*r[:4], str(r[4])[:16]] for r in rows])
    lines += ["## Left out", "", "Each one stands in `dropped.jsonl`.", ""]
    reasons = [(-int(n), str(s), str(reason)) for s, found in values["dropped"].items() for reason, n in found.items()]
    lines += _table(("stage", "reason", "number"), [(s, reason, -n) for n, s, reason in sorted(reasons)])
    against = values["decontaminated_against"]
    lines += [f"Kept apart from {against['marks']} marks of measured programs and {against['runs']} runs of 13 tokens."]
    return "\n".join(lines) + "\n"
