"""The table of the embedded model: one or two models side by side, on injected faults and on real mined pairs.

    python -m training.table MODEL --heldout FILE [--adapter DIR] [--against MODEL] [--against-adapter DIR]
                             [--mined FILE] [--candidates 100] [--searched 0] [--limit N]

prints Markdown. With `--against` (the old weights) the difference has a paired 95 % bootstrap interval. Suites with
tests are run by `emend eval run`, which may compose what training may not import. Definitions: `training.scores`.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from training.bootstrap import Ratio, paired
from training.heldout import read_heldout
from training.measure import Checkpoint, Measured, load_meter
from training.meter import Effort
from training.scores import Score

Counted = Callable[[Score], bool]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: a share of `among`, or bits per byte."""

    name: str
    ratio: Callable[[Sequence[Score]], Ratio]
    percent: bool = True

    def known(self, models: Sequence[Measured]) -> bool:
        """Whether any model was asked about it."""
        return any(not math.isnan(self.ratio(model.scores).value) for model in models)


def _share(name: str, hit: Counted, among: Counted) -> Line:
    return Line(name, lambda scores: Ratio.share([hit(s) for s in scores], [among(s) for s in scores]))


def _faulty(score: Score) -> bool:
    return score.faulty


def _proposed(rank: int) -> Counted:
    return lambda score: 0 < score.proposed <= rank


def _searched(rank: int) -> Counted:
    return lambda score: 0 < score.searched <= rank


def _bits(scores: Sequence[Score]) -> Ratio:
    return Ratio(np.array([s.bits for s in scores]), np.array([s.bytes for s in scores], np.float64))


LINES = (
    Line("bits per byte of the code", _bits, percent=False),
    _share("location@1 (lines and no fault)", lambda s: s.rank <= 1, _faulty),
    _share("location@5", lambda s: s.rank <= 5, _faulty),
    _share("location@1, file known to be faulty", lambda s: s.line_rank <= 1, _faulty),
    _share("location@5, file known to be faulty", lambda s: s.line_rank <= 5, _faulty),
    _share("exact fix@1, greedy", lambda s: s.exact, _faulty),
    _share("exact fix@1, place given", lambda s: s.exact_given_line, _faulty),
    _share("exact fix@10, proposals", _proposed(10), lambda s: s.proposed >= 0),
    _share("exact fix@100, proposals", _proposed(100), lambda s: s.proposed >= 0),
    _share("exact fix@1, search", _searched(1), lambda s: s.searched >= 0),
    _share("exact fix@10, search", _searched(10), lambda s: s.searched >= 0),
    _share("exact fix@100, search", _searched(100), lambda s: s.searched >= 0),
    _share("no fault: precision", lambda s: not s.faulty, lambda s: s.called_ok),
    _share("no fault: recall", lambda s: s.called_ok, lambda s: not s.faulty),
)


def common(models: Sequence[Measured]) -> list[Measured]:
    """The examples that every model has a score of: tokenizers differ in what fits the context."""
    ids = set[str].intersection(*({score.id for score in model.scores} for model in models))
    return [replace(model, scores=tuple(s for s in model.scores if s.id in ids)) for model in models]


def _number(value: float, *, percent: bool, sign: bool = False) -> str:
    if math.isnan(value):
        return "-"
    plus = "+" if sign else ""
    return f"{100 * value:{plus}.1f}" if percent else f"{value:{plus}.3f}"


def _cells(line: Line, models: Sequence[Measured]) -> Iterator[str]:
    ratios = [line.ratio(model.scores) for model in models]
    yield line.name
    unit = " %" if line.percent else ""
    yield from (_number(r.value, percent=line.percent) + unit * (not math.isnan(r.value)) for r in ratios)
    if len(ratios) == 2:
        found = paired(*ratios)
        if math.isnan(found.low):
            yield "-"
            return
        ends = (_number(end, percent=line.percent, sign=True) for end in (found.low, found.high))
        yield f"{_number(found.difference, percent=line.percent, sign=True)} ({' to '.join(ends)})"


def render_table(title: str, models: Sequence[Measured]) -> list[str]:
    """Markdown of one set of examples: a column for each of one or two models, for two their difference (new - old)."""
    models = common(models)
    scores = models[0].scores
    faulty = sum(s.faulty for s in scores)
    difference = ["difference (95 %)"] if len(models) == 2 else []
    head = [f"{len(scores)} examples", *(model.name for model in models), *difference]
    counted = f"{faulty} faulty, {len(scores) - faulty} without fault"
    left_out = f"; too long for the context: {max(model.too_long for model in models)}"
    lines = [f"### {title}", "", counted + left_out, "", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return [*lines, *(f"| {' | '.join(_cells(line, models))} |" for line in LINES if line.known(models)), ""]


def suites_note(checkpoints: Sequence[Checkpoint]) -> list[str]:
    """How to get the figures of suites with tests, which this table leaves out."""
    lines = ["Suites with tests are not run here; `emend eval run` does it:", "", "```sh"]
    for one in checkpoints:
        adapter = f" --adapter {one.adapter}" if one.adapter else ""
        lines.append(f"emend eval run SUITE.jsonl --model {one.source}{adapter}")
    return [*lines, "```"]


def table(checkpoints: Sequence[Checkpoint], sets: Sequence[tuple[str, Path]], effort: Effort, limit: int) -> list[str]:
    """Measure each checkpoint on each set and render it. Raises InputError, ModelError."""
    examples = [(title, read_heldout(path, limit)) for title, path in sets]
    found: list[list[Measured]] = [[] for _ in sets]
    for one in checkpoints:
        meter = load_meter(one)
        for place, (_, heldout) in zip(found, examples, strict=True):
            scores = tuple(meter.score(heldout, effort))
            place.append(Measured(str(one), scores, len(heldout) - len(scores)))
    lines = [line for (title, _), models in zip(sets, found, strict=True) for line in render_table(title, models)]
    return [*lines, *suites_note(checkpoints)]


def main(arguments: Sequence[str]) -> None:
    """The command of the module docstring."""
    parser = argparse.ArgumentParser(prog="training.table")
    parser.add_argument("model")
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--against", help="the old weights; they come first in the table")
    parser.add_argument("--against-adapter", type=Path)
    parser.add_argument("--heldout", type=Path, required=True, help="injected faults")
    parser.add_argument("--mined", type=Path, help="real pairs: a dataset folder, or .jsonl or .parquet of records")
    parser.add_argument("--candidates", type=int, default=100, help="proposals for each faulty example; 0: none")
    parser.add_argument("--searched", type=int, default=0, help="candidates of the search: some seconds an example")
    parser.add_argument("--limit", type=int, default=0, help="examples of each set, the first ones")
    options = parser.parse_args(arguments)
    checkpoints = [Checkpoint(options.model, options.adapter)]
    if options.against or options.against_adapter:
        checkpoints.insert(0, Checkpoint(options.against or options.model, options.against_adapter))
    effort = Effort(options.candidates, options.searched)
    sets = [("Injected faults", options.heldout), *([("Mined pairs", options.mined)] if options.mined else [])]
    sys.stdout.write("\n".join(table(checkpoints, sets, effort, options.limit)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
