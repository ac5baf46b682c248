"""Error text to evidence: frames, diagnostics, failing tests. What no reader knows is kept as a Report.

A reader looks at the lines from an index on and answers with evidence and the index after it, or None.
Nothing here raises, whatever the text, and the time is linear in it. Knows nothing of sources and models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from repair.defects import Defect, Diagnostic, Evidence, FailingTest, Frame, Report, Traceback
from repair.traces.diagnostics import read_diagnostic, read_framed_diagnostic, read_raised_at
from repair.traces.places import affinity, owner
from repair.traces.python import read_bare_error, read_traceback
from repair.traces.stacks import read_jest, read_node, read_stack, read_surefire, read_tap
from repair.traces.suites import read_doctest, read_pytest_section, read_pytest_summary, read_unittest
from repair.traces.text import clean_lines

__all__ = ["evidence_frames", "frames_in", "headline", "owned_frames", "parse_error"]

MAX_EVIDENCE = 200
_HEADLINE = 300

# A line without any of these begins nothing that a reader knows: most lines of a log are passed over here.
_PROMISING = re.compile(r"[:●_\"]|\bat |not ok|FAIL|ERROR|Err|Exc|Interrupt|[A-Z]\d")

_Reader = Callable[[Sequence[str], int], tuple[tuple[Evidence, ...], int] | None]
_READERS: tuple[_Reader, ...] = (
    read_pytest_section, read_pytest_summary, read_unittest, read_doctest, read_tap, read_jest, read_surefire,
    read_traceback, read_framed_diagnostic, read_diagnostic, read_node, read_stack, read_raised_at, read_bare_error,
)  # fmt: skip


def parse_error(text: str) -> Defect:
    """All evidence in `text`, most telling first; `Defect(())` for blank text, a Report for unknown text."""
    lines = clean_lines(text)
    if not any(lines):
        return Defect(())
    found = _complete_ids(list(islice(_evidence(lines), MAX_EVIDENCE)))
    unique = tuple(dict.fromkeys(found))
    return Defect(tuple(sorted(unique, key=_rank)) or (Report(text),))


def _evidence(lines: Sequence[str]) -> Iterator[Evidence]:
    at = 0
    while at < len(lines):
        promising = _PROMISING.search(lines[at])
        found = next((f for read in _READERS if (f := read(lines, at))), None) if promising else None
        if found:
            yield from found[0]
        at = found[1] if found else at + 1


def _rank(evidence: Evidence) -> int:
    """What says where comes before what only says that; errors before warnings."""
    match evidence:
        case Traceback(frames=frames):
            return 0 if frames else 2
        case FailingTest(trace=trace):
            return 0 if trace and trace.frames else 2
        case Diagnostic(severity=severity):
            return 1 if severity == "error" else 3
        case Report():
            return 4


def _dotted(test_id: str) -> str:
    """The name that a pytest section has for a test of the summary."""
    return test_id.partition("::")[2].replace("::", ".") or test_id


def _complete_ids(found: Sequence[Evidence]) -> list[Evidence]:
    """Sections get the full id from the summary lines; those lines then say nothing new and are dropped."""
    full: dict[str, str] = {}
    for test in found:
        if isinstance(test, FailingTest) and "::" in test.test_id and not (test.trace and test.trace.frames):
            full.setdefault(_dotted(test.test_id), test.test_id)
    detailed = {e.test_id for e in found if isinstance(e, FailingTest) and e.trace and e.trace.frames}
    said: set[str] = set()
    kept: list[Evidence] = []
    for one in found:
        if not isinstance(one, FailingTest):
            kept.append(one)
        elif one.trace and one.trace.frames:
            kept.append(replace(one, test_id=full.get(one.test_id) or _from_frame(one)))
        elif _dotted(one.test_id) not in detailed and (one.message or one.test_id not in said):
            kept.append(one)
            said.add(one.test_id)
    return kept


def _from_frame(test: FailingTest) -> str:
    """A pytest id made of the outermost frame's file, where the title is a function's name."""
    frames = test.trace.frames if test.trace else ()
    path = next((f.path for f in frames), "")
    is_pytest = path.endswith(".py") and not path.startswith(("/", "<"))
    if not is_pytest or " " in test.test_id or "/" in test.test_id or not test.test_id.startswith(("test", "Test")):
        return test.test_id
    return f"{path}::{test.test_id.replace('.', '::')}"


def _error_text(trace: Traceback) -> str:
    name = trace.error_type.rpartition(".")[2]
    first = next((line.strip() for line in trace.message.split("\n") if line.strip()), "")
    return ": ".join(part for part in (name, first) if part)


def _line_of(evidence: Evidence) -> str:
    """One line for one piece of evidence, empty when it has nothing to say."""
    match evidence:
        case Traceback():
            return _error_text(evidence)
        case FailingTest(trace=trace, message=message, test_id=test_id):
            first = next((line.strip() for line in message.split("\n") if line.strip()), "")
            return (_error_text(trace) if trace else "") or first or f"test {test_id} fails"
        case Diagnostic(severity=severity, message=message):
            return f"{severity}: {message}"
        case Report(text=text):
            lines = [line.strip() for line in clean_lines(text) if line.strip()]
            return next((x for x in lines if "error" in x.lower()), lines[0] if lines else "")


def headline(defect: Defect) -> str:
    """The one line "Type: message" for a model's prompt, at most 300 characters; "" when nothing is known."""
    return next((line for e in defect.evidence if (line := _line_of(e))), "")[:_HEADLINE]


def evidence_frames(evidence: Evidence) -> tuple[Frame, ...]:
    """The places that one piece of evidence names, innermost FIRST; a diagnostic is one such place."""
    match evidence:
        case Traceback(frames=frames):
            return frames[::-1]
        case FailingTest(trace=trace):
            return trace.frames[::-1] if trace else ()
        case Diagnostic(path=path, line=line, severity=severity):
            return (Frame(path, line),) if severity == "error" else ()
        case Report():
            return ()


def frames_in(defect: Defect, path: str) -> tuple[int, ...]:
    """1-based lines of our relative `path` that the evidence names, innermost first, each once.

    A printed path names it when equal, absolute, a `file://` URL, relative to another directory,
    `<stdin>`, or of the same name in a temporary directory. Paths of libraries do not.
    """
    return tuple(dict.fromkeys(frame.line for _, _, frame in owned_frames(defect.evidence, (path,))))


def owned_frames(evidence: Sequence[Evidence], paths: tuple[str, ...]) -> list[tuple[int, str, Frame]]:
    """Frames that lie in one of our files, innermost first: index of the evidence, our path, the frame.

    Frames of typed-in text (`<string>`) count only where no frame names one of our files.
    """
    ours = [(n, p, f) for n, e in enumerate(evidence) for f in evidence_frames(e) if (p := owner(f, paths))]
    return [one for one in ours if affinity(one[2].path, one[1]) > 1] or ours
