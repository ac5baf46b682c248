"""Where the reference says that the fault is."""

import pytest

from eval.faults import changed_lines, function_rank, line_rank, size_of_change
from repair.sources import Source

TWO = "def one(a):\n    b = a + 1\n    return b\n\n\ndef two(a):\n    return a - 1\n\n\nLIMIT = 3\n"


@pytest.mark.parametrize(
    ("before", "after", "lines", "size"),
    [
        ("a\nb\nc\n", "a\nx\nc\n", (2,), 2),
        ("a\nc\n", "a\nb\nc\n", (2,), 1),  # a missing line is found where it goes
        ("a\nb\nc\n", "a\n", (2, 3), 2),
        ("a\n", "a\n", (), 0),
        ("a\nb\nc\nd\n", "x\nb\nc\ny\n", (1, 4), 4),
        ("a", "a\nb", (1,), 3 - 2),  # behind the last line: the last line itself
    ],
)
def test_changed_lines(before, after, lines, size):
    assert changed_lines(before, after) == lines
    assert size_of_change(before, after) == size


def test_line_rank_counts_from_one():
    assert line_rank([7, 2, 3], [3, 9]) == 3
    assert line_rank([7, 2], [3]) is None
    assert line_rank([], [3]) is None


@pytest.mark.parametrize(
    ("suspects", "faulty", "rank"),
    [
        ([7, 2], [7], 1),
        ([2, 3, 7], [7], 2),  # two lines of one function are one function
        ([2, 3, 10, 7], [7], 3),  # what stands outside of functions is one place, too
        ([3], [2], 1),
        ([2], [7], None),
    ],
)
def test_function_rank(suspects, faulty, rank):
    sources = {"a.py": Source("a.py", TWO, "python")}
    assert function_rank(sources, [("a.py", n) for n in suspects], [("a.py", n) for n in faulty]) == rank


def test_functions_of_one_name_in_two_files_are_two():
    sources = {name: Source(name, TWO, "python") for name in ("a.py", "b.py")}
    assert function_rank(sources, [("a.py", 2), ("b.py", 2)], [("b.py", 3)]) == 2
