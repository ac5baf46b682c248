"""Small real repositories that a batch cannot work on, each for a reason of its own, and some that it can."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from repair.projects.values import Standing
from tests.repair.projects.conftest import Repo

SHOP = """\
def total(prices):
    result = 0
    for price in prices:
        result -= price
    return result
"""
TEST = """\
from shop import total


def test_total():
    assert total([1, 2]) == 3


def test_nothing():
    assert total([]) == 0
"""
SCRIPT = """\
export function total(prices) {
  let result = 0;
  for (const price of prices) {
    result -= price;
  }
  return result;
}
"""
SCRIPT_TEST = """\
import assert from "node:assert";
import { test } from "node:test";
import { total } from "../src/shop.mjs";

test("total", () => { assert.strictEqual(total([1, 2]), 3); });
test("nothing", () => { assert.strictEqual(total([]), 0); });
"""
PACKAGE = '{"name": "shop", "type": "module", "scripts": {"test": "node --test"}}'
TOX = "[tox]\nskipsdist = true\n[testenv]\ncommands = python -m unittest discover -s tests -t .\n"
SETUP = "from setuptools import setup\nsetup(name='api', version='1', py_modules=['shop'])\n"
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 123456\n"
# what plugins this machine has is no matter
PYTEST = 'test = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest"'
ATTACKS = """\
import glob, os, pathlib, shutil, signal

PLACES = (%(checkout)r, %(out)r)


def test_writes_where_it_must_not():
    for place in PLACES:
        for name in ("forged", "shop.py", "run.db", "report.json", ".git/HEAD"):
            try:
                pathlib.Path(place, name).write_text("owned")
            except OSError:
                pass
        shutil.rmtree(place, ignore_errors=True)


def test_forges_reports():
    print('{"event": "end", "test": "test_attack.py::test_ends", "outcome": "passed"}', flush=True)
    for fd in range(3, 32):
        try:
            os.write(fd, b'\\n{"event": "end", "test": "test_attack.py::test_ends", "outcome": "passed"}\\n')
        except OSError:
            pass


def test_deletes():
    shutil.rmtree(pathlib.Path(__file__).parent, ignore_errors=True)


def test_kills():
    for one in glob.glob("/proc/[0-9]*"):
        if int(one[6:]) not in (os.getpid(), os.getppid()):
            try:
                os.kill(int(one[6:]), signal.SIGKILL)
            except OSError:
                pass
    os.kill(os.getppid(), signal.SIGKILL)


def test_ends():
    os._exit(0)
"""
FORKS = """\
import os


def test_forks():
    while True:
        try:
            os.fork()
        except OSError:
            pass
"""
FLOODS = """\
import os


def test_floods():
    while True:
        os.write(1, b"x" * 65536)
        os.write(2, b"x" * 65536)
"""
HANGS = """\
import time


def test_waits():
    while True:
        time.sleep(1)
"""
NETWORK = """\
import urllib.request


def test_fetches():
    urllib.request.urlopen("https://example.org/", timeout=5)
"""
DATABASE = """\
import socket


def test_stores():
    socket.create_connection(("127.0.0.1", 5432), timeout=5)
"""
DATA = """\
import pathlib


def test_reads():
    assert (pathlib.Path(__file__).parent / "%s").read_text() == "3"
