"""The language, the runner and the test command of a project, from its files alone.

Pure over the tree. What a tool such as tox would run is read, where it is plain, rather than running the tool: it
would build environments of its own. The project's top folder is looked at first; only a tree without anything there
is taken for a collection of projects, of which the first one wins.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from repair.oracles.commands import is_test_name
from repair.projects.listing import Tree, at, tree_of
from repair.projects.recipes import Recipe, recipes
from repair.projects.values import Refusal, Standing
from repair.sources import language_of

_PYTEST_SIGN = re.compile(r"^\s*(?:import pytest|from pytest )|^def test_|^async def test_", re.M)
_UNITTEST_SIGN = re.compile(r"unittest|TestCase")
_TARGET = re.compile(r"^(tests?|check)\s*:(?!=)", re.M)
_TEST_FOLDERS = ("tests", "test", "testing")
_NOTHING = re.compile(r"no test specified")
_RUNNERS = ("jest", "vitest", "mocha", "ava", "tap")
_ADVICE = "give the command with --test"


@dataclass(frozen=True, slots=True)
class Detected:
    """How the tests of a project run. `why` says what that was taken from, `folder` where it is not the top one."""

    language: str
    runner: str
    command: str
    why: str
    folder: str = ""
    notes: tuple[str, ...] = ()


def detect(root: Path) -> Detected:
    """Find out how the tests of the tree at `root` run. Raises Refusal (NO_TESTS) where there are none."""
    tree = tree_of(root)
    found = _here(tree)
    if found is not None:
        return found
    for folder in _projects(tree):
        inside = _here(tree.below(folder))
        if inside is not None:
            others = [other for other in _projects(tree) if other != folder]
            notes = (f"of several projects {folder} was taken; not looked at: {', '.join(others)}",) if others else ()
            return replace(_moved(inside, folder), notes=inside.notes + notes)
    raise Refusal(Standing.NO_TESTS, f"no tests were found in {_size(tree)}; {_ADVICE}")


def given(tree: Tree, command: str) -> Detected:
    """The command that the user gave, with the language that most sources are written in."""
    return Detected(main_language(tree), "given", command, "the given command")


def main_language(tree: Tree) -> str:
    """The language of most source files that is no test; "python" where there is none."""
    counts: dict[str, int] = {}
    for path in tree.paths:
        language = language_of(path)
        if language != "text":
            counts[language] = counts.get(language, 0) + 1
    return max(sorted(counts), key=lambda name: counts[name]) if counts else "python"


def _size(tree: Tree) -> str:
    return f"{len(tree.paths)} files" if len(tree.paths) != 1 else "1 file"


def _here(tree: Tree) -> Detected | None:
    """The ways of each ecosystem, that of the main language first."""
    ways: dict[str, Callable[[Tree], Detected | None]] = {
        "python": _python, "javascript": _node, "typescript": _node, "java": _java
    }  # fmt: skip
    first = main_language(tree)
    ordered = (ways.get(first, _python), _python, _node, _java, _make)
    return next((found for way in dict.fromkeys(ordered) if (found := way(tree)) is not None), None)


def _python(tree: Tree) -> Detected | None:
    tests = [path for path in tree.paths if path.endswith(".py") and is_test_name(path)]
    configured = _pytest_configuration(tree)
    told = recipes(tree)
    plain = next((recipe for recipe in told if recipe.words and _runs_tests(recipe, tests)), None)
    notes = tuple(f"{recipe.source}: {recipe.reason}" for recipe in told if recipe.reason and not recipe.words)
    if configured is not None:
        source, paths = configured
        if not tests and not paths and plain is None:
            return None
        return Detected("python", "pytest", _pytest(() if paths else _folders(tests)), source)
    if plain is not None and (tests or len(plain.words) > 3):
        return _from_recipe(plain)
    if not tests:
        return None
    return replace(_by_name(tree, tests), notes=notes)


def _runs_tests(recipe: Recipe, tests: list[str]) -> bool:
    """Whether the paths that it names, if any, hold tests: documents have commands of their own."""
    named = [word.removeprefix("./").rstrip("/") for word in recipe.words[3:] if re.match(r"[\w./]", word)]
    paths = [word for word in named if "/" in word or "." in word or any(t.startswith(f"{word}/") for t in tests)]
    return not paths or any(t == word or t.startswith(f"{word}/") for word in paths for t in tests)


def _from_recipe(recipe: Recipe) -> Detected:
    runner = next((name for name in ("pytest", "unittest") if name in recipe.words), "python")
    return Detected("python", runner, shlex.join(recipe.words), recipe.source)


def _pytest(words: Iterable[str]) -> str:
    return shlex.join(("python", "-m", "pytest", *words))


def _pytest_configuration(tree: Tree) -> tuple[str, bool] | None:
    """Where pytest is configured, and whether that names the tests."""
    for path in ("pytest.ini", ".pytest.ini"):
        if tree.has(path):
            return path, bool(tree.ini(path).get("pytest", {}).get("testpaths"))
    for keys in (("tool", "pytest", "ini_options"), ("tool", "pytest")):
        settings = at(tree.toml("pyproject.toml"), *keys)
        if settings:
            return f"[{'.'.join(keys)}] in pyproject.toml", bool(at(settings, "testpaths"))
    for path, section in (("tox.ini", "pytest"), ("setup.cfg", "tool:pytest")):
        settings = tree.ini(path).get(section)
        if settings is not None:
            return f"[{section}] in {path}", bool(settings.get("testpaths"))
    return None


def _folders(tests: list[str]) -> tuple[str, ...]:
    """The usual folder where most tests lie there, so that examples and documents are not collected."""
    for folder in _TEST_FOLDERS:
        if sum(path.startswith(f"{folder}/") for path in tests) * 2 > len(tests):
            return (folder,)
    unusual = [path for path in tests if not _collected(path)]
    return tuple(unusual) if len(unusual) == len(tests) else ()


def _collected(path: str) -> bool:
    """Whether pytest takes a file for tests when it is not named."""
    name = PurePosixPath(path).name
    return name.startswith("test_") or name.endswith("_test.py")


def _by_name(tree: Tree, tests: list[str]) -> Detected:
    texts = [tree.text(path) for path in tests]
    conftest = any(PurePosixPath(path).name == "conftest.py" for path in tree.paths)
    pure = any(_UNITTEST_SIGN.search(text) for text in texts) and not any(_PYTEST_SIGN.search(text) for text in texts)
    if not pure or conftest:
        why = "conftest.py" if conftest else f"the names of {len(tests)} test files"
        return Detected("python", "pytest", _pytest(_folders(tests)), why)
    why = f"unittest in {len(tests)} test files"
    top = [path for path in tests if "/" not in path]
    folder = next((name for name in _TEST_FOLDERS if any(path.startswith(f"{name}/") for path in tests)), "")
    if folder:
        above = ("-t", ".") if tree.has(f"{folder}/__init__.py") else ()
        command = ("python", "-m", "unittest", "discover", "-s", folder, *above)
    elif top:
        command = ("python", "-m", "unittest", *(path.removesuffix(".py") for path in top))
    else:
        command = ("python", "-m", "pytest", *sorted({PurePosixPath(path).parts[0] for path in tests}))
    return Detected("python", command[2], shlex.join(command), why)


def _node(tree: Tree) -> Detected | None:
    if not tree.has("package.json"):
        return None
    package = tree.json("package.json")
    script = str(at(package, "scripts", "test") or "").strip()
    language = "typescript" if main_language(tree) == "typescript" else "javascript"
    if script and not _NOTHING.search(script):
        bare = re.sub(r"^(?:npx )?(?:c8|nyc) (?=node )", "", script)
        if re.match(r"node (?:\S+ )*--test\b", bare):
            return Detected(language, "node --test", bare, "scripts.test in package.json")
        runner = next((name for name in _RUNNERS if re.search(rf"(?:^|[\s/]){name}\b", script)), "npm")
        return Detected(language, runner, "npm test --silent", "scripts.test in package.json")
    tests = [path for path in tree.paths if is_test_name(path) and language_of(path) == "javascript"]
    own = [path for path in tests if "node:test" in tree.text(path)]
    if own:
        return Detected(language, "node --test", shlex.join(("node", "--test", *own)), f"node:test in {len(own)} files")
    return None


def _java(tree: Tree) -> Detected | None:
    tests = any("/src/test/" in f"/{path}" or is_test_name(path) for path in tree.paths if path.endswith(".java"))
    if tree.has("pom.xml") and tests:
        return Detected("java", "maven", "mvn -q -o -B test", "pom.xml")
    scripts = [name for name in ("build.gradle", "build.gradle.kts") if tree.has(name)]
    if scripts and tests:
        program = "./gradlew" if tree.has("gradlew") else "gradle"
        return Detected("java", "gradle", f"{program} --offline --no-daemon -q test", scripts[0])
    return None


def _make(tree: Tree) -> Detected | None:
    for name in ("Makefile", "makefile", "GNUmakefile"):
        target = _TARGET.search(tree.text(name))
        if target:
            return Detected(main_language(tree), "make", f"make {target[1]}", f"the target {target[1]} of {name}")
    return None


def _projects(tree: Tree) -> tuple[str, ...]:
    """Folders that hold a project of their own, those higher up first."""
    marks = ("pyproject.toml", "setup.py", "setup.cfg", "package.json", "pom.xml", "build.gradle", "build.gradle.kts")
    folders = {str(PurePosixPath(path).parent) for path in tree.paths if PurePosixPath(path).name in marks}
    return tuple(sorted(folders - {"."}, key=lambda folder: (folder.count("/"), folder)))


def _moved(found: Detected, folder: str) -> Detected:
    """The same, run from the top."""
    quoted = shlex.quote(folder)
    command = f"sh -c {shlex.quote(f'cd {quoted} && exec {found.command}')}"
    if found.runner == "pytest":
        words = shlex.split(found.command)[3:]
        inside = [word if word.startswith("-") else f"{folder}/{word}" for word in words] or [folder]
        command = _pytest((f"--rootdir={folder}", *inside))
    elif found.runner == "maven":
        command = f"{found.command} -f {quoted}"
    elif found.runner == "gradle":
        command = f"{found.command} -p {quoted}" if found.command.startswith("gradle") else command
    elif found.command.startswith("npm "):
        command = f"npm --prefix {quoted} test --silent"
    return replace(found, command=command, folder=folder, why=f"{found.why} of {folder}")
