"""What a run tells while it works, on stderr: a table on a terminal, a line for each finished repository elsewhere.

Texts of repositories may hold terminal commands; they are shown, not obeyed.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from repair.projects.values import Spent, State
from serve.batch.budget import used
from serve.batch.items import ItemState, Kind, Ref
from serve.batch.run import Progress, Unwatched, Watch
from serve.batch.store import Row
from serve.batch.wording import counted
from serve.batch.work import Item
from serve.printing import shown

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

_COLUMNS = ("repository", "stage", "tests", "faults", "fixed", "test runs", "seconds", "left")
_ROOM = 6  # lines of a terminal that are not the table's rows


@dataclass(slots=True)
class Line:
    """What is told of a repository."""

    name: str
    stage: str = ""
    tests: int = 0
    faults: int = 0
    fixed: int = 0
    spent: Spent = field(default_factory=Spent)
    seconds: float = 0.0  # its bound
    flying: set[Ref] = field(default_factory=set[Ref])


class Board:
    """The repositories that were begun, and the numbers of all. Safe for two threads."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.progress: Progress | None = None
        self._lines: dict[str, Line] = {}
        self._lock = Lock()

    def begun(self, item: Item) -> Line:
        """An item is in flight."""
        with self._lock:
            line = self._lines.setdefault(item.order.name, Line(item.order.name, seconds=item.order.bounds.seconds))
            line.flying.add(item.ref)
            line.stage = item.ref.kind.value
            return line

    def ended(self, item: Item, row: Row) -> Line:
        """An item came back."""
        ended = row.ended
        with self._lock:
            line = self._lines[item.order.name]
            line.flying.discard(item.ref)
            if ended is None:
                return line
            line.spent = line.spent + ended.spent
            if ended.diagnosis:
                line.tests = ended.diagnosis.tests
                line.faults = min(len(ended.diagnosis.faults), item.order.bounds.faults)
            if ended.fix and ended.fix.state is State.FIXED:
                line.fixed += 1
            if not line.flying:
                line.stage = _stage(row)
            return line

    @property
    def begun_count(self) -> int:
        """How many repositories were begun."""
        with self._lock:
            return len(self._lines)

    def lines(self, most: int) -> tuple[Line, ...]:
        """Those at work first, then the latest of the others, so many in all."""
        with self._lock:
            every = list(reversed(self._lines.values()))
            at_work = [line for line in every if line.flying]
            return tuple((at_work + [line for line in every if not line.flying])[:most])


def _stage(row: Row) -> str:
    ended = row.ended
    if row.state is not ItemState.DONE:
        return row.state.value
    if ended and ended.standing:
        return ended.standing.value
    return "combined" if row.ref.kind is Kind.COMBINE else f"{row.ref.kind.value} done"


def line_text(line: Line, row: Row) -> str:
    """A finished item in one line, for a log."""
    ended = row.ended
    told = f"{line.name}: {row.ref.kind.value}"
    if row.ref.kind is Kind.MEND:
        told += f" {row.ref.key}"
    if ended is None or row.state is not ItemState.DONE:
        return f"{told}: {row.state.value}{f', {ended.reason}' if ended and ended.reason else ''}"
    if ended.standing:
        return f"{told}: {ended.standing.value}, {ended.reason}"
    if ended.diagnosis:
        return f"{told}: {counted(line.tests, 'test')}, {counted(line.faults, 'fault')}"
    if ended.fix:
        return f"{told}: {ended.fix.state.value}{f', {ended.fix.reason}' if ended.fix.reason else ''}"
    return f"{told}: {'all tests pass' if ended.combination and ended.combination.passed else 'does not pass'}"


def progress_text(progress: Progress) -> str:
    """What the whole run used of its budget."""
    parts = [
        f"{one.used:.0f}{f' of {one.bound:g}' if one.bound else ''} {one.what}"
        for one in used(progress.bounds, progress.spent, progress.seconds, progress.prices)
        if one.bound or one.used
    ]
    return ", ".join(parts) + (f"; ending: {progress.ending}" if progress.ending else "")


def cells(line: Line) -> tuple[str, ...]:
    """The row of a repository."""
    left = f"{max(0.0, line.seconds - line.spent.seconds):.0f} s" if line.seconds else ""
    numbers = (line.tests, line.faults, line.fixed, line.spent.test_runs)
    return (shown(line.name), line.stage, *map(str, numbers), f"{line.spent.seconds:.0f}", left)


class PlainWatch(Unwatched):
    """A line for each item that came back."""

    def __init__(self, console: Console, board: Board) -> None:
        self._console, self._board = console, board

    def begun(self, item: Item) -> None:
        """As Watch."""
        self._board.begun(item)

    def ended(self, item: Item, row: Row) -> None:
        """As Watch."""
        line = self._board.ended(item, row)
        self._console.print(shown(line_text(line, row)), soft_wrap=True, markup=False)


class TableWatch(Unwatched):
    """A table that is drawn anew about once a second."""

    def __init__(self, live: Live, board: Board, height: int) -> None:
        self._live, self._board, self._height = live, board, height

    def begun(self, item: Item) -> None:
        """As Watch."""
        self._board.begun(item)

    def ended(self, item: Item, row: Row) -> None:
        """As Watch."""
        self._board.ended(item, row)

    def tick(self, progress: Progress) -> None:
        """As Watch."""
        self._board.progress = progress
        self._live.update(drawn(self._board, self._height))


def drawn(board: Board, height: int) -> Table:
    """The table of a terminal of so many lines."""
    from rich.table import Table
    from rich.text import Text

    caption = f"{board.begun_count} of {board.total} repositories begun"
    if board.progress:
        caption += f"; {progress_text(board.progress)}"
    table = Table(box=None, pad_edge=False, caption=Text(shown(caption)), caption_justify="left")
    for number, name in enumerate(_COLUMNS):
        table.add_column(name, justify="right" if number >= 2 else "left", no_wrap=True)
    for line in board.lines(max(1, height - _ROOM)):
        table.add_row(*(Text(cell) for cell in cells(line)))
    return table


@contextmanager
def watching(console: Console, total: int, *, quiet: bool) -> Generator[Watch]:
    """The Watch that suits a console."""
    board = Board(total)
    if quiet:
        yield Unwatched()
        return
    if not console.is_terminal:
        yield PlainWatch(console, board)
        return
    from rich.live import Live

    with Live(console=console, refresh_per_second=2, transient=True) as live:
        yield TableWatch(live, board, console.height)
