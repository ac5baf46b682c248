"""Reproductions on small real projects, run in the real sandbox by real pytest."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from repair.projects.reproduce import Attempt, attempt, confirm, reproduce
from repair.projects.values import Order, Project
from repair.sandbox import Command, Execution, Limits, Sandbox, Zygote
from repair.sandboxes.select import find_sandbox

SHOP = """
    '''Prices.'''

    RATES = {"eu": 0.2}


    class Basket:
        def __init__(self, region, limit=10):
            self.region = region
            self.limit = limit
            self.items = []

        def add(self, price):
            self.items.append(price)

        def mean(self):
            return sum(self.items) / len(self.items)

        def tax(self, price):
            return rate_of(self.region) * price


    def rate_of(region):
        return RATES[region.strip()]


    def total(text, sep=","):
        return sum(_read(part) for part in text.split(sep))


    def _read(part):
        if part.startswith("x"):
            raise ValueError(f"no price: {part!r}")
        return float(part)


    def double(number):
        return number + number + 1
"""
LOTTERY = """
```python
import lottery
lottery.draw("pick")
```
Traceback (most recent call last):
  File "lottery.py", line 6, in draw
    raise RuntimeError("unlucky")
RuntimeError: unlucky
"""
QUICK = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest"  # our own environment has many slow ones
TESTS = """
    from shop import total


    def test_total():
        assert total("1,2") == 3
