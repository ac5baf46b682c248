from repair.sources import Source
from repair.windows import MAX_LINES, OVERLAP, Clues, views

CODE = '''\
import os
from sys import path

LIMIT = 3


class Shelf(list):
    """Books."""

    size = 4

    def add(self, book):
        def inner():
            return book

        self.append(inner())
        return self


def count(shelf):
    return len(shelf) + LIMIT
'''


def test_each_outermost_function_is_one_view():
    cut = views(Source("shelf.py", CODE), Clues())
    starts = {v.lines[0].strip() for v in cut}
    assert "def add(self, book):" in starts
    assert "def count(shelf):" in starts
    assert not any(s.startswith("def inner") for s in starts)


def test_every_statement_line_is_shown_once():
    cut = views(Source("shelf.py", CODE), Clues())
    shown = [n for v in cut for n in range(v.first_line, v.last_line + 1)]
    assert len(shown) == len(set(shown))
    lines = CODE.split("\n")
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.strip().startswith('"""'):
            assert number in shown, line


def test_lines_of_a_view_are_those_of_the_file():
    source = Source("shelf.py", CODE.replace("\n", "\r\n"))
    for view in views(source, Clues()):
        for number, line in enumerate(view.lines, view.first_line):
            assert line == CODE.split("\n")[number - 1]


def test_a_view_has_imports_class_and_siblings_as_context():
    cut = views(Source("shelf.py", CODE), Clues())
    (method,) = [v for v in cut if v.lines[0].strip().startswith("def add")]
    context = "\n".join(method.context)
    assert "import os" in context
    assert "class Shelf(list)" in context
    assert "def count(shelf)" in context


def test_frames_outside_of_the_view_are_left_out():
    cut = views(Source("shelf.py", CODE), Clues(error="ValueError: x", frames=(21, 16)))
    (count,) = [v for v in cut if v.lines[0].startswith("def count")]
    assert count.frames == (21,)
    assert count.error == "ValueError: x"


def test_text_that_does_not_parse_is_cut_by_length():
    text = "def broken(:\n" + "    x = 1\n" * (2 * MAX_LINES)
    source = Source("broken.py", text)
    cut = views(source, Clues())
    assert [v.first_line for v in cut] == [1, 1 + MAX_LINES - OVERLAP, 1 + 2 * (MAX_LINES - OVERLAP)]
    assert cut[-1].last_line == source.line_count
    assert all(len(v.lines) <= MAX_LINES for v in cut)


def test_a_long_function_is_cut_into_overlapping_windows():
    text = "def long():\n" + "    x = 1\n" * 450
    cut = views(Source("long.py", text), Clues())
    assert all(len(v.lines) <= MAX_LINES for v in cut)
    assert {n for v in cut for n in range(v.first_line, v.last_line + 1)} == set(range(1, 452))


def test_an_unknown_language_has_views_too():
    cut = views(Source("notes.txt", "a\nb\n"), Clues())
    assert [v.lines for v in cut] == [("a", "b")]
