"""Make a suite of injected faults in functions that run alone, of packages that no training has seen.

    python benchmarks/injected.py WHEELS OUT.jsonl [--rows 100] [--seed 0]

WHEELS is a folder of wheels under permissive licences. What the embedded model was trained on is refused by name
(repair/embedded/data_manifest.json). Half of each row's tests are held out; `emend eval run OUT.jsonl` measures it.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from pathlib import Path

from data.executed import all_executed, suite_row
from data.filters import FileLimits
from data.recipe import Recipe
from data.sources.packages import Tally, read_files, read_packages

ROOT = Path(__file__).resolve().parents[1]


def learned() -> set[str]:
    """Names of the packages that the shipped weights were trained on."""
    told = json.loads((ROOT / "repair/embedded/data_manifest.json").read_text("utf-8"))
    packages = told["packages"] if isinstance(told, dict) else told
    return {str(package["name"]) for package in packages if not package.get("held_out")}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("wheels", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    packages = [p for p in read_packages(asked.wheels) if p.decision.accepted and p.name not in learned()]
    recipe = Recipe(seed=asked.seed, executed_each=3)
    files = [
        file
        for package in packages
        for file in read_files(package, Tally(), limits=FileLimits(), cap=1_000_000, seed=asked.seed)
    ]
    broken = all_executed(files, recipe, seed=asked.seed)
    made = [suite_row(one, number) for number, one in enumerate(broken)]
    whole = [row for row in made if "held_out_tests" in row]
    random.Random(asked.seed).shuffle(whole)
    chosen = whole[: asked.rows]
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in chosen), encoding="utf-8")
    print(f"{len(chosen)} of {len(made)} faults in {asked.out}: {dict(Counter(str(r['source']) for r in chosen))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
