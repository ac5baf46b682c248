"""The manifest that is shipped beside the weights: what they were trained on, and under which licences.

Owns its fields and its rendering as a data card. Reads the stages' summaries, computes nothing itself.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from data.recipe import Recipe
from data.store import write_text
from repair.errors import InputError

FORMAT = 1
_ROW = ("name", "version", "licence", "sha256", "accepted", "reason", "held_out", "files", "bytes", "decontaminated")


def manifest(
    recipe: Recipe, packages: Sequence[Mapping[str, object]], stages: Mapping[str, object], forbidden: Mapping[str, int]
) -> dict[str, object]:
    """The manifest as JSON values: one row a package (also refused ones, with the reason), counts of each stage."""
    return {
        "format": FORMAT,
        "python": platform.python_version(),
        "recipe": asdict(recipe),
        "recipe_digest": recipe.digest(),
        "packages": [{key: row[key] for key in _ROW} for row in packages],
        "files_left_out": _summed(row["left_out"] for row in packages),
        "decontaminated": _summed(row["decontaminated"] for row in packages),
        "decontaminated_against": dict(forbidden),
        "stages": dict(stages),
    }


def _summed(counts: Iterable[object]) -> dict[str, int]:
    total: dict[str, int] = {}
    for count in counts:
        if isinstance(count, dict):
            for reason, number in count.items():
                total[str(reason)] = total.get(str(reason), 0) + int(number)
    return dict(sorted(total.items()))


def write_manifest(path: Path, values: Mapping[str, object]) -> None:
    """Write the manifest as JSON, keys sorted."""
    write_text(path, json.dumps(values, sort_keys=True, indent=1, ensure_ascii=False) + "\n")


def read_manifest(path: Path) -> dict[str, object]:
    """Read a manifest. Raises InputError: missing, not JSON, of another format."""
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a manifest ({error})", field="manifest") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise InputError(f"{path}: not a manifest of format {FORMAT}", field="manifest")
    return values


def card(values: Mapping[str, object]) -> str:
    """The manifest as a Markdown data card: sources by licence, what was left out and why, counts."""
    packages = values["packages"]
    stages = values["stages"]
    if not isinstance(packages, list) or not isinstance(stages, dict):
        raise InputError("the manifest has no packages or stages", field="manifest")
    used = [p for p in packages if p["accepted"]]
    lines = [
        "# Training data",
        "",
        f"{len(used)} packages, {sum(p['bytes'] for p in used) / 1e6:.1f} MB of Python after filters. "
        f"Held out whole for validation: {', '.join(p['name'] for p in used if p['held_out']) or 'none'}.",
        "",
        "| package | version | licence | files | MB | SHA-256 |",
        "|---|---|---|---|---|---|",
        *(_table_row(p) for p in used),
        "",
        *_reasons("Refused packages", {p["name"]: p["reason"] for p in packages if not p["accepted"]}),
        *_reasons("Files left out", values["files_left_out"]),
        *_reasons("Functions cut out because they are measured elsewhere", values["decontaminated"]),
        *_reasons("Stages", {name: json.dumps(counts, sort_keys=True) for name, counts in stages.items()}),
    ]
    return "\n".join(lines) + "\n"


def _table_row(package: Mapping[str, object]) -> str:
    size, digest = int(str(package["bytes"])) / 1e6, str(package["sha256"])[:16]
    cells = (package["name"], package["version"], package["licence"], package["files"], f"{size:.2f}", f"{digest}…")
    return f"| {' | '.join(map(str, cells))} |"


def _reasons(title: str, counts: object) -> list[str]:
    if not isinstance(counts, dict) or not counts:
        return []
    return [f"## {title}", "", *(f"- {reason}: {number}" for reason, number in counts.items()), ""]
