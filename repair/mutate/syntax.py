"""Repairs of text that does not parse: made line by line without a tree, offered only when the text then parses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from repair.edits import Edit, Span
from repair.languages import Language, ParseError, language, parses
from repair.mutate.mutation import Mutation
from repair.mutate.vocabulary import Vocabulary, vocabulary
from repair.sources import Source

Line = tuple[int, str]  # offset of the line, its text without terminator
Found = tuple[str, int, int, str]  # operator, start, end (offsets in the line), text

_PAIRS = {"(": ")", "[": "]", "{": "}"}
_WORD = re.compile(r"[A-Za-z_]+")
_AFTER_INDENTATION = 2
_WEIGHTS = {"comment-out": 1.0, "drop-quote": 5.0, "drop-bracket": 8.0, "add-operator": 5.0, "drop-mark": 8.0}
_MOST_CHAINED = 40_000  # characters of a text in which repairs of several errors are searched


def _mutation(line: Line, found: Found) -> Mutation:
    name, start, end, text = found
    return Mutation(name, "syntax", Edit(Span(line[0] + start, line[0] + end), text), _WEIGHTS.get(name, 20))


def _missing_colon(text: str, words: Vocabulary, table: Language) -> Iterator[Found]:
    code = text.split("#", maxsplit=1)[0].rstrip() if table.layout else ""
    first = _WORD.match(code.lstrip())
    if table.layout and first and first.group() in words.openers and not code.endswith(":"):
        yield "add-colon", len(code), len(code), ":"
        if code.endswith((";", ",", ".", "{")):
            yield "add-colon", len(code) - 1, len(code), ":"
        if code.endswith(("(", "=")):
            yield "add-colon", len(code) - 1, len(code), ":"
    elif table.layout and code.endswith(":"):
        yield "drop-colon", len(code) - 1, len(code), ""


def _brackets(text: str) -> Iterator[Found]:
    """Put the missing bracket at each place where one may end or begin, take away each one."""
    end = len(text.rstrip())
    stop = end - 1 if text[:end].endswith((":", ";", ",")) else end
    depth = _open_brackets(text)
    if len(depth) > 1:
        yield "add-bracket", stop, stop, "".join(reversed(depth))
    for closing in dict.fromkeys((*reversed(depth), ")", "]", "}")):
        places = dict.fromkeys((stop, end, *(m.end() for m in re.finditer(r"[\w)\]}'\"]+(?=[\W]|$)", text))))
        for at in places:
            yield "add-bracket", at, at, closing
    for at, character in enumerate(text):
        if character in "()[]{}":
            yield "drop-bracket", at, at + 1, ""
            for other in _PAIRS if character in _PAIRS else _PAIRS.values():
                if other != character:
                    yield "other-bracket", at, at + 1, other
    for match in re.finditer(r"(?<=[\w\s=(,\[{])(?=[\w'\"(\[])|^\s*(?=\w)", text):
        for opening in _PAIRS:
            yield "add-bracket", match.end(), match.end(), opening


def _open_brackets(text: str) -> list[str]:
    expected: list[str] = []
    for character in text:
        if character in _PAIRS:
            expected.append(_PAIRS[character])
        elif expected and character == expected[-1]:
            expected.pop()
    return expected


def _quotes(text: str) -> Iterator[Found]:
    for quote in ('"', "'"):
        if text.count(quote) % 2 == 1 or ('"' not in text and "'" not in text):
            for match in re.finditer(r"(?=\W|$)|(?<=\W)(?=\w)|^(?=\w)", text):
                yield "add-quote", match.start(), match.start(), quote
    for at, character in enumerate(text):
        if character in "\"'":
            yield "drop-quote", at, at + 1, ""
            yield "other-quote", at, at + 1, "'" if character == '"' else '"'


def _commas(text: str) -> Iterator[Found]:
    for match in re.finditer(r"(?<=[\w)\]}'\"])\s+(?=[\w(\[{'\"-])", text):
        yield "add-comma", match.start(), match.start(), ","
    end = len(text.rstrip())
    if end:
        yield "add-comma", end, end, ","
    for at, character in enumerate(text):
        if character in ",.;:":
            yield "drop-mark", at, at + 1, ""
    for match in re.finditer(r"(?<=[\w)\]])\s+(?=[\w(\[])", text):
        for sign in ("=", "+", "-", "*", "in", "==", "and", "."):
            yield "add-operator", match.start(), match.end(), f" {sign} "


def _operators(text: str, table: Language) -> Iterator[Found]:
    for sign in ("==", "!=", "<", ">", "<=", ">="):
        for match in re.finditer(r"(?<![=!<>+\-*/%&|^:])=(?!=)", text):
            yield "equal-for-assign", match.start(), match.end(), sign
    swaps = (("===", "=="), ("!==", "!="), ("&&", "and"), ("||", "or"), ("=<", "<="), ("=>", ">="), ("<>", "!="),
             ("=!", "!="), ("++", " += 1"), ("--", " -= 1"), ("= =", "=="), ("< =", "<="), ("> =", ">="),
             ("! =", "!="), ("+ =", "+="), ("- =", "-="), ("==", "="), ("->", "."), ("::", ":"), ("else if", "elif"),
             ("elif", "else if"), ("and", "&&"), ("or", "||"),
             ("null", "None"), ("true", "True"), ("false", "False"), ("!", "not "))  # fmt: skip
    known = table.keywords | table.comparisons | table.arithmetic | {*table.conjunctions, "=", ".", ":", "+=", "-="}
    for wrong, right in swaps:
        if right.split()[0] in known:
            yield from _spelt(text, wrong, right)


def _spelt(text: str, wrong: str, right: str) -> Iterator[Found]:
    if wrong in text:
        for match in re.finditer(re.escape(wrong), text):
            yield "operator-spelling", match.start(), match.end(), right


def _near(word: str, other: str) -> bool:
    """Whether two words are one typing error apart (insertion, deletion, exchange, transposition)."""
    if abs(len(word) - len(other)) > 1 or word == other:
        return False
    same = next((n for n, (a, b) in enumerate(zip(word, other, strict=False)) if a != b), min(len(word), len(other)))
    one, two = word[same:], other[same:]
    return one[1:] == two[1:] or one[1:] == two or one == two[1:] or (one[1:2] + one[:1] + one[2:]) == two


def _spelling(text: str, table: Language) -> Iterator[Found]:
    for match in _WORD.finditer(text):
        for keyword in sorted(table.keywords):
            if len(keyword) > 1 and match.group() not in table.keywords and _near(match.group(), keyword):
                yield "keyword-spelling", match.start(), match.end(), keyword
    first = re.match(r"\s*([A-Za-z_]+)\s", text)
    if first and table.layout:
        for wrong, right in (
            ("function", "def"),
            ("func", "def"),
            ("fn", "def"),
            ("define", "def"),
            ("elseif", "elif"),
        ):
            if first.group(1) == wrong:
                yield "keyword-spelling", first.start(1), first.end(1), right


def _indentation(source: Source, number: int, text: str, table: Language) -> Iterator[Found]:
    if not table.layout or not text.strip():
        return
    own = _lead(text)
    near = [source.line(n) for n in range(max(1, number - 6), min(source.line_count, number + 3) + 1) if n != number]
    levels = dict.fromkeys(_lead(line) for line in near if line.strip())
    before = next((line for line in reversed(near[: number - 1]) if line.strip()), "")
    if before.rstrip().endswith(":"):
        levels = {_lead(before) + "    ": None, **levels}
    for level in (*levels, own + "    ", own[:-4], own + " ", own[:-1]):
        if level != own:
            yield "line-indentation", 0, len(own), level


def _comments(text: str, table: Language) -> Iterator[Found]:
    """Comment marks of another language: replaced by our own, or taken away with or without the text behind."""
    for mark in ("//", "#", "--", "/*", "*/", "<!--"):
        at = text.find(mark)
        if at >= 0 and mark != table.comment:
            yield "comment-mark", at, at + len(mark), table.comment
            yield "comment-mark", at, at + len(mark), ""
            yield "comment-out", at, len(text), ""
    if text.strip():
        start = len(text) - len(text.lstrip())
        yield "comment-out", start, start, f"{table.comment} "


def _blocks(source: Source, number: int, table: Language) -> Iterator[Mutation]:
    """A line and the following ones that are at least as deep, moved by a level or to that of the line before."""
    own = _lead(source.line(number))
    if not table.layout or not source.line(number).strip():
        return
    last = number
    while last < source.line_count and (
        not source.line(last + 1).strip() or len(_lead(source.line(last + 1))) >= len(own)
    ):
        last += 1
    before = next((source.line(n) for n in range(number - 1, 0, -1) if source.line(n).strip()), "")
    deeper = _lead(before) + "    " if before.rstrip().endswith(":") else _lead(before)
    for level in dict.fromkeys((deeper, own + "    ", own[:-4], _lead(before))):
        if level != own and last > number:
            lines = (source.line(n) for n in range(number, last + 1))
            moved = source.newline.join(level + line[len(own) :] if line.strip() else line for line in lines)
            yield Mutation("block-indentation", "syntax", Edit(source.line_span(number, last), moved), 15)


def _lead(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _terminators(text: str, table: Language) -> Iterator[Found]:
    end = len(text.rstrip())
    if table.terminator and end and not text[:end].endswith((";", "{", "}", ",")):
        yield "add-terminator", end, end, table.terminator
    elif not table.terminator and text[:end].endswith(";"):
        yield "drop-mark", end - 1, end, ""


def _line_repairs(source: Source, number: int) -> Iterator[Mutation]:
    table, words = language(source.language), vocabulary(source.language)
    text = source.line(number)
    line = (source.line_span(number).start, text)
    makers: tuple[Callable[[], Iterator[Found]], ...] = (
        lambda: _missing_colon(text, words, table),
        lambda: _terminators(text, table),
        lambda: _indentation(source, number, text, table),
        lambda: _spelling(text, table),
        lambda: _brackets(text),
        lambda: _operators(text, table),
        lambda: _comments(text, table),
        lambda: _quotes(text),
        lambda: _commas(text),
    )
    for order, make in enumerate(makers):
        for found in make():
            yield _mutation(line, found)
        if order == _AFTER_INDENTATION:
            yield from _blocks(source, number, table)


def _near_lines(source: Source, line: int, lines: frozenset[int] | None) -> list[int]:
    count = source.line_count
    centre = min(max(line, 1), count)
    around = sorted(range(1, count + 1), key=lambda n: (abs(n - centre), n > centre))[:40]
    return [n for n in around if lines is None or n in lines]


def _edited(source: Source, edit: Edit) -> Source:
    return source.with_text(source.text[: edit.span.start] + edit.text + source.text[edit.span.end :])


def syntax_repairs(source: Source, lines: frozenset[int] | None = None) -> Iterator[Mutation]:
    """Repairs of a text that does not parse, the lines nearest to the parser's complaint first; else nothing.

    Every one parses. Last come repairs of two or three errors on different lines, as one edit that spans them.
    """
    error = parses(source)
    if error is None:
        return
    for number in _near_lines(source, error.line, lines):
        found = _line_repairs(source, number)
        yield from (m for m in found if parses(_edited(source, m.edit)) is None)
    if len(source.text) <= _MOST_CHAINED:
        yield from _chained(source, source, error, lines, 3)


def _chained(
    first: Source, source: Source, error: ParseError, lines: frozenset[int] | None, depth: int
) -> Iterator[Mutation]:
    """Repair the first complaint in the ways after which the parser gets furthest, then the next one."""
    further: list[tuple[int, int, Source, ParseError]] = []
    for number in _near_lines(source, error.line, lines)[:3]:
        for order, mutation in enumerate(_line_repairs(source, number)):
            text = _edited(source, mutation.edit)
            left = parses(text)
            if left is None and depth < 3:
                yield Mutation("several-errors", "syntax", _difference(first.text, text.text), 10)
            elif left is not None and left.line not in {error.line, number}:
                # not "further down": Python complains of an open bracket before it reads the lines in front of it
                further.append((-left.line, order, text, left))
    further.sort(key=lambda f: f[:2])
    for _, _, text, left in further[:depth] if depth > 1 else ():
        yield from _chained(first, text, left, lines, depth - 1)


def _difference(old: str, new: str) -> Edit:
    """The one edit between two texts."""
    start = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    room = min(len(old), len(new)) - start
    end = next((n for n in range(room) if old[-1 - n] != new[-1 - n]), room)
    return Edit(Span(start, len(old) - end), new[start : len(new) - end])