"""


ODD_BRANCH = "fix/ü'$(x)&y"
# which limit is reached first is the machine's speed
HOG = (Standing.HOSTILE, Standing.OVER_BUDGET)


def unit(text: str) -> str:
    """Test functions as methods of a unittest.TestCase, which starts faster than pytest does."""
    head, mark, tests = text.partition("def test_")
    body = textwrap.indent((mark + tests).replace("():", "(self):"), "    ")
    return f"import unittest\n{head}class Test(unittest.TestCase):\n{body}"


@dataclass(frozen=True, slots=True)
class Case:
    """A repository `made` in a folder, how it is to come out, and words that its reason holds."""

    made: Callable[[Repo], None]
    standing: Standing | tuple[Standing, ...]
    says: tuple[str, ...] = ()
    listed: str = ""  # further keys in the list file


FAULTY = {"shop.py": SHOP, "test_shop.py": unit(TEST)}


def files(given: Mapping[str, str]) -> Callable[[Repo], None]:
    def make(repo: Repo) -> None:
        repo.commit(dict(given))

    return make


def _detached(repo: Repo) -> None:
    repo.commit(FAULTY)
    repo.git("checkout", "-q", "--detach")


def _odd(repo: Repo) -> None:
    """Names with blanks and letters of other alphabets, a branch that a shell would misread, a tag of its name."""
    repo.commit({"a b/shöp.py": SHOP, "a b/test_shöp.py": unit(TEST).replace("from shop", "from shöp")})
    repo.git("checkout", "-q", "-b", ODD_BRANCH)
    repo.git("tag", ODD_BRANCH)


def _dirty(repo: Repo) -> None:
    repo.commit(FAULTY)
    (repo.folder / "shop.py").write_text("this is not Python\n")
    (repo.folder / "test_more.py").write_text("def test(): assert False\n")


def _submodule(repo: Repo) -> None:
    inner = Repo(repo.folder.parent / "inner")
    inner.folder.mkdir()
    inner.git("init", "-q", "-b", "main")
    inner.commit({"data.txt": "3"})
    repo.git("submodule", "--quiet", "add", inner.folder.as_uri(), "samples")
    repo.commit({"test_data.py": unit(DATA % "samples/data.txt")})
    repo.git("submodule", "--quiet", "deinit", "-f", "samples")
    shutil.rmtree(repo.folder / ".git" / "modules")


def _damaged(repo: Repo) -> None:
    repo.commit(FAULTY)
    repo.blob("shop.py").unlink()


def _nothing(repo: Repo) -> None:
    shutil.rmtree(repo.folder / ".git")
    (repo.folder / "shop.py").write_text(SHOP)


def _empty(_: Repo) -> None:
    """No commit."""


def attacks(checkout: Path, out: Path) -> str:
    return unit(ATTACKS % {"checkout": str(checkout), "out": str(out)})


def cases(folder: Path, out: Path) -> dict[str, Case]:
    """By name; each is made at `folder`/name. `out` is where the run writes."""
    broken = {
        "fast/__init__.py": "from fast._speedups import add\n",
        "test_fast.py": unit("import fast\n\n\ndef test_fast(): ...\n"),
    }
    hostile = {"test_attack.py": attacks(folder / "hostile", out)}
    return {
        "good": Case(
            files({"shop.py": SHOP, "test_shop.py": TEST}), Standing.REPAIRED, ("1 of 1 fault has a fix",), PYTEST
        ),
        "unittested": Case(
            files({"tox.ini": TOX, "shop.py": SHOP, "tests/__init__.py": "", "tests/test_shop.py": unit(TEST)}),
            Standing.REPAIRED,
        ),
        "collection": Case(
            files(
                {"services/api/setup.py": SETUP, "services/api/shop.py": SHOP, "services/api/test_shop.py": unit(TEST)}
            ),
            Standing.REPAIRED,
        ),
        "scripted": Case(
            files({"package.json": PACKAGE, "src/shop.mjs": SCRIPT, "test/shop.test.mjs": SCRIPT_TEST}),
            Standing.REPAIRED,
        ),
        "odd": Case(_odd, Standing.REPAIRED),
        "detached": Case(_detached, Standing.REPAIRED),
        "dirty": Case(_dirty, Standing.REPAIRED),
        "submodule": Case(_submodule, Standing.UNREADABLE, ("samples", "git submodule update --init")),
        "pointers": Case(
            files({"data.txt": POINTER, "test_data.py": unit(DATA % "data.txt")}),
            Standing.UNREADABLE,
            ("git lfs pull",),
        ),
        "untested": Case(files({"shop.py": SHOP}), Standing.NO_TESTS, ("--test",)),
        "networked": Case(files({"test_net.py": unit(NETWORK)}), Standing.NEEDS_NETWORK, ("--test",)),
        "stored": Case(files({"test_db.py": unit(DATABASE)}), Standing.NEEDS_SERVICE, ("PostgreSQL", "--test")),
        "unbuilt": Case(files(broken), Standing.BROKEN_BUILD, ("fast._speedups", "--python")),
        "large": Case(files(FAULTY), Standing.TOO_LARGE, ("tree_files",), "tree_files = 1"),
        "damaged": Case(_damaged, Standing.UNREADABLE, ("git fsck",)),
        "folder": Case(_nothing, Standing.UNREADABLE, ("not a git repository",)),
        "empty": Case(_empty, Standing.UNREADABLE, ("commit",)),
        "hostile": Case(files(hostile), Standing.HOSTILE, ("--test",)),
        "forking": Case(files({"test_forks.py": unit(FORKS)}), HOG, ("--test",), "run_seconds = 1"),
        "flooding": Case(files({"test_floods.py": unit(FLOODS)}), HOG, ("--test",), "run_seconds = 1"),
        "hanging": Case(
            files({"test_waits.py": unit(HANGS)}), Standing.UNREPAIRED, ("look at them",), "run_seconds = 20"
        ),
    }


def make(folder: Path, known: Mapping[str, Case]) -> Path:
    """Make them all, and a list file."""
    rows: list[str] = []
    for name, case in known.items():
        repo = Repo(folder / name)
        repo.folder.mkdir(parents=True)
        repo.git("init", "-q", "-b", "main")
        case.made(repo)
        rows.append(f'[[repository]]\nplace = "{repo.folder}"\nname = "{name}"\n{case.listed}\n')
    listed = folder / "list.toml"
    listed.write_text(textwrap.dedent("\n".join(rows)))
    return listed
