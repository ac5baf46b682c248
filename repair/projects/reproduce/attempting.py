"""The search for a test that fails as a report says: drafts, most faithful first, tried, compared, shrunk, run thrice.

Accepts only what fails with the report's type of error in the report's function; see `target.agreement`. After
Soltani et al. (EvoCrash, 2018), whose goal is the same stack trace, and Kang et al. (LIBRO, 2023), who rank by the
agreement of the failure's text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from repair.projects.reproduce.calls import Calls
from repair.projects.reproduce.frames import existing_test, frame_drafts
from repair.projects.reproduce.index import is_test
from repair.projects.reproduce.pool import printed_locals
from repair.projects.reproduce.shrink import shrunk, without_unused
from repair.projects.reproduce.snippets import Wrong, snippets, wrong_results
from repair.projects.reproduce.target import Agreement, Raised, Target, agreement, targets
from repair.projects.reproduce.trying import Bench, raised_in, run_test, staged
from repair.projects.reproduce.writing import Draft, entry_name, render
from repair.projects.values import Project, Reproduction
from repair.sandbox import Sandbox

MOST_TARGETS = 3
MOST_FRAME_DRAFTS = 160
MOST_CALLS = 360
_RUNS = 3  # of the chosen test
_CHOSEN = 3  # drafts taken to the project's runner before giving up


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of a report: a reproduction, or one sentence that says why there is none."""

    reproduction: Reproduction | None
    reason: str
    origin: str = ""  # what the test was made from
    tried: int = 0  # drafts that were run


@dataclass(frozen=True, slots=True)
class _Hit:
    draft: Draft
    agreement: Agreement

    @property
    def order(self) -> tuple[Agreement, int, int]:
        """Best largest."""
        return self.agreement, -self.draft.rank, -sum(map(len, self.draft.body))


def attempt(project: Project, report: str, sandbox: Sandbox) -> Attempt:
    """Look for a test that fails with the report's error. Raises SandboxError, OracleError, InputError."""
    if project.language != "python":
        return Attempt(None, f"reproductions are written for Python only, and this is {project.language}")
    with staged(project, sandbox) as bench:
        found = targets(report, bench.index.paths)[:MOST_TARGETS]
        wrong = wrong_results(report)
        if not found and not wrong:
            return Attempt(None, "the report holds no error and no expected result that could be read")
        reasons: list[str] = []
        tried = 0
        for target in found:
            search = _Search(bench, report, target)
            answer = search.run()
            tried += search.tried
            if answer.reproduction is not None:
                return replace(answer, tried=tried)
            reasons.append(answer.reason)
        for one in wrong:
            answer = _equality(bench, one)
            tried += 1
            if answer.reproduction is not None:
                return replace(answer, tried=tried)
            reasons.append(answer.reason)
        return Attempt(None, reasons[0], tried=tried)


class _Search:
    """The search for one target."""

    def __init__(self, bench: Bench, report: str, target: Target) -> None:
        inner = target.inner
        self._bench, self._report, self._target = bench, report, target
        self._stale = bool(inner and inner.code and not bench.index.code_exists(inner))
        self._locals = printed_locals(report)
        self._reason = ""
        self.tried = 0

    def run(self) -> Attempt:
        """The most faithful that fails alike; a later kind only where an earlier one gives no full agreement."""
        if (own := self._existing()) is not None:
            return own
        index, target = self._bench.index, self._target
        calls = Calls(index, target, self._locals)
        kinds: tuple[tuple[Callable[[], Sequence[Draft]], bool], ...] = (
            (lambda: snippets(self._report), True),
            (lambda: frame_drafts(index, target, self._locals)[:MOST_FRAME_DRAFTS], False),
            (lambda: calls.drafts(MOST_CALLS), False),
        )
        hits: list[_Hit] = []
        for make, apart in kinds:
            hits += self._hits(make(), apart=apart)
            if any(h.agreement.line and h.agreement.message for h in hits):
                break
        for hit in sorted(hits, key=lambda h: h.order, reverse=True)[:_CHOSEN]:
            answer = self._finished(hit)
            if answer is not None:
                return answer
        return Attempt(None, self._reason or self._nothing(), tried=self.tried)

    def _nothing(self) -> str:
        inner = self._target.inner
        place = f" in {inner.function or 'the module'} of {inner.path}" if inner else ""
        if not self.tried:
            return f"the report names {self._target.error}{place} and nothing that could be run"
        return f"none of {self.tried} attempts failed with {self._target.error}{place} as the report says"

    def _agreement(self, raised: Raised | None) -> Agreement | None:
        return agreement(self._target, raised, stale=self._stale) if raised else None

    def _hits(self, drafts: Sequence[Draft], *, apart: bool) -> list[_Hit]:
        self.tried += len(drafts)
        raised = self._bench.attempts(drafts, self._target.error, apart=apart)
        found: list[_Hit] = []
        for draft, one in zip(drafts, raised, strict=True):
            if (agreed := self._agreement(one)) is not None:
                found.append(_Hit(draft, agreed))
        return found

    def _existing(self) -> Attempt | None:
        """The repository's own test that the report ran, where it still fails so."""
        own = existing_test(self._bench.index, self._target)
        if own is None or not self._bench.pytest:
            return None
        path, test = own
        text = self._bench.index.text(path)
        ids: set[str] = set()
        with self._bench.runner(path) as suite:
            for _ in range(_RUNS):
                self.tried += 1
                run = run_test(suite, {})
                failing = {
                    i for i, t in run.report.traces.items() if i.split("[")[0] == test and self._same(t.error_type)
                }
                if not failing or (ids and failing != ids):
                    return None
                ids = failing
        last = self._target.last_line
        chosen = self._target.test if self._target.test in ids else min(ids)
        return Attempt(Reproduction(path, text, chosen, last), "", "a test of the repository")

    def _same(self, error: str) -> bool:
        return error.rpartition(".")[2] == self._target.error

    def _finished(self, hit: _Hit) -> Attempt | None:
        """Shrunk, written and run by the project's runner; None (and a reason kept) where it does not hold there."""

        def fails(drafts: Sequence[Draft]) -> list[bool]:
            self.tried += len(drafts)
            raised = self._bench.attempts(drafts, self._target.error)
            return [(a := self._agreement(one)) is not None and a >= hit.agreement for one in raised]

        small = shrunk(hit.draft, fails)
        error, last = self._target.error, self._target.last_line
        answer = _confirmed(self._bench, small, (error, last), lambda r: self._agreement(r) is not None)
        if answer.reproduction is None:
            self._reason = answer.reason
            return None
        return answer