"""


@pytest.fixture(scope="session")
def sandbox() -> Sandbox:
    return find_sandbox()


def project_at(root: Path, files: dict[str, str], command: str = QUICK) -> Project:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(textwrap.dedent(text).lstrip("\n"))
    order = Order("shop", str(root))
    return Project(order, root, "0" * 40, "main", "python", command, "pytest", "given", Path(sys.executable))


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    return project_at(tmp_path, {"shop.py": SHOP, "tests/test_shop.py": TESTS})


def traceback_of(project: Project, script: str) -> str:
    """What Python prints for a script that stands outside of the project."""
    code = textwrap.dedent(script)
    path = project.root.parent / "scratch_of_reporter.py"
    path.write_text(code)
    env = {"PYTHONPATH": str(project.root), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, str(path)], capture_output=True, text=True, env=env, check=False).stderr


def test_snippet_of_a_report_becomes_a_small_test_that_a_patch_makes_pass(shop: Project, sandbox: Sandbox) -> None:
    report = textwrap.dedent("""
        ### Steps to reproduce
        ```python
        import os
        from shop import total, double
        unrelated = {"a": 1}
        print(double(2))
        prices = "1.5,x2,3"
        print(total(prices))
        ```
        It fails with
        ```
        Traceback (most recent call last):
          File "/home/me/bug.py", line 6, in <module>
            print(total(prices))
          File "/home/me/shop.py", line 25, in total
            return sum(_read(part) for part in text.split(sep))
          File "/home/me/shop.py", line 30, in _read
            raise ValueError(f"no price: {part!r}")
        ValueError: no price: 'x2'
        ```
        """)
    found = reproduce(shop, report, sandbox)
    assert found is not None
    assert found.path == "tests/test_emend_total_value_error.py"
    assert found.before == "ValueError: no price: 'x2'"
    assert found.text == textwrap.dedent('''\
        from shop import total


        def test_total_value_error():
            """ValueError: no price: 'x2'"""
            prices = "x2"
            total(prices)
        ''')
    fixed = SHOP.replace('raise ValueError(f"no price: {part!r}")', "return 0.0")
    patch = {"shop.py": textwrap.dedent(fixed).encode()}
    assert confirm(shop, found, patch, sandbox).passes is True
    assert confirm(shop, found, {}, sandbox).passes is False


def test_session_is_run_up_to_its_failing_line(shop: Project, sandbox: Sandbox) -> None:
    report = """
        >>> from shop import Basket
        >>> basket = Basket("eu")
        >>> basket.tax(10)
        2.0
        >>> basket.mean()
        Traceback (most recent call last):
          File "<stdin>", line 1, in <module>
          File "shop.py", line 17, in mean
            return sum(self.items) / len(self.items)
        ZeroDivisionError: division by zero
        """
    found = reproduce(shop, textwrap.dedent(report), sandbox)
    assert found is not None
    assert "basket.mean()" in found.text
    assert "tax" not in found.text
    assert found.before == "ZeroDivisionError: division by zero"


def test_traceback_alone_through_a_script_that_is_gone(shop: Project, sandbox: Sandbox) -> None:
    report = traceback_of(shop, 'from shop import total\nif True:\n    total("4;x9", sep=";")\n')
    found = attempt(shop, report, sandbox)
    assert found.origin == "a line of the traceback"
    assert found.reproduction is not None
    assert found.reproduction.before == "ValueError: no price: 'x9'"


def test_key_of_a_key_error_deep_in_a_library_is_used(shop: Project, sandbox: Sandbox) -> None:
    script = """
        from shop import Basket
        def run(region):
            basket = Basket(region)
            return [basket.tax(p) for p in (1, 2)]
        region = "".join(["o", "z"])
        run(region)
        """
    found = reproduce(shop, traceback_of(shop, script), sandbox)
    assert found is not None
    assert found.before == "KeyError: 'oz'"
    assert '"oz"' in found.text


def test_method_gets_an_instance_and_printed_locals_are_used(shop: Project, sandbox: Sandbox) -> None:
    report = """
        Traceback (most recent call last):
          File "/srv/app/shop.py", line 20, in tax
            return rate_of(self.region) * price
          File "/srv/app/shop.py", line 24, in rate_of
            return RATES[region.strip()]
        AttributeError: 'NoneType' object has no attribute 'strip'

        price      = 12
        region     = None
        """
    found = reproduce(shop, textwrap.dedent(report), sandbox)
    assert found is not None
    assert "None" in found.text
    assert found.before == "AttributeError: 'NoneType' object has no attribute 'strip'"


def test_expected_result_becomes_an_equality(shop: Project, sandbox: Sandbox) -> None:
    found = reproduce(shop, "Wrong sum!\n\n>>> from shop import double\n>>> double(2)\n5\n\nExpected: 4\n", sandbox)
    assert found is not None
    assert "assert double(2) == 4" in found.text
    patch = {"shop.py": textwrap.dedent(SHOP).replace("number + number + 1", "number + number").encode()}
    assert confirm(shop, found, patch, sandbox).passes is True


def test_the_repositorys_own_failing_test_is_taken(tmp_path: Path, sandbox: Sandbox) -> None:
    files = {
        "shop.py": SHOP,
        "tests/test_rates.py": "from shop import rate_of\n\ndef test_rate():\n    rate_of('uk')\n",
    }
    project = project_at(tmp_path, files)
    report = """
        Traceback (most recent call last):
          File "/ci/build/tests/test_rates.py", line 4, in test_rate
            rate_of('uk')
          File "/ci/build/shop.py", line 24, in rate_of
            return RATES[region.strip()]
        KeyError: 'uk'
        """
    found = reproduce(project, textwrap.dedent(report), sandbox)
    assert found is not None
    assert (found.path, found.test) == ("tests/test_rates.py", "tests/test_rates.py::test_rate")
    patch = {"shop.py": textwrap.dedent(SHOP).replace('"eu": 0.2', '"eu": 0.2, "uk": 0.1').encode()}
    assert confirm(project, found, patch, sandbox).passes is True


def test_failure_that_only_our_own_runs_see_is_refused(tmp_path: Path, sandbox: Sandbox) -> None:
    lottery = """
        import os


        def draw(name):
            if name == "pick" and "PYTEST_CURRENT_TEST" not in os.environ:
                raise RuntimeError("unlucky")
            return name
        """
    project = project_at(tmp_path, {"lottery.py": lottery, "tests/test_it.py": "def test_it():\n    pass\n"})
    found = attempt(project, LOTTERY, sandbox)
    assert found.reproduction is None
    assert "does not fail with it alike" in found.reason


class Lucky:
    """A sandbox in which the second run of the project's tests finds a file: it stands for chance."""

    def __init__(self, real: Sandbox) -> None:
        self._real, self.tier, self.test_runs = real, real.tier, 0

    def run(self, command: Command) -> Execution:
        return self._real.run(command)

    @contextmanager
    def zygote(self, command: Command, *, preload: tuple[str, ...]) -> Iterator[LuckyZygote]:
        with self._real.zygote(command, preload=preload) as zygote:
            yield LuckyZygote(self, zygote)


