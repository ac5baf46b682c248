"""`emend model heads`: where the heads of two models look, beside how well each answers."""

from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from data.store import write_text
from repair.errors import InputError
from serve.printing import stderr, stdout

if TYPE_CHECKING:
    from eval.glassbox.heads import HeadsCompared
    from repair.explain.glass import Glass

EMBEDDED = "embedded"


def run(
    pair: tuple[str, str], path: Path, output: Path, *, base: str | None = None, count: int = 40, as_json: bool = False
) -> int:
    """Compare the models or adapters `pair` (before, after) and write the page. Raises InputError, ModelError."""
    from eval.glassbox.heads import compared, heads_page, looked
    from serve.commands.model_cases import read_cases

    cases = tuple(islice((case for case in read_cases(path) if case.hunks), count))
    if not cases:
        raise InputError(f"{path}: no case with a fault", field="cases")
    found = compared(*(looked(_opened(spec, base), cases) for spec in pair))
    write_text(output, heads_page(found, f"{len(cases)} cases of {path.name}"))
    if as_json:
        sys.stdout.write(json.dumps(_json(found, len(cases)), indent=2) + "\n")
    else:
        _print(found)
    stderr().print(f"written to {output}", soft_wrap=True)
    return 0


def _opened(spec: str, base: str | None) -> Glass:
    """A folder with an adapter goes onto the base, all else is a model itself."""
    from repair.explain.glass import open_glass

    if (Path(spec) / "adapter_config.json").is_file():
        return open_glass(base, adapter=spec)
    return open_glass(None if spec == EMBEDDED else spec)


def _json(found: HeadsCompared, cases: int) -> dict[str, object]:
    return {
        "before": found.before.name,
        "after": found.after.name,
        "cases": cases,
        "log_p_repair_gain": found.change,
        "located": list(found.located),
        "statistics": [
            {
                "statistic": m.statistic, "before": m.before, "after": m.after, "rms": m.spread,
                "moved_most": {"layer": m.layer, "head": m.head, "by": m.most},
            }
            for m in found.moved
        ],
    }  # fmt: skip


def _print(found: HeadsCompared) -> None:
    told = Table("mean over heads", "before", "after", "moved most", "root mean square", box=None, pad_edge=False)
    for m in found.moved:
        most = f"layer {m.layer}, head {m.head}: {m.most:+.3f}"
        told.add_row(m.statistic, f"{m.before:.4f}", f"{m.after:.4f}", most, f"{m.spread:.4f}")
    console = stdout()
    console.print(told)
    console.print(f"log P(repair) a case: {found.change:+.3f} nats", soft_wrap=True)
    console.print(
        f"fault located first: {100 * found.located[0]:.1f} % before, {100 * found.located[1]:.1f} % after",
        soft_wrap=True,
    )
