"""Words that all outputs share: titles, numbers and slugs of faults, how a patch was verified, texts made harmless.

Owns how things are said, so that a patch, a pull request and both reports say the same. Passing tests are called
passing tests here, never a proof. Must not know any markup (`markdown.py` and `html.py` escape for themselves).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from repair.defects import Diagnostic, Evidence, FailingTest, Report, Traceback
from repair.projects.values import Fault, Fix, Outcome, Ranked, State

SUBJECT = 72  # characters of a commit's first line
REVIEW = "Passing tests do not show that a change is right: review it before you merge."
# controls, what has no width, what turns text around, what is no character; newline and tab stay
_ODD = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u115f\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)
_HUNK = re.compile(r"@@ -(\d+)")
_STATES = {
    State.FIXED: "fixed",
    State.PROPOSED: "proposed, not tested",
    State.UNFIXED: "not fixed",
    State.OVER_BUDGET: "over budget",
    State.CANCELLED: "cancelled",
    State.LOST: "worker lost",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A fault with its fix, as outputs number them: from 1, in the order of the diagnosis."""

    number: int
    key: str
    title: str
    fault: Fault | None
    fix: Fix | None

    @property
    def name(self) -> str:
        """Number and slug, the stem of file and branch names."""
        return f"{self.number:02}-{slug(self.called)}"

    @property
    def called(self) -> str:
        """What its patch is called: the function that it changes (`ordinal in humanize/number.py`), else the title."""
        if self.fault is None or self.fix is None or not self.patched or not self.fix.paths:
            return self.title
        path, line = self.fix.paths[0], first_changed(self.fix.diff)
        around = [f for f in self.fault.functions if f.path == path and f.name and f.first <= line <= f.last]
        if not around:
            return self.title
        more = len(self.fix.paths) - 1
        files = path if len(path) <= SUBJECT // 2 else path.rpartition("/")[2]
        name = min(around, key=lambda f: f.last - f.first).name
        return f"{name} in {files}" + (f" and {counted(more, 'file')} more" if more else "")

    @property
    def patched(self) -> bool:
        """Whether there is a patch to hand over: one that passed, or one that no test could judge."""
        return self.fix is not None and bool(self.fix.diff) and self.fix.state in (State.FIXED, State.PROPOSED)

    @property
    def state(self) -> str:
        """How its repair ended, in words."""
        return _STATES[self.fix.state] if self.fix else "not tried"


def entries(outcome: Outcome) -> tuple[Entry, ...]:
    """The faults of a repository with their fixes; fixes of no known fault follow."""
    faults = outcome.diagnosis.faults if outcome.diagnosis else ()
    fixes = {fix.fault: fix for fix in outcome.fixes}
    known = {fault.key for fault in faults}
    found = [(fault.key, fault.title or fault.key, fault, fixes.get(fault.key)) for fault in faults]
    found += [(fix.fault, fix.fault, None, fix) for fix in outcome.fixes if fix.fault not in known]
    return tuple(Entry(n, key, title, fault, fix) for n, (key, title, fault, fix) in enumerate(found, 1))


def fixed_count(outcome: Outcome) -> str:
    """How many faults have a fix that passed, and how many a patch that nothing judged: `6`, `6 + 1 proposed`."""
    states = [fix.state for fix in outcome.fixes if fix.diff]
    proposed = states.count(State.PROPOSED)
    return f"{states.count(State.FIXED):,}" + (f" + {proposed} proposed" if proposed else "")


def first_changed(diff: str) -> int:
    """The first old line (1-based) of a unified diff's first file that goes, or before which a line comes; 0: none."""
    line = 0
    for text in diff.split("\n"):
        if line and text[:1] in "+-":
            return line
        if line:
            line += 1
        elif found := _HUNK.match(text):
            line = int(found[1])
    return 0


def visible(text: str) -> str:
    r"""`text` with control, invisible and direction characters spelled out ("\u202e"); "\r\n" becomes "\n"."""
    return _ODD.sub(lambda m: f"\\u{ord(m[0]):04x}", text.replace("\r\n", "\n"))


def one_line(text: str, limit: int = 200) -> str:
    """`text` in one line of at most `limit` characters, harmless to a terminal."""
    line = " ".join(visible(text[: 8 * limit]).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def cut_lines(text: str, lines: int, width: int = 400) -> tuple[tuple[str, ...], int]:
    """At most `lines` lines of at most `width` characters, and how many lines were left out."""
    found = text.removesuffix("\n").split("\n")
    shown = tuple(
        line if len(line) <= width else f"{line[:width]}… ({len(line) - width} characters more)"
        for line in (visible(one.removesuffix("\r")) for one in found[:lines])
    )
    return shown, len(found) - len(shown)


def counted(number: int, noun: str) -> str:
    """`3 tests`, `1 test`, `1,204 tests`, `2 fixes`, `2 repositories`."""
    if number != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}{'es' if noun.endswith('x') else 's'}"
    return f"{number:,} {noun}"


