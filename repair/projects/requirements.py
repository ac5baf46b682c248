"""What a Python project declares that its tests need: PEP 508 requirements, by reading alone.

Pure. Nothing of the project runs: what only its setup.py could compute is told as unknown.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from repair.projects.listing import Table, Tree, at, strings, table

_FOR_TESTS = ("test", "tests", "testing")
_FOR_WORK = ("dev", "develop", "development")
_FILES = (
    "requirements-test.txt", "requirements-tests.txt", "requirements_test.txt", "requirements_tests.txt",
    "test-requirements.txt", "test_requirements.txt", "tests-requirements.txt", "requirements/test.txt",
    "requirements/tests.txt", "requirements/testing.txt", "requirements/requirements-tests.txt",
    "requirements/requirements-test.txt", "tests/requirements.txt", "test/requirements.txt",
)  # fmt: skip
_WORK_FILES = (
    "requirements-dev.txt", "requirements_dev.txt", "dev-requirements.txt", "dev_requirements.txt",
    "requirements/dev.txt", "requirements/development.txt", "dev.requirements.txt",
)  # fmt: skip
# Of what developers install, what no test needs: installing it costs minutes and may fail.
_APART = re.compile(
    r"^(?:mypy|ruff|black|flake8.*|isort|pylint|pyright|basedpyright|pre-commit|prek|tox.*|nox|twine|build|wheel|"
    r"sphinx.*|furo|mkdocs.*|myst-parser|.*-sphinx-theme|towncrier|bump.*|commitizen|codespell|bandit|autopep8|yapf|"
    r"pyupgrade|ipython|ipdb|jupyter.*|notebook|uv|pip|pip-tools|hatch|poetry|flit|pdm|types-.*|codecov|coveralls|"
    r"check-manifest|pydocstyle|interrogate|safety|vulture|refurb|ty|snakeviz|py-spy)$"
)
_NEVER = re.compile(r"^(?:ruff|black|flake8|isort|pylint|pyright|pre-commit|prek|tox|nox|ty|types-.*)$")
# Options and settings of pytest, and the plugin that they need.
_PLUGINS = (
    (re.compile(r"(?:^|[\s\"'])--cov(?:[-=\s\"']|$)", re.M), "pytest-cov"),
    (re.compile(r"(?:^|[\s\"'])(?:-n[\s=]?(?:\d|auto)|--numprocesses|--dist\b)", re.M), "pytest-xdist"),
    (re.compile(r"(?:^|[\s\"'])--timeout\b|^\s*timeout\s*=", re.M), "pytest-timeout"),
    (re.compile(r"^\s*asyncio_(?:mode|default)|--asyncio-mode", re.M), "pytest-asyncio"),
    (re.compile(r"--benchmark-"), "pytest-benchmark"),
    (re.compile(r"--randomly-|-p randomly"), "pytest-randomly"),
    (re.compile(r"--reruns\b"), "pytest-rerunfailures"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Declared:
    """Requirements as written. `needed` the code itself imports, `wished` are of its tests and its developers.

    `builds` is what building the project needs, `unknown` says that only its build code knows `needed`.
    """

    name: str = ""
    python: str = ""  # as requires-python
    needed: tuple[str, ...] = ()
    wished: tuple[str, ...] = ()
    builds: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    unknown: bool = False


@dataclass(slots=True)
class _Found:
    needed: list[str] = field(default_factory=list[str])
    wished: list[str] = field(default_factory=list[str])
    work: list[str] = field(default_factory=list[str])
    sources: list[str] = field(default_factory=list[str])

    def note(self, source: str, *, found: bool) -> None:
        if found:
            self.sources.append(source)


def declared(tree: Tree, *, pytest: bool, command: str = "") -> Declared:
    """Read `tree`; with `pytest` the runner and the plugins that its options (of `command` too) need are wished."""
    found = _Found()
    pyproject = tree.toml("pyproject.toml")
    project = table(at(pyproject, "project"))
    unknown = "dependencies" in strings(project.get("dynamic"))
    _of_project(pyproject, found)
    _of_poetry(table(at(pyproject, "tool", "poetry")), found)
    _of_tools(table(pyproject.get("tool")), found)
    unknown = _of_setup(tree, found) or (unknown and not found.needed)
    _of_files(tree, found)
    _of_tox(tree, found)
    wished = [line for line in found.wished if not _NEVER.match(_name(line))]
    wished = wished or [line for line in found.work if not _APART.match(_name(line))]
    runner = ["pytest", *_plugins(tree, command)] if pytest else []
    own = canonicalize_name(str(project.get("name") or _setup_name(tree)))
    needed, wished = (_tidy(lines, own) for lines in (found.needed, [*wished, *runner]))
    return Declared(
        own,
        str(project.get("requires-python") or _python_of(tree, pyproject)),
        needed,
        tuple(line for line in wished if line not in needed),
        _tidy(strings(at(pyproject, "build-system", "requires")), "") or ("setuptools", "wheel"),
        tuple(dict.fromkeys(found.sources)),
        unknown and not needed,
    )


def _name(line: str) -> str:
    return canonicalize_name(re.split(r"[^\w.-]", line.strip(), maxsplit=1)[0])


def _tidy(lines: Iterable[str], own: str) -> tuple[str, ...]:
    """Valid requirements without the project itself and without addresses, sorted; a bare name gives way to others."""
    kept: dict[str, Requirement] = {}
    for line in lines:
        try:
            requirement = Requirement(line.split(" #")[0].strip())
        except InvalidRequirement:
            continue
        if requirement.url is None and canonicalize_name(requirement.name) != own:
            kept[str(requirement)] = requirement
    told = {r.name.lower() for r in kept.values() if r.specifier or r.extras}
    bare = {text for text, r in kept.items() if not (r.specifier or r.extras) and r.name.lower() in told}
    return tuple(sorted(set(kept) - bare))


def _of_project(pyproject: Table, found: _Found) -> None:
    project = table(pyproject.get("project"))
    found.needed += strings(project.get("dependencies"))
    found.note("[project] in pyproject.toml", found=bool(project.get("dependencies")))
    extras = {str(canonicalize_name(key)): value for key, value in table(project.get("optional-dependencies")).items()}
    groups = {str(canonicalize_name(key)): value for key, value in table(pyproject.get("dependency-groups")).items()}
    own = canonicalize_name(str(project.get("name") or ""))
    for names, into in ((_FOR_TESTS, found.wished), (_FOR_WORK, found.work)):
        for name in names:
            for kind, listed in (("extra", _extra(extras, name, own)), ("group", _group(groups, name))):
                lines = tuple(listed)
                into.extend(lines)
                found.note(f"{kind} {name} in pyproject.toml", found=bool(lines))


def _extra(extras: dict[str, object], name: str, own: str, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """An extra's lines; `own[other]` stands for another extra's."""
    for line in strings(extras.get(name)) if name not in seen else ():
        inner = re.match(r"([\w.-]+)\s*\[([^\]]*)\]", line)
        if inner and canonicalize_name(inner[1]) == own:
            for other in inner[2].split(","):
                yield from _extra(extras, canonicalize_name(other.strip()), own, seen | {name})
        else:
            yield line


def _group(groups: dict[str, object], name: str, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    listed = groups.get(name)
    for entry in listed if isinstance(listed, list) and name not in seen else ():  # pyright: ignore[reportUnknownVariableType]
        if isinstance(entry, str):
            yield entry
        elif isinstance(other := table(entry).get("include-group"), str):
            yield from _group(groups, canonicalize_name(other), seen | {name})


def _of_poetry(poetry: Table, found: _Found) -> None:
    found.needed += _poetry_lines(poetry.get("dependencies"))
    groups = {**table(poetry.get("group")), "dev": {"dependencies": poetry.get("dev-dependencies")}}
    for name, group in groups.items():
        lines = _poetry_lines(table(group).get("dependencies"))
        (found.wished if name in _FOR_TESTS else found.work if name in _FOR_WORK else []).extend(lines)
    found.note("[tool.poetry] in pyproject.toml", found=bool(poetry.get("dependencies")))


def _of_tools(tools: Table, found: _Found) -> None:
    """What PDM, uv and Hatch keep in tables of their own."""
    for name, lines in table(at(tools, "pdm", "dev-dependencies")).items():
        (found.wished if name in _FOR_TESTS else found.work).extend(strings(lines))
    found.work += strings(at(tools, "uv", "dev-dependencies"))
    for name, environment in table(at(tools, "hatch", "envs")).items():
        listed = [*strings(at(environment, "dependencies")), *strings(at(environment, "extra-dependencies"))]
        into = found.wished if name in (*_FOR_TESTS, "hatch-test") else found.work if name == "default" else []
        into.extend(listed)


def _poetry_lines(dependencies: object) -> list[str]:
    lines: list[str] = []
    for name, wanted in table(dependencies).items():
        details = table(wanted)
        version = str(wanted if isinstance(wanted, str) else details.get("version") or "*")
        if name.lower() == "python" or details.get("optional") or "||" in version:
            continue
        extras = f"[{','.join(strings(details.get('extras')))}]" if details.get("extras") else ""
        marker = f" ; {details['markers']}" if isinstance(details.get("markers"), str) else ""
        lines.append(f"{name}{extras}{poetry_range(version)}{marker}")
    return lines


def poetry_range(version: str) -> str:
    """Poetry's way of writing a range ("^1.2", "~1.2", "1.*") as PEP 440 has it."""
    parts: list[str] = []
    for part in (piece.strip() for piece in version.split(",")):
        found = re.fullmatch(r"([~^])\s*(\d+(?:\.\d+)*)\S*", part)
        if found:
            numbers = [int(number) for number in found[2].split(".")]
            caret = found[1] == "^"
            first = next((n for n, number in enumerate(numbers) if number), len(numbers) - 1)
            kept = first if caret else min(1, len(numbers) - 1)
            upper = [*numbers[:kept], numbers[kept] + 1]
            parts += [f">={found[2]}", f"<{'.'.join(map(str, upper))}"]
        elif part and part[0].isdigit():
            parts.append(f"=={part}")
        elif part and part != "*":
            parts.append(part)
    return ",".join(parts)


