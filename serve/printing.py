"""What people read: suspects, patches, verdicts and the last sentence. Results to stdout, progress to stderr.

Text that a model or a test wrote may hold terminal commands; on a terminal they are shown, not obeyed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status
from rich.text import Text

from repair.diffs import render_diff
from repair.edits import Patch
from repair.sources import Source
from repair.verdicts import Judgement, Suspect, Verdict

SHOWN_SUSPECTS = 5
SHOWN_PATCHES = 3
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_STYLES = {"+": "green", "-": "red", "@": "cyan"}
_VERDICTS = {
    Verdict.PLAUSIBLE: "green",
    Verdict.UNDECIDED: "yellow",
}


def stdout() -> Console:
    """For results."""
    return Console(highlight=False)


def stderr() -> Console:
    """For progress and remarks."""
    return Console(stderr=True, highlight=False)


def shown(text: str) -> str:
    """`text` with control characters (terminal commands, text direction) made visible."""
    return _CONTROLS.sub(lambda m: "" if m[0] == "\r" else "\N{REPLACEMENT CHARACTER}", text)


@contextmanager
def progress(first: str) -> Generator[Status | None]:
    """A spinner on stderr, None where stderr is no terminal."""
    console = stderr()
    if not console.is_terminal:
        yield None
        return
    with console.status(first) as status:
        yield status


def print_suspects(console: Console, suspects: Sequence[Suspect], sources: Mapping[str, Source]) -> None:
    """The most suspicious places: where, how much, the code; below it why."""
    places = [f"{suspect.path}:{suspect.line}" for suspect in suspects[:SHOWN_SUSPECTS]]
    width = max(map(len, places), default=0)
    console.print(Text("Suspects" if places else "No suspects", style="bold"))
    for place, suspect in zip(places, suspects, strict=False):
        code = sources[suspect.path].line(suspect.line).strip()[:80]
        line = Text(f"  {place:{width}}  {100 * suspect.suspiciousness:5.1f} %  ")
        line.append(shown(code), style="bold")
        console.print(line, soft_wrap=True)
        if suspect.reasons:
            console.print(Text(f"  {'':{width}}           {'; '.join(suspect.reasons)}", style="dim"), soft_wrap=True)


def diff_text(diff: str) -> Text:
    """A diff in colours."""
    text = Text(no_wrap=True, overflow="ignore")
    for line in shown(diff).split("\n"):
        style = "bold" if line.startswith(("---", "+++")) else _STYLES.get(line[:1], "")
        text.append(line + "\n", style=style)
    text.rstrip()
    return text


def print_patches(console: Console, judgements: Sequence[Judgement], sources: Mapping[str, Source]) -> None:
    """The best patches that are worth reading: plausible or undecided ones."""
    worth = [j for j in judgements if j.verdict in _VERDICTS][:SHOWN_PATCHES]
    for number, judgement in enumerate(worth, 1):
        head = Text(f"\nPatch {number}: ", style="bold")
        head.append(judgement.verdict.value, style=_VERDICTS[judgement.verdict])
        head.append(f"  score {judgement.candidate.score:.2f}, {judgement.candidate.origin}", style="dim")
        if judgement.reason:
            head.append(f" ({shown(judgement.reason)})", style="dim")
        console.print(head, soft_wrap=True)
        console.print(diff_text(render_diff(judgement.candidate.patch, sources)), soft_wrap=True)


def write_diff(patch: Patch, sources: Mapping[str, Source]) -> None:
    """The diff byte for byte, in the encoding of the file, as `git apply` wants it."""
    encodings = {sources[path].encoding for path in patch.paths}
    encoding = encodings.pop() if len(encodings) == 1 else "utf-8"
    sys.stdout.flush()
    sys.stdout.buffer.write(render_diff(patch, sources).encode(encoding))
    sys.stdout.buffer.flush()