def _confirmed(bench: Bench, draft: Draft, named: tuple[str, str], alike: Callable[[Raised], bool]) -> Attempt:
    """The draft as a test file that failed alike in each of _RUNS runs of the project's runner."""
    error, last = named
    text = render(draft, error, last, unittest=not bench.pytest)
    reason = ""
    for path in _places(bench, entry_name(draft, error)):
        seen: list[tuple[str, Raised] | None] = []
        with bench.runner(path) as suite:
            for _ in range(_RUNS):
                run = run_test(suite, {path: text.encode()})
                seen.append(raised_in(run, path, bench.index.paths))
                if seen[-1] is None or not alike(seen[-1][1]):
                    break
        good = [s for s in seen if s is not None and alike(s[1])]
        if len(good) == _RUNS and good[0]:
            test_id, raised = good[0]
            before = f"{raised.error}: {raised.message}" if raised.message else raised.error
            return Attempt(Reproduction(path, text, test_id, before), "", draft.origin)
        if good:
            return Attempt(None, f"a test was found, but it fails in some runs only: {draft.body[-1][:120]}")
        reason = f"a test was found, but {bench.command.shown or 'the test runner'} does not fail with it alike"
    return Attempt(None, reason)


def _places(bench: Bench, name: str) -> tuple[str, ...]:
    """Where the test may stand: beside the other tests, else at the root (another import path)."""
    folders: dict[str, int] = {}
    for path in bench.index.tests:
        if PurePosixPath(path).name.startswith("test") and is_test(path):
            folder = path.rpartition("/")[0]
            folders[folder] = folders.get(folder, 0) + 1
    shallow = sorted(folders, key=lambda f: (f.count("/") if f else 0, -folders[f], f))
    stem = name.removeprefix("test_")
    found: list[str] = []
    for folder in dict.fromkeys([*shallow[:1], ""]):
        number = 1
        while True:
            shown = f"test_emend_{stem}{f'_{number}' if number > 1 else ''}.py"
            path = f"{folder}/{shown}" if folder else shown
            if not (bench.staged / path).exists():
                break
            number += 1
        found.append(path)
    return tuple(found)


def _equality(bench: Bench, wrong: Wrong) -> Attempt:
    """A test that asks for the result that the report expects; only where today's result is the one reported."""
    reason = "the expression of the report does not give the result that the report complains of"
    given = replace(wrong.before, body=(*wrong.before.body, f"assert {wrong.expression} == {wrong.wanted}"))
    if wrong.got:
        today = replace(wrong.before, body=(*wrong.before.body, f"assert {wrong.expression} == {wrong.got}"))
        if bench.attempts([today], "AssertionError", apart=True)[0] is not None:
            return Attempt(None, reason)
    raised = bench.attempts([given], "AssertionError", apart=True)[0]
    if raised is None or raised.error != "AssertionError" or raised.levels:
        return Attempt(None, reason)
    last = f"expected {wrong.wanted}" + (f", got {wrong.got}" if wrong.got else "")
    draft = without_unused(given)
    return _confirmed(bench, draft, ("wrong_result", last), lambda r: r.error == "AssertionError")


def confirmed(project: Project, reproduction: Reproduction, files: dict[str, bytes], sandbox: Sandbox) -> Reproduction:
    """The reproduction with `passes` set: whether its test passes, twice, with `files` laid over the project."""
    with staged(project, sandbox) as bench, bench.runner(reproduction.path) as suite:
        laid = {**files, reproduction.path: reproduction.text.encode()}
        own = (bench.staged / reproduction.path).exists()
        only = frozenset({reproduction.test}) if own else None
        runs = [run_test(suite, laid, only) for _ in range(2)]
    return replace(reproduction, passes=all(run.observation.passed for run in runs))


__all__ = ["Attempt", "attempt", "confirmed"]