def _of_setup(tree: Tree, found: _Found) -> bool:
    """setup.cfg and what stands plainly in setup.py; whether setup.py computes its requirements."""
    sections = tree.ini("setup.cfg")
    options = sections.get("options", {})
    found.needed += strings(options.get("install_requires", ""))
    found.wished += strings(options.get("tests_require", ""))
    for name, lines in sections.get("options.extras_require", {}).items():
        (found.wished if name in _FOR_TESTS else found.work if name in _FOR_WORK else []).extend(strings(lines))
    found.note("setup.cfg", found=bool(options.get("install_requires")))
    keywords = _setup_keywords(tree)
    values = {name: _constant(node) for name, node in keywords.items()}
    found.needed += strings(values.get("install_requires"))
    found.wished += strings(values.get("tests_require"))
    for name, lines in table(values.get("extras_require")).items():
        (found.wished if name in _FOR_TESTS else found.work if name in _FOR_WORK else []).extend(strings(lines))
    found.note("setup.py", found=bool(values.get("install_requires")))
    return "install_requires" in keywords and values["install_requires"] is None


def _setup_keywords(tree: Tree) -> dict[str, ast.expr]:
    """Keyword arguments of `setup(...)`; names of plain constants are looked up."""
    try:
        module = ast.parse(tree.text("setup.py"))
    except (SyntaxError, ValueError, RecursionError):
        return {}
    known: dict[str, ast.expr] = {}
    for statement in module.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            known[statement.targets[0].id] = statement.value
    calls = (node for node in ast.walk(module) if isinstance(node, ast.Call))
    for call in calls:
        if getattr(call.func, "id", getattr(call.func, "attr", "")) == "setup":
            pairs = ((k.arg, k.value) for k in call.keywords if k.arg)
            return {k: known.get(v.id, v) if isinstance(v, ast.Name) else v for k, v in pairs}
    return {}


