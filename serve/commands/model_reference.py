"""`emend model reference`: read held-out cases, store the quantiles, the probe and the calibration beside the model."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table
from rich.text import Text

from repair.explain.glass import open_glass
from repair.explain.reference import LocationQuality, measure_reference, store_reference, write_reference
from serve.commands.model_cases import read_cases
from serve.printing import progress, stderr, stdout


def run(source: str | None, cases: Path, *, adapter: Path | None, count: int | None, output: Path | None) -> int:
    """Exit code 0 when it was measured and written; errors are the boundary's."""
    read = read_cases(cases, count)
    glass = open_glass(source, adapter=adapter)
    with progress(f"reading {len(read)} cases") as status:

        def tell(number: int) -> None:
            if status is not None:
                status.update(f"read {number} of {len(read)} cases")

        found = measure_reference(glass, read, report=tell)
    if output is None:
        output = store_reference(glass, found)
    else:
        write_reference(output, found)
    console = stdout()
    console.print(Text(f"reference of {found.examples} cases in {output}"), soft_wrap=True)
    if found.location:
        console.print(quality_table(found.location))
    else:
        stderr().print("too few cases for a location probe: quantiles alone")
    return 0


def quality_table(rows: tuple[LocationQuality, ...]) -> Table:
    """Each source of locations on the held-out part."""
    table = Table(box=None, pad_edge=False)
    for name in ("location by", "hit@1", "hit@3", "hit@5", "ECE", "nats", "cases"):
        table.add_column(name, justify="left" if name == "location by" else "right")
    for row in rows:
        hits = (f"{100 * hit:.1f}" for hit in row.hits)
        table.add_row(row.source, *hits, f"{row.ece:.3f}", f"{row.nll:.2f}", f"{row.examples}")
    return table
