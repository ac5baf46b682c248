"""The text of a test, and the examples in docstrings that no patch may change."""

from __future__ import annotations

import pytest

from repair.edits import Edit, FilePatch, Span
from repair.oracles.testtext import keeps_examples, test_source

FILE = """import pytest


class TestSums:
    @pytest.mark.parametrize("n", [1])
    async def test_sum(self, n):
        assert n


def test_long():
""" + "".join(f"    assert {n}\n" for n in range(60))


@pytest.mark.parametrize(
    ("test_id", "begins"),
    [
        ("t/test_a.py::TestSums::test_sum[1::2]", "async def test_sum(self, n):\n    assert n"),
        ("t.test_a.TestSums.test_sum", "async def test_sum"),
        ("t/test_a.py::TestSums", "class TestSums:"),
        ("t/test_a.py", "import pytest"),
        ("import of t.test_a", "import pytest"),
        ("t/test_a.py::gone", ""),
        ("nowhere.py::test_a", ""),
        ("../outside.py", ""),
        ("the whole run", ""),
    ],
)
def test_sources_of_tests(tmp_path, test_id, begins):
    root = tmp_path / "root"
    (root / "t").mkdir(parents=True)
    (root / "t" / "test_a.py").write_text(FILE)
    (tmp_path / "outside.py").write_text("secret = 1\n")
    found = test_source(root, test_id)
    assert found.startswith(begins)
    assert bool(found) == bool(begins)


def test_long_tests_are_cut(tmp_path):
    (tmp_path / "test_a.py").write_text(FILE)
    lines = test_source(tmp_path, "test_a.py::test_long").split("\n")
    assert len(lines) == 41
    assert lines[-1] == "..."


DOCUMENTED = 'def f(n:\n    """Twice.\n\n    >>> f(2)\n    4\n    >>> f("x")\n    \'xx\'"""\n    return n + n\n'


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        ("n:", "n):", True),
        ("n + n", "2 * n", True),
        ("Twice", "Two times", True),
        ("    4\n", "    5\n", False),
        ("    >>> f(2)\n    4\n", "", False),
        (">>> f(2)", ">>> 4", False),
        ("'xx'", "'x'", False),
    ],
)
def test_examples_are_kept(old, new, kept):
    at = DOCUMENTED.index(old)
    patch = FilePatch("f.py", (Edit(Span(at, at + len(old)), new),))
    assert keeps_examples(DOCUMENTED, patch) is kept
