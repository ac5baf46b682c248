# ruff: noqa: E501  (rows of a table)
"""What runs a project's tests, from its files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from repair.projects.detect import detect
from repair.projects.identity import write_identity
from repair.projects.listing import tree_of
from repair.projects.requirements import declared, poetry_range
from repair.projects.values import Refusal, Standing

TEST = "def test_one():\n    assert True\n"
UNIT = "import unittest\n\nclass T(unittest.TestCase):\n    def test_one(self): ...\n"


def written(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "runner", "command", "why"),
    [
        ({"pytest.ini": "[pytest]\n", "tests/test_a.py": TEST}, "pytest", "python -m pytest tests", "pytest.ini"),
        ({"pyproject.toml": "[tool.pytest.ini_options]\ntestpaths = ['t']\n", "t/test_a.py": TEST},
         "pytest", "python -m pytest", "[tool.pytest.ini_options] in pyproject.toml"),
        ({"setup.cfg": "[tool:pytest]\n", "test_a.py": TEST}, "pytest", "python -m pytest", "[tool:pytest] in setup.cfg"),
        ({"tox.ini": "[testenv]\ncommands =\n    flake8\n    coverage run -p -m pytest -n auto --cov x {posargs:tests}\n",
          "tests/test_a.py": TEST}, "pytest", "python -m pytest tests", "[testenv] in tox.ini"),
        ({"tox.ini": "[testenv]\ncommands = python -m unittest discover -s tests\n", "tests/test_a.py": UNIT},
         "unittest", "python -m unittest discover -s tests", "[testenv] in tox.ini"),
        ({"noxfile.py": "import nox\n@nox.session\ndef tests(s):\n    s.install('x')\n    s.run('pytest', 'my tests')\n",
          "my tests/test_a.py": TEST}, "pytest", "python -m pytest 'my tests'", "noxfile.py"),
        ({"conftest.py": "", "tests/test_a.py": UNIT}, "pytest", "python -m pytest tests", "conftest.py"),
        ({"src/a.py": "", "tests/test_a.py": TEST}, "pytest", "python -m pytest tests", "the names of 1 test files"),
        ({"tests/__init__.py": "", "tests/test_a.py": UNIT},
         "unittest", "python -m unittest discover -s tests -t .", "unittest in 1 test files"),
        ({"test.py": UNIT}, "unittest", "python -m unittest test", "unittest in 1 test files"),
        ({"package.json": json.dumps({"scripts": {"test": "c8 node --test tests/"}}), "a.js": ""},
         "node --test", "node --test tests/", "scripts.test in package.json"),
        ({"package.json": json.dumps({"scripts": {"test": "npx mocha 'test/**'"}}), "a.js": ""},
         "mocha", "npm test --silent", "scripts.test in package.json"),
        ({"package.json": "{}", "a.test.js": "require('node:test')"},
         "node --test", "node --test a.test.js", "node:test in 1 files"),
        ({"pom.xml": "<project/>", "src/test/java/ATest.java": ""}, "maven", "mvn -q -o -B test", "pom.xml"),
        ({"build.gradle": "", "gradlew": "", "src/test/java/ATest.java": ""},
         "gradle", "./gradlew --offline --no-daemon -q test", "build.gradle"),
        ({"Makefile": "all: x\ntest: all\n\t./run\n", "a.c": ""}, "make", "make test", "the target test of Makefile"),
    ],
)  # fmt: skip
def test_the_command_is_taken_from(tmp_path: Path, files, runner: str, command: str, why: str) -> None:
    found = detect(written(tmp_path, files))
    assert (found.runner, found.command, found.why) == (runner, command, why)


def test_no_tests_are_no_tests(tmp_path: Path) -> None:
    written(
        tmp_path, {"a.py": "", "package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'}
    )
    with pytest.raises(Refusal, match="--test") as refused:
        detect(tmp_path)
    assert refused.value.standing is Standing.NO_TESTS


def test_what_tox_computes_is_told_and_not_guessed(tmp_path: Path) -> None:
    files = {"tox.ini": "[testenv]\ncommands = pytest {env:WHERE} -x\n", "tests/test_a.py": TEST}
    found = detect(written(tmp_path, files))
    assert found.command == "python -m pytest tests" and "not plain" in found.notes[0]


def test_of_several_projects_the_first_wins_unless_there_is_one_on_top(tmp_path: Path) -> None:
    inner = {
        "b/pyproject.toml": "",
        "b/tests/test_b.py": TEST,
        "a/package.json": "{}",
        "c d/setup.py": "",
        "c d/test_c.py": TEST,
    }
    found = detect(written(tmp_path, {"README": "", **inner}))
    assert found.folder == "" and found.command == "python -m pytest"  # one run takes them all in
    js = {"x y/package.json": '{"scripts": {"test": "jest"}}', "z/package.json": '{"scripts": {"test": "ava"}}'}
    (tmp_path / "js").mkdir()
    found = detect(written(tmp_path / "js", js))
    assert (found.folder, found.command) == ("x y", "npm --prefix 'x y' test --silent")
    assert "z" in found.notes[0]


def test_links_out_of_the_tree_are_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.toml"
    secret.write_text("[tool.pytest.ini_options]\n")
    root = written(tmp_path / "root", {"test_a.py": TEST})
    (root / "pyproject.toml").symlink_to(secret)
    assert detect(root).why == "the names of 1 test files"
    assert tree_of(root).text("pyproject.toml") == ""


def test_damaged_configurations_do_not_stop_it(tmp_path: Path) -> None:
    files = {"pyproject.toml": "[[[", "setup.cfg": "no section", "tox.ini": "[a\n", "package.json": "[]", "setup.py": "(",
             "noxfile.py": "def", "test_a.py": TEST}  # fmt: skip
    root = written(tmp_path, files)
    assert detect(root).command == "python -m pytest"
    assert declared(tree_of(root), pytest=True).wished == ("pytest",)


def needs(root: Path, files: dict[str, str]):
    return declared(tree_of(written(root, files)), pytest=True)


def test_declared_requirements_are_those_of_code_and_tests(tmp_path: Path) -> None:
    pyproject = """
