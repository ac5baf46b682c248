"""The programs layout: a directory of small Python programs, each in a wrong and in a right version, with tests.

    python_programs/NAME.py  correct_python_programs/NAME.py
    json_testcases/NAME.json            one pair [arguments, result] a line; arguments are a list, or one value
    python_testcases/test_NAME.py       pytest functions, read where there is no such JSON

Each becomes a Case: one script. There are no held-out tests in this layout, and none are made up.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path

from eval.suites.cases import Case, Suite
from eval.suites.fields import parse_json
from eval.suites.flatten import Beside, NotOneScript, definitions, entry_point, flat_tests, inlined
from repair.errors import SuiteError

_BUGGY, _FIXED, _TABLES, _TESTS = "python_programs", "correct_python_programs", "json_testcases", "python_testcases"
_READ = ((_BUGGY, ".py"), (_FIXED, ".py"), (_TABLES, ".json"), (_TESTS, ".py"))
Files = Mapping[str, str]


def read_programs(folder: Path) -> Suite:
    """Read a directory. Raises SuiteError (no such layout, a test that is no pair, not utf-8), OSError.

    A program without tests, or whose modules cannot be made one script, is named in `Suite.skipped`.
    """
    if not (folder / _BUGGY).is_dir() or not any((folder / name).is_dir() for name in (_TABLES, _TESTS)):
        raise SuiteError(
            f"{folder}: a directory of no known layout; it would have {_BUGGY}/ and {_TABLES}/ or {_TESTS}/, "
            "any other suite is a file of JSON lines",
            field="suite",
        )
    contents = {
        f"{name}/{path.name}": path.read_bytes()
        for name, ending in _READ
        if (folder / name).is_dir()
        for path in sorted((folder / name).iterdir())
        if path.suffix == ending and path.is_file()
    }
    files = {name: _decoded(folder / name, content) for name, content in contents.items()}
    cases: list[Case] = []
    skipped: list[tuple[str, str]] = []
    for name in _names(files):
        try:
            cases.append(_case(name, files, folder))
        except NotOneScript as reason:
            skipped.append((name, str(reason)))
    if not cases:
        told = f": {skipped[0][0]} {skipped[0][1]}" if skipped else ""
        raise SuiteError(f"{folder}: has no program with tests{told}", field="suite")
    return Suite(folder.resolve().name, _sha256(contents), tuple(cases), skipped=tuple(skipped), layout="programs")


def _decoded(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SuiteError(f"{path}: line {line}: not utf-8 text", line=line) from error


def _sha256(contents: Mapping[str, bytes]) -> str:
    total = hashlib.sha256()
    for name, content in sorted(contents.items()):
        total.update(f"{name}\0{len(content)}\0".encode("utf-8", "surrogateescape") + content)
    return total.hexdigest()


def _names(files: Files) -> list[str]:
    """Programs by name: neither packages nor what others import nor their old test drivers, but tests without one."""
    stems = {Path(name).stem for name in files if name.startswith(f"{_BUGGY}/")} - {"__init__"}
    tested = {Path(name).stem for name in files if name.startswith(f"{_TABLES}/")}
    tested |= {
        Path(name).stem.removeprefix("test_") for name in files if name.startswith(f"{_TESTS}/test_")
    }  # fmt: skip
    drivers = {stem for stem in stems if stem.removesuffix("_test") in stems - {stem}}
    beside = {stem for stem in stems - tested if _is_imported(stem, files)}
    return sorted((stems - drivers - beside) | tested)


def _is_imported(stem: str, files: Files) -> bool:
    pattern = re.compile(rf"^\s*(?:from|import)\s+[\w.]*\b{re.escape(stem)}\b", re.M)
    return any(pattern.search(text) for name, text in files.items() if Path(name).stem != stem and name.endswith(".py"))


def _case(name: str, files: Files, folder: Path) -> Case:
    buggy, fixed = files.get(f"{_BUGGY}/{name}.py"), files.get(f"{_FIXED}/{name}.py")
    if buggy is None:
        raise NotOneScript(f"has tests, but there is no {_BUGGY}/{name}.py")
    if not buggy.strip():
        raise NotOneScript("is an empty file")
    modules = _modules(files, besides=name)
    present: set[str] = set()
    code = inlined(buggy, modules, present)
    reference = None if fixed is None else inlined(fixed, modules, set())
    both = f"{code}\n{reference or ''}"
    entry = entry_point(fixed or buggy, name) or entry_point(buggy, name)
    if (table := files.get(f"{_TABLES}/{name}.json")) is not None:
        tests = _table_tests(table, entry, both, folder / _TABLES / f"{name}.json")
    elif (functions := files.get(f"{_TESTS}/test_{name}.py")) is not None:
        tests = flat_tests(functions, Beside(name, both, modules, frozenset(present)))
    else:
        raise NotOneScript(f"has no tests: neither {_TABLES}/{name}.json nor {_TESTS}/test_{name}.py")
    return Case(name, "python", code, tests, reference, entry_point=entry)


def _modules(files: Files, *, besides: str) -> dict[str, str]:
    """What may be imported, by name: what lies beside the tests first, then right programs before wrong ones."""
    found: dict[str, str] = {}
    for folder in (_BUGGY, _FIXED, _TESTS):
        found |= {Path(name).stem: text for name, text in files.items() if name.startswith(f"{folder}/")}
    return {stem: text for stem, text in found.items() if stem not in ("__init__", besides)}


def _table_tests(table: str, entry: str | None, code: str, path: Path) -> str:
    """One assertion a line, each with arguments of its own."""
    if entry is None:
        raise NotOneScript("has no function of its name, and not one only")
    pairs = [(n, _pair(line, path, n)) for n, line in enumerate(table.split("\n"), 1) if line.strip()]
    if not pairs:
        raise NotOneScript(f"has no tests: {_TABLES}/{path.name} is empty")
    preamble, called = definitions(("as_json", "about"), code)
    lines: list[str] = []
    for number, (arguments, expected) in pairs:
        try:
            lines.append(_assertion(entry, arguments, expected, called))
        except (RecursionError, ValueError) as error:
            raise SuiteError(f"{path}: line {number}: nested too deeply", line=number) from error
    return f"{preamble}\n\n\n" + "\n".join(lines) + "\n"


def _pair(line: str, path: Path, number: int) -> tuple[object, object]:
    try:
        pair = parse_json(line)
        if not isinstance(pair, list) or len(pair) != 2:
            raise SuiteError("a test must be a pair [arguments, result]")
    except SuiteError as error:
        raise SuiteError(f"{path}: line {number}: {error}", line=number) from error
    return pair[0], pair[1]


def _assertion(entry: str, arguments: object, expected: object, called: Mapping[str, str]) -> str:
    given = arguments if isinstance(arguments, list) else [arguments]
    got = f"{entry}({', '.join(_literal(value) for value in given)})"
    if isinstance(expected, (list, dict)):
        got = f"{called['as_json']}({got})"
    if expected is None:
        return f"assert {got} is None"
    value = _literal(expected)
    if _has_float(expected):
        value = f"{called['about']}({value})"
    return f"assert {got} == {value}"


def _has_float(value: object) -> bool:
    if isinstance(value, (list, dict)):
        return any(_has_float(item) for item in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, float)


def _literal(value: object) -> str:
    """A JSON value as Python would write it."""
    if isinstance(value, list):
        return f"[{', '.join(_literal(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {_literal(item)}' for key, item in value.items())}}}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({json.dumps(value)!r})"
    return repr(value)