def _constant(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


def _setup_name(tree: Tree) -> str:
    name = tree.ini("setup.cfg").get("metadata", {}).get("name", "")
    own = _setup_keywords(tree).get("name")
    poetry = at(tree.toml("pyproject.toml"), "tool", "poetry", "name")
    return name or str((_constant(own) if own else "") or poetry or "")


def _python_of(tree: Tree, pyproject: Table) -> str:
    poetry = at(pyproject, "tool", "poetry", "dependencies", "python")
    if isinstance(poetry, str) and "||" not in poetry:
        return poetry_range(poetry)
    own = _setup_keywords(tree).get("python_requires")
    return tree.ini("setup.cfg").get("options", {}).get("python_requires", "") or str((own and _constant(own)) or "")


def _of_files(tree: Tree, found: _Found) -> None:
    for names, into in ((_FILES, found.wished), (_WORK_FILES, found.work)):
        for name in names:
            lines = list(_lines_of(tree, name))
            into.extend(lines)
            found.note(name, found=bool(lines))
    if not found.needed:  # of an application; a library's lists what its developers need
        lines = list(_lines_of(tree, "requirements.txt"))
        library = at(tree.toml("pyproject.toml"), "project") or tree.has("setup.py") or tree.has("setup.cfg")
        (found.work if library else found.needed).extend(line for line in lines if not _APART.match(_name(line)))
        found.note("requirements.txt", found=bool(lines))


def _lines_of(tree: Tree, path: str, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """Requirements of a file and of those that it names; options (of an index, of hashes) are the user's to set."""
    if path in seen or not tree.has(path):
        return
    for line in re.sub(r"\\\r?\n", " ", tree.text(path)).split("\n"):
        text = re.split(r"(?:^|\s)#|\s--hash", line)[0].strip()
        other = re.match(r"(?:-r|--requirement)[\s=]*(\S+)", text)
        if other:
            inner = str(PurePosixPath(path).parent / other[1])
            yield from _lines_of(tree, inner.removeprefix("./"), seen | {path})
        elif text and not text.startswith("-"):
            yield text


def _of_tox(tree: Tree, found: _Found) -> None:
    sections = tree.ini("tox.ini")
    lines = strings(sections.get("testenv", {}).get("deps", ""))
    for line in lines:
        other = re.match(r"-r\s*(\S+)", line)
        if other:
            listed = _lines_of(tree, other[1].replace("{toxinidir}/", "").removeprefix("./"))
            found.wished += [line for line in listed if not _APART.match(_name(line))]
        elif "{" not in line and not re.match(r"[\w!,.-]+:\s", line):
            found.wished.append(line)
    found.note("deps in tox.ini", found=bool(lines))


def _plugins(tree: Tree, command: str) -> Iterator[str]:
    texts = [tree.text(path) for path in ("pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg")]
    settings = at(tree.toml("pyproject.toml"), "tool", "pytest")
    texts += [command, "\n".join(_flat(settings))]
    yield from (plugin for pattern, plugin in _PLUGINS if any(pattern.search(text) for text in texts))


def _flat(settings: object) -> Iterator[str]:
    for key, value in table(settings).items():
        if isinstance(value, dict):
            yield from _flat(table(value))  # pyright: ignore[reportUnknownArgumentType]
        else:
            yield f"{key} = {' '.join(strings(value)) if isinstance(value, (str, list)) else value}"
