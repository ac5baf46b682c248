"""Where the reference stands among the candidates that a repair would judge: mutations and proposals in one order.

Owns how a view becomes a source that can be searched. Suspects are the model's belief alone, for held-out examples
come without coverage: with tests at hand, `repair` localizes better than this. No candidate is judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from repair.model import LineBelief, Model
from repair.search import Field, Search, SearchOptions
from repair.sources import Source
from repair.verdicts import Suspect
from repair.views import Hunk, View, hunks_patch

_NEGLIGIBLE = 1e-6  # suspects below are left out, as `repair.localize` does


def source_of(view: View) -> Source:
    """A file whose lines have the numbers of the view; a method stands in a class, so that the file parses."""
    above = [""] * (view.first_line - 1)
    if above and view.lines[0].startswith((" ", "\t")) and view.language == "python":
        above[-1] = "class Held:"
    return Source(view.path or "held.py", "\n".join([*above, *view.lines]) + "\n", view.language)


def suspects_of(source: Source, belief: LineBelief) -> tuple[Suspect, ...]:
    """The lines that the model suspects, most suspicious first."""
    ranked = sorted(belief.lines.items(), key=lambda item: (-item[1], item[0]))
    spans = ((line, chance, source.line_span(line)) for line, chance in ranked if chance > _NEGLIGIBLE)
    return tuple(Suspect(source.path, span, line, chance, ("model",)) for line, chance, span in spans)


def searched(view: View, hunks: Sequence[Hunk], belief: LineBelief, model: Model, candidates: int) -> int:
    """Rank of the reference's text among the first `candidates`, 1 is best; 0 where it is none of them."""
    source = source_of(view)
    wanted = hunks_patch(source, hunks).files[0].apply(source.text)
    place = Field({source.path: source}, (view,), suspects_of(source, belief))
    found = islice(Search(place, model, SearchOptions()), candidates)
    texts = (candidate.patch.files[0].apply(source.text) for candidate in found)
    return next((rank for rank, text in enumerate(texts, 1) if text == wanted), 0)