[project]
name = "My.Own"
requires-python = ">=3.10"
dependencies = ["attrs>=20", "tomli; python_version < '3.11'"]
[project.optional-dependencies]
tests = ["my-own[extra]", "hypothesis"]
extra = ["rich"]
docs = ["sphinx"]
[dependency-groups]
test = [{include-group = "base"}, "ruff"]
base = ["freezegun"]
[tool.pytest.ini_options]
addopts = "-q --cov=x"
[build-system]
requires = ["hatchling"]
"""
    found = needs(tmp_path, {"pyproject.toml": pyproject, "requirements.txt": "unwanted\n"})
    assert (found.name, found.python, found.builds) == ("my-own", ">=3.10", ("hatchling",))
    assert found.needed == ("attrs>=20", 'tomli; python_version < "3.11"')
    assert found.wished == ("freezegun", "hypothesis", "pytest", "pytest-cov", "rich")


def test_older_ways_of_declaring_are_read_without_running_them(tmp_path: Path) -> None:
    setup = "import os\nos.system('touch ran')\nREQ = ['six>=1']\nsetup(name='old', install_requires=REQ, extras_require={'test': ['mock']})\n"
    found = needs(tmp_path, {
        "setup.py": setup, "tox.ini": "[testenv]\ndeps =\n  -r{toxinidir}/requirements-test.txt\n  py38: nose\n",
        "requirements-test.txt": "-r more.txt\n--index-url https://evil.example\n-e .\npytz==2020.1 --hash=sha256:0\n",
        "more.txt": "-r requirements-test.txt\nold\nsimplejson # why\n",
    })  # fmt: skip
    assert (found.name, found.needed, found.unknown) == ("old", ("six>=1",), False)
    assert found.wished == ("mock", "pytest", "pytz==2020.1", "simplejson")
    computed = needs(tmp_path, {"setup.py": "setup(install_requires=open('x').read())"})
    assert computed.unknown and not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("written_so", "means"),
    [("^1.2", ">=1.2,<2"), ("^0.3.1", ">=0.3.1,<0.4"), ("~1.4.2", ">=1.4.2,<1.5"), ("~2", ">=2,<3"), ("^0.0", ">=0.0,<0.1"),
     ("*", ""), ("1.2", "==1.2"), (">=1,<3", ">=1,<3")],
)  # fmt: skip
def test_ranges_of_poetry(written_so: str, means: str) -> None:
    assert poetry_range(written_so) == means


def test_what_an_installed_project_would_have_is_written(tmp_path: Path) -> None:
    pyproject = """
[project]
name = "my-own"
dynamic = ["version"]
scripts = {tool = "own:main"}
[tool.setuptools_scm]
version_file = "src/own/_version.py"
"""
    root = written(tmp_path, {"pyproject.toml": pyproject, "src/own/__init__.py": "import importlib.metadata\n"})
    tree = tree_of(root)
    notes = write_identity(tree, declared(tree, pytest=True), "1.2.3")
    assert "src/own/_version.py" in notes[0]
    scope: dict[str, object] = {}
    exec((root / "src/own/_version.py").read_text(), scope)  # our own text
    assert scope["__version__"] == "1.2.3" and scope["version_tuple"] == (1, 2, 3)
    metadata = root / "src" / "my_own-1.2.3.dist-info"
    assert "Name: my-own\nVersion: 1.2.3\n" in (metadata / "METADATA").read_text()
    assert (metadata / "entry_points.txt").read_text() == "[console_scripts]\ntool = own:main\n"
    assert write_identity(tree_of(root), declared(tree, pytest=True), "1.2.3") == ()  # what is there stays
