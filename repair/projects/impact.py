"""Which passing tests can notice a patch: regression test selection by what each test executed (pure functions).

A test is selected when it executed, on the unchanged code, what the patch changes: safe selection by modified code
(Rothermel & Harrold, "Analyzing regression test selection techniques", TSE 1996), here by statement where the statement
was traced, by function where the change is in no traced line (an insertion, a header), by file for what runs at import
(as Ekstazi does: Gligoric, Eloussi & Marinov, ISSTA 2015). What this cannot see (files read as data, imports made at
run time) is why a fix is judged by the whole suite in the end.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import PurePosixPath

from repair.edits import Edit, FilePatch, Patch
from repair.languages import enclosing_function, functions
from repair.localize.terrain import Terrain, survey
from repair.sources import Source

Lines = Mapping[str, Mapping[str, frozenset[int]]]  # test -> path -> executed lines


class Why(IntEnum):
    """Why a test is selected, the most specific reason first."""

    LINE = 0  # it executes a changed line
    FUNCTION = 1  # it executes the function in which something is inserted, or whose header changes
    FILE = 2  # it executes some line of the file of which something at module level changes
    IMPORT = 3  # it imports that file, perhaps through others
    UNTRACED = 4  # nothing is known: every test is in


@dataclass(frozen=True, slots=True)
class Impact:
    """Selected tests, the most specific first, of equal ones the quickest; `why` says for each what selects it."""

    tests: tuple[str, ...]
    why: Mapping[str, Why] = field(default_factory=dict[str, Why])

    def share(self, of: int) -> float:
        """Part of `of` tests, 0..1."""
        return len(self.tests) / of if of else 0.0


@dataclass(frozen=True, slots=True)
class _Reach:
    """What must have been executed of one file for a test to notice: any of these lines."""

    path: str
    lines: frozenset[int]
    why: Why


def impacted(
    patch: Patch,
    sources: Mapping[str, Source],
    lines: Lines,
    passing: Collection[str],
    *,
    seconds: Mapping[str, float] | None = None,
    imports: Mapping[str, frozenset[str]] | None = None,
) -> Impact:
    """The tests among `passing` that can notice the patch; all of them where nothing was traced.

    `seconds` are of single tests. `imports`: path of a test file -> paths of the files it imports (see `imported`);
    without it every test may import anything. Raises PatchError for a path that is not among `sources`.
    """
    took = seconds or {}
    if not lines:
        return _ordered(dict.fromkeys(passing, Why.UNTRACED), took)
    traced: set[str] = {path for files in lines.values() for path in files}
    why: dict[str, Why] = {test: Why.UNTRACED for test in passing if test not in lines}
    for file in patch.files:
        source = sources[file.path]
        if file.path not in traced:
            why.update({test: Why.UNTRACED for test in passing if test not in why})
            continue
        recorded = frozenset(n for files in lines.values() for n in files.get(file.path, ()))
        for reach in _reaches(file, source, recorded):
            for test in passing:
                found = _noticed(test, reach, lines, imports)
                if found is not None:
                    why[test] = min(why.get(test, found), found)
    return _ordered(why, took)


def _ordered(why: Mapping[str, Why], seconds: Mapping[str, float]) -> Impact:
    tests = sorted(why, key=lambda test: (why[test], seconds.get(test, 0.0), test))
    return Impact(tuple(tests), {test: why[test] for test in tests})


def _noticed(test: str, reach: _Reach, lines: Lines, imports: Mapping[str, frozenset[str]] | None) -> Why | None:
    executed = lines.get(test, {}).get(reach.path, frozenset[int]())
    if reach.why is not Why.FILE:
        return None if reach.lines.isdisjoint(executed) else reach.why
    if executed:
        return Why.FILE
    file = "" if imports is None else file_of(test, imports)
    return Why.IMPORT if imports is None or not file or reach.path in imports[file] else None


def file_of(test: str, files: Collection[str]) -> str:
    """The file that a test id names (`a/test_b.py::C::d`, `a.test_b.C.d`), "" where none of `files` is it."""
    path, parted, _ = test.partition("::")
    if parted or path in files:
        return path
    parts = path.split(".")
    names = ("/".join(parts[:length]) + ".py" for length in range(len(parts), 0, -1))
    return next((name for name in names if name in files), "")


def _reaches(file: FilePatch, source: Source, recorded: frozenset[int]) -> Iterator[_Reach]:
    """What a test must execute to notice each edit."""
    terrain = survey(source)
    for edit in file.edits:
        first, last = source.lines_of(edit.span)
        if terrain.error_line:  # a file that cannot be imported: nobody has executed it
            yield _Reach(file.path, frozenset(), Why.FILE)
            continue
        owners = {terrain.owner[n] for n in range(first, last + 1)}
        if not recorded.isdisjoint(owners):
            yield _Reach(file.path, frozenset(owners & recorded), Why.LINE)
        if not (owners <= recorded and _stays_inside(edit, source)):
            yield _around(file.path, source, terrain, *_lines_around(edit, source, first, last))


def _stays_inside(edit: Edit, source: Source) -> bool:
    """Whether the edit changes no more than the statements it stands in: no line comes or goes, no name is bound.

    A binding, `yield` or `await` changes what the whole function is (`x = ...` makes x local to all of it).
    """
    before, after = edit.span.of(source.text), edit.text
    return before.count("\n") == after.count("\n") and bool((before + after).strip()) and not _binds(source, edit)


def _binds(source: Source, edit: Edit) -> bool:
    """Whether the changed lines, read as code, bind other names than before or make another kind of function."""
    first, last = source.lines_of(edit.span)
    whole = source.line_span(first, last)
    old = whole.of(source.text)
    new = source.text[whole.start : edit.span.start] + edit.text + source.text[edit.span.end : whole.end]
    return _nature(old) != _nature(new)


def _nature(text: str) -> frozenset[str]:
    """Words of a piece of code that decide about its function, and names that stand before an assignment."""
    words = text.replace("(", " ").replace(")", " ").split()
    kinds = {w for w in words if w in ("yield", "await", "async", "global", "nonlocal", "import", "def", "class", "as")}
    targets = {f"={part.strip()}" for line in text.split("\n") for part in _targets(line)}
    loops = {f"for {words[i + 1]}" for i, w in enumerate(words[:-1]) if w == "for"}
    return frozenset(kinds | targets | loops)


def _targets(line: str) -> Iterator[str]:
    """Left sides of `a = ...`, `a += ...`, `(a := ...)`."""
    plain = line
    for sign in ("==", "!=", "<=", ">="):
        plain = plain.replace(sign, "  ")
    head, sign, _ = plain.partition("=")
    if sign:
        yield head.rstrip("+-*/%@&|^<>: ").strip()


def _lines_around(edit: Edit, source: Source, first: int, last: int) -> tuple[int, int]:
    """The lines whose function an edit belongs to: of indented lines put below a function's last one, that line."""
    whole = not len(edit.span) and source.position(edit.span.start)[1] == 1 and edit.text.strip()
    above = next((n for n in range(first - 1, 0, -1) if source.line(n).strip()), 0) if whole else 0
    function = enclosing_function(source, above) if above else None
    if function is None:
        return first, last
    added = next(line for line in edit.text.split("\n") if line.strip())
    deeper = _indent(added) > _indent(source.line(function.first_line))
    return (above, above) if deeper else (first, last)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _around(path: str, source: Source, terrain: Terrain, first: int, last: int) -> _Reach:
    """The function that holds the lines, its header being part of it; the file where there is none."""
    held = [enclosing_function(source, n) for n in (first, last)]
    function = held[0] or held[1]
    decorated = any(source.line(n).lstrip().startswith("@") for n in range(first, last + 1))
    if function is None or None in held or decorated:
        return _Reach(path, frozenset(), Why.FILE)
    both = [f for f in held if f is not None]
    outermost = min(both, key=lambda f: f.first_line)
    lines = frozenset(range(outermost.first_line, max(f.last_line for f in both) + 1))
    in_header = any(n in terrain.header_of for n in range(first, last + 1))
    above = next((f for f in functions(source) if f.first_line < outermost.first_line <= f.last_line), None)
    if in_header and above is not None:  # the definition of a nested function is a statement of the outer one
        lines |= frozenset(range(above.first_line, above.last_line + 1))
    return _Reach(path, lines, Why.FUNCTION)


