"""Is a commit a bug fix: rules that add up to a score, each with the reason in words.

Owns the words, links, vetoes and sizes. Must not know git, files' contents or records. Precision counts more than
recall: a veto always wins, and a word alone is not enough.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from data.filters import is_test, vendored
from repair.sources import language_of

THRESHOLD = 3.0


def _words(*parts: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(parts)})\b", re.IGNORECASE)


_FIX = _words(
    r"fix(?:e[sd]|ing)?", r"bug(?:s|gy|fix(?:e[sd])?)?", r"hotfix", r"regress(?:ion|ions|ed)",
    r"crash(?:es|ed|ing)?", "segfaults?", r"dead-?locks?", "race conditions?", r"infinite (?:loop|recursion)",
    r"off[- ]by[- ]one", r"incorrect(?:ly)?", r"wrong(?:ly)?", r"faulty?", r"broken", r"leak(?:s|ed|ing)?",
    r"hang(?:s|ing)?", r"CVE-\d+-\d+", r"corrupt(?:s|ed|ion)?", r"overflows?", r"erroneous(?:ly)?",
    r"vulnerabilit(?:y|ies)", "null pointer", "NPE",
)  # fmt: skip
_SYMPTOM = _words(
    "errors?", r"fail(?:s|ed|ing|ures?)?", "invalid", "missing", r"prevent(?:s|ed)?", r"avoid(?:s|ed)?",
    r"handl(?:e|es|ed|ing)", "properly", r"correct(?:s|ed|ly)?", "undefined", "unexpected(?:ly)?", r"problems?",
    r"issues?", "traceback", r"ensure(?:s|d)?", r"don'?t", r"do not", r"does not", r"doesn'?t",
    r"should(?: not|n'?t)?", "mistakes?", r"forg[eo]t(?:ten)?", r"accidental(?:ly)?", "instead of", r"exceptions?",
    r"raise[sd]?", r"edge cases?", "corner cases?",
)  # fmt: skip
_RAISED = re.compile(r"\b[A-Z]\w+(?:Error|Exception)\b")
_LINK = re.compile(
    r"\b(?:fix(?:e[sd])?|close[sd]?|resolve[sd]?)[: ]+(?:issue )?(?:[\w./-]*#\d+|GH-?\d+|[A-Z]{2,10}-\d+)\b", re.I
)
_LINKED_URL = re.compile(r"\b(?:fix(?:e[sd])?|close[sd]?|resolve[sd]?)[: ]+https?://\S+/issues/\d+", re.I)
_KEY = re.compile(r"\b(?:GH-\d+|(?!UTF-|ISO-|PEP-|RFC-|SHA-|CVE-|CP-|PY-)[A-Z]{2,10}-\d+)\b")
_PREFIX = re.compile(r"^(?P<kind>[A-Za-z]+)(?:\([^)]*\))?!?:")
_FIX_KINDS = frozenset({"fix", "bug", "bugfix", "hotfix"})
_OTHER_KINDS = frozenset({
    "feat", "feature", "doc", "docs", "style", "refactor", "test", "tests", "tst", "chore", "ci", "build", "perf",
    "maint", "mnt", "enh", "sty", "rel", "dep", "deps", "typ", "release", "bld", "dev", "ref", "lint", "api",
})  # fmt: skip
_NO_FAULT = _words(
    r"typos?", r"spell(?:ing|ed)?", "grammar", "wording", r"docs?", r"docstrings?", r"documentations?", "readme",
    r"comments?", r"lint(?:er|ing|s)?", "flake8", "pyflakes", "pylint", "eslint", "mypy", "pyright",
    r"typ(?:e|ing) hints?", "typing", r"annotat\w+", r"type[- ]check\w*", r"pep-?\s?0?8", "pep-?257",
    "whitespaces?", r"indent\w*", r"formatt?ing", "reformat(?:ted)?", "black", "isort", "ruff", "prettier", "style",
    "styling", "coding style", "merge[sd]?", r"bump(?:s|ed)?", "release", "change-?log", "changes entry",
    r"travis(?:-?ci)?", "appveyor", "ci", r"github actions?", "workflows?", "tox", "coverage", r"doc-?tests?",
    r"examples?", "tutorials?", r"refactor\w*", r"rename[sd]?", r"clean(?:ed|ing)?[- ]?ups?", "tidy", "tidied",
    r"simplif\w+", r"deprecat\w+", "copyright", "licen[cs]e", r"unused", r"error messages?", "messages?",
    r"warnings?", r"revert(?:s|ed)?", r"backward[s]? compat\w*", r"python ?[23](?:\.\d+)?", r"py[23]k?",
    "pep ?\\d+", r"cosmetic\w*", r"nit(?:s|pick\w*)?", r"benchmarks?", r"optimi[sz]\w+", r"performance",
    r"speed\w*", r"faster", "wip", r"links?", "version", "versions", "todos?", "fixme", "mirror", "logo",
    "website", "urls? in",
)  # fmt: skip
_TESTS = _words(
    r"fix(?:e[sd]|ing)?(?: up)?(?: \w+){0,3} (?:unit ?)?tests?(?! ?case)",
    r"^(?:add|update|improve)\w*(?: \w+){0,3} tests?", r"tests? fix(?:e[sd])?",
    r"(?:broken|failing) (?:\w+ )?tests?",
)  # fmt: skip
_NEW = re.compile(
    r"^(?:\W|\[.*?\])*(?:add(?:s|ed|ing)?|implement\w*|introduc\w+|support\w*|new|improv\w+|enhanc\w+|updat\w+|"
    r"upgrad\w+|mov\w+|extend\w*|creat\w+|first|initial|start\w*|merg\w+|switch\w*|replac\w+|rewr\w+|port\w*|migrat\w+|expos\w+)\b",
    re.IGNORECASE,
)
_WISH = _words(
    r"supports?", "supported", r"allow(?:s|ed|ing)?", r"features?", r"optional(?:ly)?", r"options?", r"use[sd]?",
    r"enable[sd]?", r"accept(?:s|ed)?", "convenience", r"methods? for", r"provide[sd]?",
)  # fmt: skip
_PULL = re.compile(r"\s*\((?:#|gh-)\d+\)\s*$", re.IGNORECASE)
_TRAILER = re.compile(
    r"^(?:[A-Z][\w-]+-by:|Co-authored|Change-Id:|git-svn-id:|\(cherry picked from|This reverts commit).*$", re.M
)
_REVERT = re.compile(r'^(?:Revert|Back out|Reverted)\b[: ]*(?:"(?P<title>.*)"|.*)', re.IGNORECASE)
_REVERTED = re.compile(r"\breverts? (?:commit )?(?P<id>[0-9a-f]{7,40})\b", re.IGNORECASE)
_TEST_NAME = re.compile(r"(?:[._-](?:test|spec)\.[cm]?[jt]sx?|Tests?\.java|IT\.java)$")
_ASIDE = frozenset({"doc", "docs", "examples", "example", "benchmarks", "benchmark", "asv_bench"})  # wherever they lie
_ASIDE_TOP = frozenset({"tools", "scripts", "ci", ".ci", ".github", "contrib", "artwork"})
_TEST_FOLDERS = frozenset({"__tests__", "testsuite", "test_suite", "testutils", "unittests"})
_ASIDE_NAMES = frozenset({"setup.py", "conf.py", "conftest.py", "noxfile.py", "fabfile.py"})
_CHANGES = re.compile(r"^(?:CHANGES|CHANGELOG|HISTORY|NEWS)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Judged:
    """The sum of what speaks for a fix, why; `veto` says why it is none whatever the sum."""

    score: float = 0.0
    reasons: tuple[str, ...] = ()
    veto: str = ""


@dataclass(frozen=True, slots=True)
class Reverted:
    """What a message says it reverts: ids (maybe abbreviated), or the title of a commit where it names none."""

    ids: tuple[str, ...] = ()
    title: str = ""


def of_tests(path: str) -> bool:
    """Whether a path is a test in any of the languages."""
    folders = {part.lower() for part in PurePosixPath(path).parts[:-1]}
    return is_test(path) or bool(folders & _TEST_FOLDERS) or _TEST_NAME.search(path) is not None


def program(path: str) -> bool:
    """Whether a path is code of the product in a language that we read: no tests, documents, tools, copies."""
    pure = PurePosixPath(path)
    if language_of(path) == "text" or path.endswith((".pyi", ".min.js", ".d.ts")) or pure.name in _ASIDE_NAMES:
        return False
    folders = [part.lower() for part in pure.parts[:-1]]
    aside = bool(_ASIDE.intersection(folders)) or (folders and folders[0] in _ASIDE_TOP)
    return not (of_tests(path) or vendored(path) or aside)


def reverted(message: str) -> Reverted | None:
    """What a revert takes back; None for a commit that is no revert."""
    head = _REVERT.match(message)
    ids = tuple(found["id"] for found in _REVERTED.finditer(message))
    if head is None and "This reverts commit" not in message:
        return None
    return Reverted(ids, "" if ids or head is None else head["title"] or "")


def _spoken(message: str) -> tuple[str, str]:
    """Subject and body with what they quote of other commits, pull request numbers and trailers taken away."""
    subject, _, body = _TRAILER.sub("", message).partition("\n")
    revert = _REVERT.match(subject)
    subject = "" if revert is not None else _PULL.sub("", subject)
    return subject, "\n".join(line for line in body.split("\n") if not line.startswith("Merge "))


def _veto(subject: str) -> str:
    kind = _PREFIX.match(subject)
    if kind is not None and kind["kind"].lower() in _OTHER_KINDS:
        return f"kind {kind['kind']!r}"
    for pattern in (_NO_FAULT, _TESTS):
        found = pattern.search(subject)
        if found is not None:
            return f"subject says {found.group(0)!r}"
    if _NEW.match(subject):
        return "subject says that something is new"
    wish = None if _FIX.search(subject) else _WISH.search(subject)
    if wish is not None:
        return f"subject says {wish.group(0)!r} and no fault"
    return ""


def _said(subject: str, body: str) -> list[tuple[float, str]]:
    kind = _PREFIX.match(subject)
    if kind is not None and kind["kind"].lower() in _FIX_KINDS:
        return [(2, f"kind {kind['kind']!r}")]
    found = _FIX.search(subject) or _RAISED.search(subject)
    if found is not None:
        return [(2, f"subject says {found.group(0)!r}")]
    score: list[tuple[float, str]] = []
    found = _SYMPTOM.search(subject)
    if found is not None:
        score.append((1, f"subject says {found.group(0)!r}"))
    found = _FIX.search(body) or _RAISED.search(body)
    if found is not None:
        score.append((1, f"body says {found.group(0)!r}"))
    return score


def judge_message(message: str) -> Judged:
    """What the message alone says. Links count beside words."""
    subject, body = _spoken(message)
    veto = _veto(subject)
    if veto:
        return Judged(veto=veto)
    said = _said(subject, body)
    whole = f"{subject}\n{body}"
    link = _LINK.search(whole) or _LINKED_URL.search(whole)
    if link is not None:
        said.append((1, f"link {link.group(0)!r}"))
    elif (key := _KEY.search(whole)) is not None:
        said.append((0.5, f"issue {key.group(0)!r}"))
    return Judged(sum(points for points, _ in said), tuple(reason for _, reason in said))


def judge_paths(paths: Sequence[str]) -> Judged:
    """What the changed paths say: how many, tests and change log among them."""
    code = sum(map(program, paths))
    if code == 0:
        return Judged(veto="no program changed")
    if code > 3 or len(paths) > 12:
        return Judged(veto="many files")
    said: list[tuple[float, str]] = []
    if any(map(of_tests, paths)):
        said.append((1, "tests changed with it"))
    if any(_CHANGES.match(PurePosixPath(path).name) for path in paths):
        said.append((0.5, "change log changed with it"))
    return Judged(sum(points for points, _ in said), tuple(reason for _, reason in said))


def judge_size(hunks: int, lines: int) -> Judged:
    """What the size of the change of program files says."""
    if hunks > 8 or lines > 40:
        return Judged(veto="large change")
    if hunks <= 3 and lines <= 12:
        return Judged(1, (f"small: {hunks} hunk{'s' if hunks != 1 else ''}, {lines} line{'s' if lines != 1 else ''}",))
    return Judged()


def together(*parts: Judged) -> Judged:
    """The sum; the first veto stands."""
    veto = next((part.veto for part in parts if part.veto), "")
    return Judged(sum(p.score for p in parts), tuple(reason for p in parts for reason in p.reasons), veto)
