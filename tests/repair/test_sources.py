"""Sources: bytes in, the same bytes out; lines and offsets agree; what cannot be read is refused."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repair.edits import Span
from repair.errors import InputError
from repair.sources import MAX_SOURCE_BYTES, Source, language_of, read_source

TEXTS = st.lists(
    st.sampled_from(["a", "bc", "\n", "\r\n", "\r", "\u2028", "\x0c", "\x85", "\U0001f600", "é", " ", "#"]), max_size=25
).map("".join)


@given(TEXTS, st.booleans())
def test_bytes_come_back(text, bom):
    content = (b"\xef\xbb\xbf" if bom else b"") + text.encode()
    source = Source.from_bytes("a.py", content)
    assert source.to_bytes() == content
    assert source.bom is bom
    assert source.text == text


@given(TEXTS)
def test_lines_end_at_newlines_only_and_make_up_the_text(text):
    source = Source("a.py", text)
    spans = [source.line_span(n, terminator=True) for n in range(1, source.line_count + 1)]
    assert "".join(span.of(text) for span in spans) == text
    assert source.line_count == max(1, text.count("\n") + (not text.endswith("\n")))
    for number, line in enumerate(source.lines, 1):
        assert line == source.line(number)
        assert "\n" not in line
        span = source.line_span(number)
        assert text[span.end : spans[number - 1].end] in ("\n", "\r\n", "")


@given(TEXTS, st.data())
def test_positions_and_offsets_are_inverse(text, data):
    source = Source("a.py", text)
    offset = data.draw(st.integers(0, len(text)))
    line, column = source.position(offset)
    start = source.line_span(line).start
    assert start + column - 1 == offset
    inside = offset <= source.line_span(line).end
    assert source.offset(line, column) == (offset if inside else source.line_span(line).end)


@given(TEXTS, st.data())
def test_lines_of_a_span_are_those_it_touches(text, data):
    source = Source("a.py", text)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    first, last = source.lines_of(Span(start, end))
    whole = source.line_span(first, last, terminator=True)
    assert whole.start <= start
    assert end <= whole.end
    if end > start:
        assert first == 1 + text.count("\n", 0, start)
        assert last == 1 + text.count("\n", 0, end - 1)


@pytest.mark.parametrize(
    ("text", "newline"),
    [("", "\n"), ("a", "\n"), ("a\r\nb\n", "\r\n"), ("a\nb\r\n", "\n"), ("\n\r\n", "\n"), ("\r\n", "\r\n")],
)
def test_the_first_terminator_is_the_newline(text, newline):
    assert Source("a", text).newline == newline


def test_a_coding_comment_is_followed_and_kept():
    content = "# -*- coding: latin-1 -*-\nname = 'Zoë'\n".encode("latin-1")
    source = Source.from_bytes("a.py", content)
    assert source.encoding == "iso-8859-1"
    assert source.line(2) == "name = 'Zoë'"
    assert source.with_text(source.text.replace("ë", "é")).to_bytes() == content.replace(b"\xeb", b"\xe9")
    with pytest.raises(InputError, match="cannot be written as iso-8859-1"):
        source.with_text("# coding: latin-1\n'€'\n").to_bytes()


def test_a_coding_comment_means_nothing_in_another_language():
    content = b"// coding: latin-1\nvar a;\n"
    assert Source.from_bytes("a.js", content).encoding == "utf-8"
    assert Source.from_bytes("script", b"# coding: latin-1\n", language="python").encoding == "iso-8859-1"


@pytest.mark.parametrize("name", ["rot13", "hex", "idna", "punycode", "undefined", "utf-16", "unicode_escape", "nope"])
@pytest.mark.parametrize("rest", [b"x = 1\n", b"x = '\xc3\xa9'\n", b"..x\n"])
def test_odd_codings_are_read_or_refused_but_never_crash(name, rest):
    content = b"# coding: " + name.encode() + b"\n" + rest
    try:
        source = Source.from_bytes("a.py", content)
    except InputError:
        return
    assert source.to_bytes() == content


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a\0b", "binary"),
        (b"ok\nx = '\xe9'\n", "line 2 is not utf-8"),
        (b"x" * (MAX_SOURCE_BYTES + 1), "the limit is"),
        (b"# coding: shift_jis\nx = '\x80\x5c'\n", "a.py"),
    ],
)
def test_what_is_no_source_is_refused(content, says):
    with pytest.raises(InputError, match=says):
        Source.from_bytes("a.py", content)


def test_an_encoding_that_is_none_is_refused():
    for name in ("nope", "rot13", "a\0b"):
        with pytest.raises(InputError, match="no text encoding"):
            Source("a.py", "", encoding=name)


def test_lines_that_are_not_there_are_refused():
    source = Source("a.py", "a\nb\n")
    for first, last in ((0, 1), (1, 3), (2, 1)):
        with pytest.raises(InputError, match=f"no lines {first}-{last}"):
            source.line_span(first, last)
    with pytest.raises(InputError, match="outside"):
        source.position(5)


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("a.py", "python"),
        ("a/B.PY", "python"),
        ("a.test.js", "javascript"),
        ("a.tsx", "tsx"),
        ("A.java", "java"),
        ("Makefile", "text"),
    ],
)
def test_languages_by_ending(path, language):
    assert language_of(path) == language
    assert Source(path, "").language == language
    assert Source(path, "", "java").with_text("x").language == "java"


def test_read_source_reads_or_says_why_not(tmp_path):
    (tmp_path / "a.py").write_bytes(b"\xef\xbb\xbfx = 1\r\n")
    source = read_source(tmp_path, "a.py")
    assert (source.bom, source.newline, source.to_bytes()) == (True, "\r\n", b"\xef\xbb\xbfx = 1\r\n")
    (tmp_path / "dir").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "big").write_bytes(b"x" * (MAX_SOURCE_BYTES + 1))
    cases = {"dir": "directory", "pipe": "no regular file", "none.py": "no such file", "a\0b": "cannot be a path",
             "a.py/b": "Not a directory", "big": "the limit is"}  # fmt: skip
    for path, says in cases.items():
        with pytest.raises(InputError, match=says) as caught:
            read_source(tmp_path, path)
        assert caught.value.field == path