def imported(path: str, text: str, known: Collection[str]) -> frozenset[str]:
    """The files among `known` (paths) that a Python file imports by name, itself or as a member of a package.

    A file that does not parse imports everything. With a module the packages around it are imported.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return frozenset(known)
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _base(path, node)
            names |= {base, *(f"{base}.{alias.name}" if base else alias.name for alias in node.names)}
    parents = {name.rsplit(".", up)[0] for name in names for up in range(1, name.count(".") + 1)}
    endings = {name.replace(".", "/") for name in names | parents if name}
    return frozenset(k for k in known if _module(k) and any(_ends(_module(k), end) for end in endings))


def _base(path: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    folder = PurePosixPath(path).parts[: -node.level]
    return ".".join((*folder, *((node.module,) if node.module else ())))


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__") if path.endswith(".py") else ""


def _ends(module: str, name: str) -> bool:
    """`src/pkg/mod` is imported as pkg.mod: the folders that lie on the path are not known here."""
    return module == name or module.endswith(f"/{name}")


def closure(direct: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """All files that each file imports, through others as well."""
    found: dict[str, frozenset[str]] = {}
    for start in direct:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for path in direct.get(waiting.pop(), ()):
                if path not in seen:
                    seen.add(path)
                    waiting.append(path)
        found[start] = frozenset(seen)
    return found