@dataclass
class LuckyZygote:
    owner: Lucky
    zygote: Zygote

    def run(self, files: Mapping[str, bytes], argv: tuple[str, ...], limits: Limits) -> Execution:
        self.owner.test_runs += 1
        laid = {**files, "lucky": b""} if self.owner.test_runs == 2 else files
        return self.zygote.run(laid, argv, limits)


def test_flaky_failure_is_refused(tmp_path: Path, sandbox: Sandbox) -> None:
    lottery = """
        from pathlib import Path


        def draw(name):
            if name == "pick" and not Path("lucky").exists():
                raise RuntimeError("unlucky")
            return name
        """
    project = project_at(tmp_path, {"lottery.py": lottery, "tests/test_it.py": "def test_it():\n    pass\n"})
    lucky = Lucky(sandbox)
    found = attempt(project, LOTTERY, lucky)
    assert found.reproduction is None
    assert "runs only" in found.reason
    assert lucky.test_runs == 2


def test_what_does_not_reproduce_says_why(shop: Project, sandbox: Sandbox) -> None:
    report = 'File "shop.py", line 34, in double\n    return number + number + 1\nMemoryError: out of memory\n'
    found = attempt(shop, report, sandbox)
    assert found.reproduction is None
    assert "MemoryError in double of shop.py" in found.reason
    assert attempt(shop, "it is slow", sandbox) == Attempt(
        None, "the report holds no error and no expected result that could be read"
    )


def test_another_error_of_the_same_type_is_not_taken(shop: Project, sandbox: Sandbox) -> None:
    """`float("abc")` raises ValueError too, in the same function but on another line."""
    report = """
        ```python
        from shop import total
        total("abc")
        ```
          File "shop.py", line 30, in _read
            raise ValueError(f"no price: {part!r}")
        ValueError: no price: 'x1'
        """
    found = attempt(shop, textwrap.dedent(report), sandbox)
    assert found.reproduction is not None
    assert "abc" not in found.reproduction.text
    assert found.reproduction.before.startswith("ValueError: no price")


def test_hostile_report_runs_in_the_sandbox_only(shop: Project, sandbox: Sandbox, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-precious"
    outside.write_text("kept")
    report = f"""
        ```python
        import os, shutil
        from pathlib import Path
        from shop import rate_of
        shutil.rmtree({str(tmp_path)!r}, ignore_errors=True)
        shutil.rmtree(".", ignore_errors=True)
        os.system("rm -rf {outside}")
        Path({str(outside)!r}).write_text("taken")
        rate_of("mars")
        ```
        File "shop.py", line 24, in rate_of
            return RATES[region.strip()]
        KeyError: 'mars'
        """
    before = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}
    found = reproduce(shop, textwrap.dedent(report), sandbox)
    assert {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()} == before
    assert outside.read_text() == "kept"
    assert found is not None
    assert "rmtree" not in found.text


def test_unittest_is_the_style_where_the_project_uses_it(tmp_path: Path, sandbox: Sandbox) -> None:
    tests = "import unittest\n\n\nclass TestIt(unittest.TestCase):\n    def test_it(self):\n        pass\n"
    project = project_at(tmp_path, {"shop.py": SHOP, "test_shop.py": tests}, "python -m unittest")
    report = "File \"shop.py\", line 24, in rate_of\n    return RATES[region.strip()]\nKeyError: 'nowhere'\n"
    found = reproduce(project, report, sandbox)
    assert found is not None
    assert found.path == "test_emend_rate_of_key_error.py"
    assert "class TestRateOfKeyError(unittest.TestCase):" in found.text
    assert confirm(project, found, {}, sandbox).passes is False


def test_script_and_import_of_the_repository(tmp_path: Path, sandbox: Sandbox) -> None:
    files = {
        "pkg/__init__.py": "",
        "pkg/broken.py": "LIMIT = int('many')\n",
        "tests/test_a.py": "def test_a():\n    pass\n",
    }
    project = project_at(tmp_path, files)
    report = """
        Traceback (most recent call last):
          File "pkg/broken.py", line 1, in <module>
            LIMIT = int('many')
        ValueError: invalid literal for int() with base 10: 'many'
        """
    report = textwrap.dedent(report)
    found = reproduce(project, report, sandbox)
    assert found is not None
    assert "    import pkg.broken" in found.text
    assert confirm(project, found, {"pkg/broken.py": b"LIMIT = 3\n"}, sandbox).passes is True
