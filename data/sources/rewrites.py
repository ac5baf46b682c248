"""Rewrites: a model's changes to functions that were right, kept as faults where they make another program.

Owns what is asked of the model and which of its answers are kept. Knows the model by its Protocol only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from data.checks import parses_as_piece
from data.dedup import Seen
from data.mutants import Unit
from data.records import Origin, Record
from data.sources.injected import unit_record
from data.sources.lots import Cut, Lot, lot_units
from data.steps import Outcome, Rejection
from repair.errors import PatchError
from repair.languages import tree_key
from repair.model import Decoding, Model
from repair.replies import Change, parse_reply
from repair.sources import Source
from repair.views import Hunk, View, hunks_patch


def _view(unit: Unit) -> View:
    return View(unit.source.path, unit.source.language, 1, tuple(unit.lines), context=unit.context)


def _rewritten(unit: Unit, hunks: tuple[Hunk, ...]) -> str:
    """The function's text after a change, "" when it does not fit."""
    source = Source(unit.source.path, unit.text, unit.source.language)
    try:
        return hunks_patch(source, hunks).files[0].apply(unit.text)
    except PatchError:
        return ""


def _key(text: str, unit: Unit) -> str:
    """Equal for texts that differ in comments and layout only."""
    lead = "if 1:\n" if unit.source.language == "python" and text[:1] in " \t" else ""
    return tree_key(Source(unit.source.path, lead + text, unit.source.language))


def rewrites(unit: Unit, model: Model, *, asked: int, each: int, seed: int) -> Iterator[str]:
    """Up to `each` texts that the model turns a function into: they parse and are different programs.

    The model is asked where it would change any line, as if something were wrong. Raises ModelError.
    """
    view = _view(unit)
    even = dict.fromkeys(range(1, len(view.lines) + 1), 1 / len(view.lines))
    known = {_key(unit.text, unit)}
    for completion in model.propose(view, Decoding(lines=even, candidates=asked, samples=1.0, seed=seed)):
        reply = parse_reply(completion.text, view)
        text = _rewritten(unit, reply.hunks) if isinstance(reply, Change) else ""
        if not text.strip() or not text.endswith("\n") or not parses_as_piece(text, unit.source.language):
            continue
        key = _key(text, unit)
        if key not in known:
            known.add(key)
            yield text
        if len(known) > each:
            return


def _record(unit: Unit, text: str, lot: Lot) -> Record:
    base = unit_record(unit, text, lot.package.decision.licence, lot.package.version)
    return replace(base, origin=Origin.REWRITE, operators=("rewrite",))


def rewritten(lot: Lot, cut: Cut, model: Model, *, asked: int, each: int, functions: int) -> Iterator[Outcome]:
    """The records of a lot, and why files and functions were left out."""
    seen = Seen()
    for unit in lot_units(lot, cut):
        if isinstance(unit, Rejection):
            yield unit
            continue
        where = f"{unit.package}/{unit.source.path}:{unit.function.name}"
        if reason := seen.reason(unit.text):
            yield Rejection("read", f"function: {reason}", where)
            continue
        functions -= 1
        if functions < 0:
            return
        texts = list(rewrites(unit, model, asked=asked, each=each, seed=cut.seed))
        yield from (_record(unit, text, lot) for text in texts)
        if not texts:
            yield Rejection("read", "function: no rewrite of it was kept", where)
