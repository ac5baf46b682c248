"""A prompt with its answer as token ids, and which line each token belongs to.

The ids are those of serving (`CompactFormat`, `NumberedFormat`): text is never tokenised a second way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from repair.errors import InputError, ModelError
from repair.explain.values import Unit, UnitEdit, UnitKind
from repair.models.compact import CompactFormat
from repair.models.numbered import NumberedFormat
from repair.prompts import (
    MAX_CONTEXT_CHARACTERS,
    MAX_ERROR_CHARACTERS,
    MAX_TEST_CHARACTERS,
    Piece,
    compact_prompt,
    compact_target,
    encode,
    one_line,
)
from repair.replies import Unreadable, check_hunks
from repair.views import Hunk, View

if TYPE_CHECKING:
    from repair.models.local import Format
    from repair.models.tokens import TokenEncoder

STRUCTURE = -1


@dataclass(frozen=True, slots=True)
class Passage:
    """Token ids of a prompt and its answer; all sequences below have one entry a token unless said otherwise."""

    ids: tuple[int, ...]
    prompt: int  # tokens before the answer
    tokens: tuple[str, ...]  # as text, special ones by name
    units: tuple[Unit, ...]  # in prompt order
    owner: tuple[int, ...]  # index into `units`; STRUCTURE for the rest of the prompt and for the answer
    fixed: tuple[bool, ...]  # structure and the numbers of lines: what stays when a unit's text is taken out
    ends: tuple[int, ...]  # of each unit: the position whose state has read it

    def of(self, unit: int) -> tuple[int, ...]:
        """Positions of the text of unit number `unit`, its line number left out."""
        return tuple(i for i, o in enumerate(self.owner) if o == unit and not self.fixed[i])

    def without(self, units: Sequence[int]) -> tuple[int, ...]:
        """The ids with the text of these units taken out."""
        gone = frozenset(units)
        kept = (f or o not in gone for f, o in zip(self.fixed, self.owner, strict=True))
        return tuple(token for token, stays in zip(self.ids, kept, strict=True) if stays)


def passage(answers: Format, view: View, hunks: Sequence[Hunk] | None) -> Passage:
    """The prompt that `answers` makes of a view, with the answer that says `hunks` (None: the prompt alone).

    Raises ModelError when the view is too long for the model, InputError when the change does not lie in it.
    """
    if hunks and isinstance(check_hunks(hunks, view), Unreadable):
        raise InputError("the change does not lie in the lines that the model was shown", field="candidate")
    if isinstance(answers, CompactFormat):
        found = _compact(answers, answers.fitted(view), hunks)
    elif isinstance(answers, NumberedFormat):
        found = _numbered(answers, answers.fitted(view), hunks)
    else:
        raise ModelError("this model's prompt has no tokens to show: explain it by perturbation")
    if len(found.ids) > answers.engine.limit:
        raise ModelError(
            f"prompt and change have {len(found.ids)} tokens, the model reads {answers.engine.limit}: "
            "explain a smaller window"
        )
    return found


def _compact(answers: CompactFormat, view: View, hunks: Sequence[Hunk] | None) -> Passage:
    """Walk the pieces of the prompt; the special tokens say in which part the texts stand."""
    encoder, made = answers.encoder, _Making()
    part, number = "", 0
    for piece in compact_prompt(view):
        if not piece.special:
            texts = piece.text.split("\n")
            for at, text in enumerate(texts, number):
                if at > number:
                    made.put(encode([Piece("\n")], encoder), ("\n",), made.last, fixed=True)
                made.unit(_AUXILIARY[part], at, text)
                ids = encode([Piece(text)], encoder)
                made.put(ids, _texts(encoder, ids), made.last)
            continue
        (token,) = encode([piece], encoder)
        if piece.text in _PARTS:
            part, number = piece.text, view.first_line if piece.text == "<|code|>" else 1
            made.put([token], (piece.text,), STRUCTURE)
        elif part == "<|tb|>":
            made.unit(UnitKind.FRAME, view.frames[number - 1], "")
            made.put([token], (piece.text,), made.last, fixed=False)
            number += 1
        elif part == "<|code|>" and piece.text != "<|fix|>":
            if not view.lines[number - view.first_line]:
                made.unit(UnitKind.CODE, number, "")
            made.put([token], (piece.text,), made.last, fixed=True)
            number += 1
        else:
            made.put([token], (piece.text,), STRUCTURE)
    prompt = len(made.ids)
    if hunks is not None:
        ids = encode(compact_target(view, hunks), encoder)
        made.put(ids, _texts(encoder, ids), STRUCTURE)
    return made.passage(prompt)


_PARTS = ("<|err|>", "<|tb|>", "<|test|>", "<|ctx|>", "<|code|>")
_AUXILIARY = {
    "<|err|>": UnitKind.ERROR,
    "<|test|>": UnitKind.TEST,
    "<|ctx|>": UnitKind.CONTEXT,
    "<|code|>": UnitKind.CODE,
}


def _texts(encoder: TokenEncoder, ids: Sequence[int]) -> tuple[str, ...]:
    return tuple("".join(piece.text for piece in encoder.decode([token])) for token in ids)


@dataclass(slots=True)
class _Making:
    """A Passage that grows."""

    ids: list[int] = field(default_factory=list[int])
    tokens: list[str] = field(default_factory=list[str])
    units: list[Unit] = field(default_factory=list[Unit])
    owner: list[int] = field(default_factory=list[int])
    fixed: list[bool] = field(default_factory=list[bool])

    @property
    def last(self) -> int:
        return len(self.units) - 1

    def unit(self, kind: UnitKind, number: int, text: str) -> None:
        self.units.append(Unit(kind, number, text))

    def put(self, ids: Sequence[int], texts: Sequence[str], owner: int, *, fixed: bool | None = None) -> None:
        self.ids += ids
        self.tokens += texts
        self.owner += [owner] * len(ids)
        self.fixed += [owner == STRUCTURE if fixed is None else fixed] * len(ids)

    def passage(self, prompt: int) -> Passage:
        ends = [0] * len(self.units)
        for at, unit in enumerate(self.owner):
            if unit != STRUCTURE:
                ends[unit] = at
        return Passage(
            tuple(self.ids), prompt, tuple(self.tokens), tuple(self.units), tuple(self.owner), tuple(self.fixed),
            tuple(ends),
        )  # fmt: skip


def _numbered(answers: NumberedFormat, view: View, hunks: Sequence[Hunk] | None) -> Passage:
    """Find the units in the text of the prompt, and the tokens by the characters that they stand for."""
    text, adds = answers.prompt_text(view)
    found: Any = answers.tokenizer(text, add_special_tokens=adds, return_offsets_mapping=True)
    ids: list[int] = list(found["input_ids"])
    spans: list[tuple[int, int]] = [(int(a), int(b)) for a, b in found["offset_mapping"]]
    units = _spans(text, view)
    owner, fixed = [STRUCTURE] * len(ids), [True] * len(ids)
    for number, (_, whole, start) in enumerate(units):
        for at, (a, b) in enumerate(spans):
            if a < b and whole <= a < start[1]:
                owner[at], fixed[at] = number, a < start[0]
    tokens = [text[a:b] or str(answers.tokenizer.decode([t])) for t, (a, b) in zip(ids, spans, strict=True)]
    prompt = len(ids)
    if hunks is not None:
        reply = answers.target(hunks)
        ids += reply
        tokens += [str(answers.tokenizer.decode([token])) for token in reply]
        owner += [STRUCTURE] * len(reply)
        fixed += [True] * len(reply)
    made = _Making(ids, tokens, [unit for unit, _, _ in units], owner, fixed)
    return made.passage(prompt)


def _spans(text: str, view: View) -> list[tuple[Unit, int, tuple[int, int]]]:
    """Each unit that the text of a prompt shows, where its line begins, and the characters of its own text."""
    found: list[tuple[Unit, int, tuple[int, int]]] = []
    at = 0

    def find(unit: Unit, shown: str, before: str = "") -> None:
        nonlocal at
        begin = text.find(f"{before}{shown}", at)
        if begin >= 0:
            start = begin + len(before)
            at = start + len(shown)
            found.append((unit, begin, (start, at)))

    for unit in units_of(view, blank=True):
        match unit.kind:
            case UnitKind.ERROR:
                find(unit, one_line(unit.text, MAX_ERROR_CHARACTERS), "Error: ")
            case UnitKind.FRAME:
                find(unit, str(unit.number), ": " if unit.number == view.frames[0] else ", ")
            case UnitKind.CODE:
                find(unit, unit.text, f"{unit.number}|")
            case _:
                find(unit, unit.text)
    return found


def shown(view: View, answers: Format | None = None) -> View:
    """The view cut to what a prompt says of it, so that no other text moves in where a unit is taken out.

    `answers` None: a model server, asked as `prompts.py` says. Raises ModelError when the view's code is too long.
    """
    view = view if answers is None else answers.fitted(view)
    compact = isinstance(answers, CompactFormat)
    context = "\n".join(view.context)[: MAX_CONTEXT_CHARACTERS * (1 if compact else 4)]
    return replace(
        view,
        error=one_line(view.error, MAX_ERROR_CHARACTERS),
        frames=view.frames[:3] if compact else view.frames,
        test=view.test[: MAX_TEST_CHARACTERS * (1 if compact else 8)],
        context=tuple(context.split("\n")) if view.context else (),
    )


def units_of(view: View, *, blank: bool = False) -> tuple[Unit, ...]:
    """The units of a view in prompt order, for models whose tokens are not seen; `blank` lines of code too."""
    found: list[Unit] = []
    if view.error:
        found.append(Unit(UnitKind.ERROR, 1, view.error))
    found += [Unit(UnitKind.FRAME, n, "") for n in dict.fromkeys(view.frames)]
    found += [Unit(UnitKind.TEST, n, text) for n, text in enumerate(view.test.split("\n"), 1) if text.strip()]
    found += [Unit(UnitKind.CONTEXT, n, text) for n, text in enumerate(view.context, 1) if text.strip()]
    found += [
        Unit(UnitKind.CODE, n, text) for n, text in enumerate(view.lines, view.first_line) if blank or text.strip()
    ]
    return tuple(found)


def edited(view: View, edits: Sequence[UnitEdit]) -> View:
    """The view with units of the prompt rewritten; a line of code stays, empty, where its text is taken out.

    Raises InputError for a unit that the view does not have.
    """
    lines, frames, test, context = list(view.lines), list(view.frames), view.test.split("\n"), list(view.context)
    error, gone = view.error, dict[UnitKind, set[int]]()
    for edit in edits:
        match edit.kind:
            case UnitKind.CODE:
                lines[_index(edit, len(lines), view.first_line)] = edit.text
            case UnitKind.ERROR:
                error = edit.text
            case UnitKind.FRAME:
                if edit.number not in frames:
                    raise InputError(f"the traceback names no line {edit.number}", field="interventions.edits")
                other = [int(edit.text)] if edit.text.isdecimal() else []
                frames = [n for frame in frames for n in (other if frame == edit.number else [frame])]
            case UnitKind.TEST | UnitKind.CONTEXT:
                part = test if edit.kind is UnitKind.TEST else context
                part[_index(edit, len(part), 1)] = edit.text
                if not edit.text:
                    gone.setdefault(edit.kind, set()).add(edit.number)
    if any("\n" in edit.text for edit in edits):
        raise InputError("a unit is one line: its new text has a line break", field="interventions.edits")
    left = {
        kind: [text for n, text in enumerate(part, 1) if n not in gone.get(kind, ())]
        for kind, part in ((UnitKind.TEST, test), (UnitKind.CONTEXT, context))
    }
    return replace(
        view, lines=tuple(lines), error=error, frames=tuple(frames),
        test="\n".join(left[UnitKind.TEST]), context=tuple(left[UnitKind.CONTEXT]),
    )  # fmt: skip


def _index(edit: UnitEdit, count: int, first: int) -> int:
    if not first <= edit.number < first + count:
        raise InputError(f"the prompt has no {edit.kind.value} line {edit.number}", field="interventions.edits")
    return edit.number - first


def unchanged(view: View, hunks: Sequence[Hunk]) -> tuple[Hunk, ...]:
    """The answer that leaves the lines of a change as they are, for contrasts; an insertion: the line before it."""
    kept: list[Hunk] = []
    for hunk in sorted(hunks):
        first = min(hunk.first, view.last_line)
        last = first if hunk.inserts else hunk.last
        if not kept or first > kept[-1].last:
            kept.append(Hunk(first, last, "\n".join(_lines(view, first, last))))
    return tuple(kept)


def _lines(view: View, first: int, last: int) -> Iterator[str]:
    for number in range(first, last + 1):
        yield view.lines[number - view.first_line]
