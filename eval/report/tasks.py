"""The tasks of a run as HTML: one row each that opens to both diffs, and a filter that needs no server.

Without scripts all rows are there and the filter is not.
"""

from __future__ import annotations

from collections.abc import Sequence

from data.charts import escaped
from eval.failures import FAILED, WORDS, Pattern, pattern
from eval.measurement import Measurement, Status
from eval.report.diffs import diff_html
from eval.report.runs import Run

_BUDGET = 2_800_000  # characters of all diffs of a page
_MOST = 12_000  # of one
_REASON = 300

SCRIPT = """
for (const box of document.querySelectorAll(".tasks")) {
  const rows = [...box.querySelectorAll("details.task")];
  const form = box.querySelector("form");
  const told = box.querySelector("output");
  const words = rows.map(row => row.textContent.toLowerCase());
  const show = () => {
    const text = form.elements.text.value.trim().toLowerCase();
    const status = form.elements.status.value;
    const pattern = form.elements.pattern.value;
    let count = 0;
    rows.forEach((row, n) => {
      row.hidden = !((!status || row.dataset.status === status) && (!pattern || row.dataset.pattern === pattern)
        && (!text || words[n].includes(text)));
      count += row.hidden ? 0 : 1;
    });
    told.textContent = count + " of " + rows.length + " tasks";
  };
  form.hidden = false;
  form.addEventListener("input", show);
  form.addEventListener("submit", event => event.preventDefault());
  show();
}
"""
"""What the filter does; holds nothing of the results."""


def diff_budget(runs: Sequence[Run]) -> int:
    """Characters that each diff may have so that the page stays below 5 MB."""
    return min(_MOST, _BUDGET // (2 * max(1, sum(len(run.measurements) for run in runs))))


def tasks(run: Run, ident: str, budget: int) -> str:
    """The box of all tasks."""
    rows = "".join(_task(m, budget) for m in run.measurements)
    return f'<div class="tasks">{_form(run.measurements, ident)}{rows}</div>'


def _form(measurements: Sequence[Measurement], ident: str) -> str:
    kinds = {pattern(m) for m in measurements}
    statuses = [s for s in Status if any(m.status is s for m in measurements)]
    return (
        "<form hidden>"
        f'<label for="{ident}-text">Text</label><input id="{ident}-text" name="text" type="search" '
        'placeholder="id, bug type, code">'
        f"{_choice('status', 'Status', [str(s) for s in statuses], ident)}"
        f"{_choice('pattern', 'Pattern', [str(p) for p in Pattern if p in kinds], ident)}"
        "<output></output></form>"
    )


def _choice(name: str, label: str, values: Sequence[str], ident: str) -> str:
    options = "".join(f'<option value="{escaped(value)}">{escaped(value)}</option>' for value in values)
    return (
        f'<label for="{ident}-{name}">{label}</label><select id="{ident}-{name}" name="{name}">'
        f'<option value="">all</option>{options}</select>'
    )


def _task(m: Measurement, budget: int) -> str:
    kind = pattern(m)
    tone = "good" if kind is Pattern.SOLVED else "bad" if kind in FAILED else "odd"
    facts = "".join(f"<span>{name} <b>{escaped(value)}</b></span>" for name, value in _facts(m))
    reason = f'<p class="error">{escaped(_cut(m.reason))}</p>' if m.reason else ""
    witness = f'<p class="error">differs from the reference on {escaped(_cut(m.witness))}</p>' if m.witness else ""
    return (
        f'<details class="task" data-status="{m.status}" data-pattern="{kind}">'
        f'<summary><span class="chip {tone}">{escaped(kind)}</span><span class="id">{escaped(_cut(m.id))}</span>'
        f'<span class="facts">{facts}</span></summary>'
        f'<p class="where">{escaped(WORDS[kind])} · status {m.status}{escaped(_where(m))}</p>{reason}{witness}'
        f'<div class="two"><div><h4>Chosen patch</h4>{diff_html(m.diff, budget, "No patch was chosen.")}</div>'
        f"<div><h4>Reference</h4>{diff_html(m.reference_diff, budget, 'The suite has no reference.')}</div></div>"
        "</details>"
    )


def _facts(m: Measurement) -> list[tuple[str, str]]:
    if not m.scored:
        return []
    return [
        ("plausible", _rank(m.first_plausible)),
        ("correct", _rank(m.first_correct)),
        ("fault", _rank(m.fault_rank)),
        ("judged", str(m.judged)),
        ("", f"{m.wall_seconds:.1f} s"),
    ]


def _rank(rank: int | None) -> str:
    return "–" if rank is None else f"#{rank}"


def _where(m: Measurement) -> str:
    parts = [
        m.bug_type,
        m.language,
        m.origin,
        f"decided by {m.decided_by}" if m.decided_by else "",
        f"stopped: {m.stop}" if m.stop else "",
        f"fault in line {_numbers(m.fault_lines)}" if m.fault_lines else "",
        f"suspects {_numbers(m.suspects)}" if m.suspects else "",
        ", ".join(f"{count} {name}" for name, count in m.verdicts.items()),
    ]
    return "".join(f" · {_cut(part)}" for part in parts if part)


def _numbers(lines: Sequence[int]) -> str:
    return ", ".join(str(line) for line in lines[:10]) + (" …" if len(lines) > 10 else "")


def _cut(text: str) -> str:
    return text if len(text) <= _REASON else f"{text[:_REASON]}…"
