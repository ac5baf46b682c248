"""The audit card of a model release: what it remembers of its training data, and who keeps secrets out of it.

Owns the words of the card: what each number means and what it does not. Values to text; measures nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from data.charts import escaped
from data.sheet import table
from eval.glassbox.privacy import EXPECTED_BITS, LEVEL, Exposed, Membership
from eval.stats import Share


@dataclass(frozen=True, slots=True)
class Detector:
    """Where text comes in, which detector reads it there, and whether it took out a sample secret just now."""

    place: str
    detector: str
    works: bool


@dataclass(frozen=True, slots=True)
class Audit:
    """Everything that an audit found. `calibrated`: against the same model without its adapter, where it has one."""

    model: str
    members: str  # what the groups are, for people
    others: str
    membership: Membership | None
    calibrated: Membership | None
    canaries: tuple[Exposed, ...]
    detectors: tuple[Detector, ...]
    notes: tuple[str, ...] = ()


STYLE = ".audit table { min-width: 540px; }"
"""What a page needs in its style sheet, beside `data.sheet.style`, to show `audit_section` on a narrow screen."""

MEANINGS = (
    "AUC: the chance that a record of the training data has a higher log-probability than one that is not of it. "
    "0.5 is a coin. It says that the groups differ, not why: of other projects, the projects may differ.",
    "Caught: members found where at most 1 % of the others are taken for members. The attacker's view (Carlini "
    "et al. 2022): a few records that are surely known harm though the mean looks like a coin.",
    f"Exposure: bits by which a planted random number is likelier than others of its form (Carlini et al. 2019); "
    f"{EXPECTED_BITS:.2f} on average for what was never seen, at most log2 of the numbers compared. An alarm is p < "
    f"{LEVEL:g}, adjusted (Holm) for the groups.",
    "No alarm is no proof: stronger attacks exist (shadow models), and a secret repeated more often than the canaries "
    "may come out though they do not.",
)


def audit_json(found: Audit) -> dict[str, object]:
    """As plain values."""
    return {
        "model": found.model,
        "members": found.members,
        "others": found.others,
        "membership": _membership_json(found.membership),
        "calibrated": _membership_json(found.calibrated),
        "canaries": [
            {
                "repeated": g.repeated, "count": len(g.canaries), "bits": g.bits, "p_value": g.p_value,
                "adjusted": g.adjusted, "alarming": g.alarming,
                "ranks": [{"name": c.name, "rank": c.rank, "of": c.of, "bits": c.bits} for c in g.canaries],
            }
            for g in found.canaries
        ],
        "detectors": [{"place": d.place, "detector": d.detector, "works": d.works} for d in found.detectors],
        "meanings": list(MEANINGS),
        "notes": list(found.notes),
    }  # fmt: skip


def _membership_json(found: Membership | None) -> dict[str, object] | None:
    if found is None:
        return None
    told: dict[str, object] = {
        "members": found.members, "others": found.others, "auc": found.auc, "interval95": [found.low, found.high],
        "alarming": found.alarming,
    }  # fmt: skip
    return told | {"tpr_at_1_percent_fpr": found.caught.value, "fpr": found.false.value}


MEMBERSHIP_HEAD = ("test", "members", "others", "AUC [95 %]", "caught at <= 1 % false", "says")
CANARY_HEAD = ("repeated", "canaries", "mean exposure, bits", "most possible", "p adjusted", "says")
DETECTOR_HEAD = ("where", "detector", "sample secret")


def membership_rows(found: Audit) -> Iterator[tuple[str, ...]]:
    """Rows under `MEMBERSHIP_HEAD`."""
    for name, one in (("loss", found.membership), ("loss less that without the adapter", found.calibrated)):
        if one is not None:
            yield (
                name, f"{one.members}", f"{one.others}", f"{one.auc:.3f} [{one.low:.3f}, {one.high:.3f}]",
                f"{_percent(one.caught)} (false {_percent(one.false)})",
                "told apart" if one.alarming else "not told apart",
            )  # fmt: skip


def canary_rows(found: Audit) -> Iterator[tuple[str, ...]]:
    """Rows under `CANARY_HEAD`, controls first."""
    for one in found.canaries:
        most = max(c.of for c in one.canaries).bit_length() - 1
        yield (
            f"{one.repeated}" if one.repeated else "never (control)", f"{len(one.canaries)}", f"{one.bits:.2f}",
            f"{most}", f"{one.adjusted:.2g}", "EXPOSED" if one.alarming else "as if never seen",
        )  # fmt: skip


def detector_rows(found: Audit) -> Iterator[tuple[str, ...]]:
    """Rows under `DETECTOR_HEAD`."""
    for one in found.detectors:
        yield one.place, one.detector, "taken out" if one.works else "NOT TAKEN OUT"


def _percent(share: Share) -> str:
    return "-" if share.value is None else f"{100 * share.value:.1f} %"


def audit_section(found: Audit, ident: str = "audit") -> str:
    """A section of HTML for any page in the style of `data.sheet`; of the audit's texts nothing gets out as HTML."""
    cards = [
        *_card("Membership", MEMBERSHIP_HEAD, list(membership_rows(found)), (1, 2)),
        *_card("Canaries", CANARY_HEAD, list(canary_rows(found)), (1, 2, 3, 4)),
        *_card("Secrets on intake", DETECTOR_HEAD, list(detector_rows(found)), ()),
    ]
    listed = "".join(f"<li>{escaped(text)}</li>" for text in (*MEANINGS, *found.notes))
    groups = f" Members are of {found.members}, others of {found.others}." if found.membership else ""
    return (
        f'<section class="audit" aria-labelledby="{escaped(ident)}"><h2 id="{escaped(ident)}">Privacy audit</h2>'
        f'<p class="lead">{escaped(found.model)}.{escaped(groups)}'
        f'</p>{"".join(cards)}<div class="card"><h3>What it means</h3><ul>{listed}</ul></div></section>'
    )


def _card(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int]) -> Iterator[str]:
    if rows:
        yield f'<div class="card"><h3>{title}</h3>{table(head, rows, numbers)}</div>'


def audit_page(found: Audit) -> str:
    """The section as a page of its own, without scripts and without anything from elsewhere."""
    from data.sheet import style

    policy = "default-src 'none'; style-src 'unsafe-inline'"
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}'
        f"<title>Privacy audit</title><style>{style()}\n{STYLE}</style></head>"
        f"<body><main>{audit_section(found)}<footer>Written by <code>emend model audit</code>.</footer></main></body>"
        "</html>\n"
    )