def slug(title: str) -> str:
    """ASCII letters, digits and hyphens, at most 50: fit for file and branch names; "fault" where nothing is left."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:50].strip("-") or "fault"


def subject(title: str, verb: str = "Fix") -> str:
    """The first line of a commit, imperative, at most SUBJECT characters."""
    line = one_line(title, 4 * SUBJECT)
    line = line if line.lower().startswith(f"{verb.lower()} ") else f"{verb} {line}"
    if len(line) <= SUBJECT:
        return line
    at = line.rfind(" ", SUBJECT // 2, SUBJECT - 1)
    return line[: at if at > 0 else SUBJECT - 1].rstrip() + "…"


def verified(fix: Fix) -> str:
    """What was run to judge a patch, as sentences that say no more than that."""
    if fix.state is not State.FIXED:
        return "No test of the project could judge this patch."
    fixed = len(fix.fixed)
    passing = f"{counted(fixed, 'failing test')} {'passes' if fixed == 1 else 'pass'}" if fixed else "the tests pass"
    if not fix.checked:
        return f"With this patch {passing}. No other test was run again."
    still = "still passes" if fix.checked == 1 else "still pass"
    again = f"{counted(fix.checked, 'test')} that passed before {'was' if fix.checked == 1 else 'were'} run again"
    impacted = f" ({fix.impacted:,} of them run the changed code)" if fix.impacted else ""
    return f"With this patch {passing}; {again}{impacted} and {still}."


def reproduced(fix: Fix) -> str:
    """What is known of the test that was written for a report, "" where there is none."""
    if fix.reproduction is None:
        return ""
    how = {
        True: "It passes with the patch.",
        False: "It still fails with the patch.",
        None: "There is no patch to try it with.",
    }
    return (
        f"A test was written that fails with the reported error on the unchanged code. {how[fix.reproduction.passes]}"
    )


def place_of(ranked: Ranked) -> str:
    """`a.py`, `a.py:3`, `a.py:3-5`, `f (a.py:3-5)`."""
    lines = f":{ranked.first}" if ranked.first else ""
    lines += f"-{ranked.last}" if ranked.first and ranked.last > ranked.first else ""
    return f"{ranked.name} ({ranked.path}{lines})" if ranked.name else f"{ranked.path}{lines}"


def top_places(fault: Fault) -> Sequence[Ranked]:
    """The finest ranking that there is: lines, else functions, else files."""
    return fault.lines or fault.functions or fault.files


def evidence_text(evidence: Evidence) -> tuple[str, str]:
    """A heading and the text below it (may be empty)."""
    if isinstance(evidence, FailingTest):
        told = evidence.trace is None or "Traceback (most recent call last)" in evidence.message
        trace = "" if evidence.trace is None or told else _trace_text(evidence.trace)
        return evidence.test_id, "\n".join(part for part in (evidence.message.strip("\n"), trace) if part)
    if isinstance(evidence, Traceback):
        return f"{evidence.error_type}: {evidence.message}" if evidence.message else evidence.error_type, "\n".join(
            _frames(evidence)
        )
    if isinstance(evidence, Diagnostic):
        code = f" [{evidence.code}]" if evidence.code else ""
        tool = f"{evidence.tool}: " if evidence.tool else ""
        return f"{evidence.path}:{evidence.line}", f"{tool}{evidence.severity}: {evidence.message}{code}"
    assert isinstance(evidence, Report)
    return "Error report", evidence.text


def _trace_text(trace: Traceback) -> str:
    return "\n".join((*_frames(trace), f"{trace.error_type}: {trace.message}" if trace.message else trace.error_type))


def _frames(trace: Traceback) -> tuple[str, ...]:
    return tuple(f"{f.path}:{f.line}{f' in {f.function}' if f.function else ''}" for f in trace.frames)


def failure_line(fault: Fault) -> str:
    """The most telling line of a fault's failures, "" where nothing is said."""
    for evidence in fault.evidence:
        if isinstance(evidence, FailingTest):
            if evidence.trace is not None:
                return _trace_text(evidence.trace).rsplit("\n", 1)[-1]
            text = evidence.message
        elif isinstance(evidence, Traceback):
            return evidence_text(evidence)[0]
        else:
            text = evidence_text(evidence)[1]
        if text.strip():
            return text.strip().split("\n")[-1]
    return ""
