"""An explanation as one self-contained page: no script, nothing from elsewhere, light and dark, below LARGEST bytes."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from repair.explain.values import Explanation
from serve.batch.wording import one_line
from serve.explaining.fragments import fragments, stylesheet

LARGEST = 5_000_000  # bytes
_HERE = Path(__file__).parent
_TABS = (
    ("evidence", "Evidence"),
    ("tokens", "Tokens"),
    ("attention", "Attention"),
    ("lens", "Lens"),
    ("activations", "Activations"),
    ("patching", "Patching"),
    ("anomalies", "Anomalies"),
    ("live", "Live"),
)


def report(explanation: Explanation, *, title: str = "", when: str = "") -> str:
    """The page, the same bytes for the same explanation; `when` is told as it is given."""
    view = explanation.subject.view
    parts = {name: Markup(piece) for name, piece in fragments(explanation).items()}
    parts["evidence"] += parts["quality"]
    parts = _bounded(parts)
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    style = (_HERE / "templates" / "report.css").read_text(encoding="utf-8") + stylesheet()
    told = (f"Model {one_line(explanation.model, 160)}", f"lines {view.first_line} to {view.last_line}", when)
    return environment.get_template("report.html").render(
        title=one_line(title or f"Why {view.path} was changed", 200), facts=", ".join(filter(None, told)),
        css=Markup(style), parts=parts, tabs=_TABS,
    )  # fmt: skip


def _bounded(parts: dict[str, Markup]) -> dict[str, Markup]:
    """Leave the largest tabs out until the page is small enough, and say so."""
    kept = dict(parts)
    for name in sorted((key for key, _ in _TABS), key=lambda key: len(parts[key]), reverse=True):
        if sum(len(piece.encode("utf-8", "replace")) for piece in kept.values()) <= LARGEST - 50_000:
            break
        kept[name] = Markup('<p class="soft">Left out to keep this page small: ask for this part alone.</p>')
    return kept
