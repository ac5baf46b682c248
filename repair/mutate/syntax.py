"""Syntax errors: making them and repairing text that does not parse, line by line without a tree."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from repair.edits import Edit, Span
from repair.languages import Language, Node, language, parses
from repair.mutate.context import Context
from repair.mutate.mutation import Change, Mutation
from repair.mutate.vocabulary import Vocabulary, vocabulary
from repair.sources import Source

Line = tuple[int, str]  # offset of the line, its text without terminator
Found = tuple[str, int, int, str]  # operator, start, end (offsets in the line), text

_PAIRS = {"(": ")", "[": "]", "{": "}"}
_WORD = re.compile(r"[A-Za-z_]+")


def _mutation(line: Line, found: Found) -> Mutation:
    name, start, end, text = found
    return Mutation(name, "syntax", Edit(Span(line[0] + start, line[0] + end), text), 20)


def _at_first_line(context: Context, node: Node) -> tuple[int, str]:
    start = context.line_start(node.start)
    return start, context.between(start, context.line_end(node.start)).rstrip("\r\n")


def _in_code(context: Context, offset: int) -> bool:
    """Whether a character is neither inside of a string nor of a comment."""
    at = context.tree.at(Span(offset, offset + 1))
    hidden = context.table.strings | context.table.comments
    while at is not None:
        if at.kind in hidden:
            return at.start == offset or at.end == offset + 1
        at = at.parent
    return True


def break_token(context: Context, node: Node) -> Iterator[Change]:
    """A bracket, colon, comma or quote of the line dropped or doubled."""
    start, text = _at_first_line(context, node)
    for at, character in enumerate(text, start):
        if character in "()[]{}:,'\";" and _in_code(context, at):
            yield at, at + 1, ""
            if character not in "'\"":
                yield at, at + 1, character * 2


def break_operator(context: Context, node: Node) -> Iterator[Change]:
    """`==` becomes `=`; an operator is dropped."""
    start, text = _at_first_line(context, node)
    for match in re.finditer(r"==|(?<= )[-+*/<>%](?= )", text):
        if _in_code(context, start + match.start()):
            yield start + match.start(), start + match.end(), "=" if match.group() == "==" else ""


def break_keyword(context: Context, node: Node) -> Iterator[Change]:
    """A keyword of the line misspelt."""
    start, text = _at_first_line(context, node)
    for match in _WORD.finditer(text):
        word, at = match.group(), start + match.start()
        if word in context.table.keywords and len(word) > 2 and _in_code(context, at):
            yield at, at + len(word), word[0] + word[2] + word[1] + word[3:]
            yield at, at + len(word), word[:-1]
            yield at, at + len(word), word[0] + word[0] + word[1:]


def break_indentation(context: Context, node: Node) -> Iterator[Change]:
    """The line moved by a blank or by a level."""
    start, text = _at_first_line(context, node)
    indent = len(text) - len(text.lstrip())
    if context.table.layout and text.strip():
        yield start, start, " "
        yield start, start, context.unit()
        if indent:
            yield start, start + 1, ""
            yield start, start + min(len(context.unit()), indent), ""


def _missing_colon(text: str, words: Vocabulary, table: Language) -> Iterator[Found]:
    code = text.split("#")[0].rstrip() if table.layout else ""
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


def _operators(text: str) -> Iterator[Found]:
    for match in re.finditer(r"(?<![=!<>+\-*/%&|^:])=(?!=)", text):
        yield "equal-for-assign", match.start(), match.end(), "=="
    swaps = (("===", "=="), ("!==", "!="), ("&&", "and"), ("||", "or"), ("=<", "<="), ("=>", ">="), ("<>", "!="),
             ("=!", "!="), ("++", " += 1"), ("--", " -= 1"), ("= =", "=="), ("< =", "<="), ("> =", ">="),
             ("! =", "!="), ("+ =", "+="), ("- =", "-="), ("==", "="), ("->", "."), ("::", ":"), ("else if", "elif"),
             ("null", "None"), ("true", "True"), ("false", "False"), ("!", "not "))  # fmt: skip
    for wrong, right in swaps:
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
    own = text[: len(text) - len(text.lstrip())]
    near = [source.line(n) for n in range(max(1, number - 6), min(source.line_count, number + 3) + 1) if n != number]
    levels = dict.fromkeys(line[: len(line) - len(line.lstrip())] for line in near if line.strip())
    before = next((line for line in reversed(near[: number - 1]) if line.strip()), "")
    if before.rstrip().endswith(":"):
        levels = {before[: len(before) - len(before.lstrip())] + "    ": None, **levels}
    for level in (*levels, own + "    ", own[:-4], own + " ", own[:-1]):
        if level != own:
            yield "line-indentation", 0, len(own), level


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
        lambda: _operators(text),
        lambda: _quotes(text),
        lambda: _commas(text),
    )
    for make in makers:
        for found in make():
            yield _mutation(line, found)


def _near_lines(source: Source, line: int, lines: frozenset[int] | None) -> list[int]:
    count = source.line_count
    centre = min(max(line, 1), count)
    around = sorted(range(1, count + 1), key=lambda n: (abs(n - centre), n))[:40]
    return [n for n in around if lines is None or n in lines]


def syntax_repairs(source: Source, lines: frozenset[int] | None = None) -> Iterator[Mutation]:
    """Repairs of a text that does not parse, the lines nearest to the parser's complaint first; else nothing."""
    error = parses(source)
    if error is None:
        return
    for number in _near_lines(source, error.line, lines):
        yield from _line_repairs(source, number)
