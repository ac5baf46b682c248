from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repair.prompts import (
    MAX_ERROR_CHARACTERS,
    SPECIALS,
    Piece,
    Role,
    chat_messages,
    compact_prompt,
    compact_target,
    encode,
    encode_roles,
    line_token,
    numbered_prompt,
    one_line,
    shown_hunks,
    truncate,
)
from repair.views import Hunk, View

VIEW = View(
    "shapes.py", "python", 255, ("def f(xs):", "", "    return xs[0]"),
    error="IndexError: list\n  index out of range", frames=(257, 255), test="assert f([]) is None",
    context=("import a",),
)  # fmt: skip


class Characters:
    """An Encoder whose plain tokens are characters, after the special ones."""

    def special(self, token: str) -> int:
        return SPECIALS.index(token)

    def encode_lines(self, lines: Sequence[str]) -> Sequence[Sequence[int]]:
        return [[len(SPECIALS) + ord(c) for c in line] for line in lines]


def render(pieces: Sequence[Piece]) -> str:
    return "".join(p.text for p in pieces)


def test_special_tokens_have_fixed_ids() -> None:
    """The shipped vocabulary was trained with them: an order that changes makes it useless."""
    assert len(SPECIALS) == len(set(SPECIALS)) == 280
    assert [SPECIALS.index(t) for t in ("<|pad|>", "<|bos|>", "<|eot|>", "<|fix|>", "<|ok|>")] == [0, 1, 2, 9, 12]
    assert SPECIALS[24:26] == ("<|L0|>", "<|L1|>")
    assert SPECIALS[-1] == "<|L255|>"


def test_the_compact_prompt_is_the_documented_one() -> None:
    assert render(compact_prompt(VIEW)) == (
        "<|bos|><|err|>IndexError: list index out of range<|tb|><|L1|><|L255|><|test|>assert f([]) is None"
        "<|ctx|>import a<|code|>def f(xs):<|L255|><|L0|>    return xs[0]<|L1|><|fix|>"
    )
    bare = View("a.py", "python", 1, ("x",))
    assert render(compact_prompt(bare)) == "<|bos|><|err|><|none|><|code|>x<|L1|><|fix|>"


def test_text_that_looks_special_is_not() -> None:
    pieces = compact_prompt(View("a.py", "python", 1, ("x = '<|eot|>'",)))
    assert Piece("x = '<|eot|>'", role=Role.CODE) in pieces
    assert encode(pieces, Characters()).count(SPECIALS.index("<|eot|>")) == 0


@pytest.mark.parametrize(
    ("hunks", "text"),
    [
        ((), "<|ok|><|eot|>"),
        ((Hunk(257, 257, "    return 1"),), "<|L1|><|L1|><|txt|>    return 1<|eot|>"),
        ((Hunk(255, 256, ""),), "<|L255|><|L0|><|txt|><|eot|>"),
        ((Hunk(256, 255, "    y = 1"),), "<|L0|><|ins|>    y = 1<|eot|>"),
        (
            (Hunk(257, 257, "b"), Hunk(255, 255, "a")),
            "<|L255|><|L255|><|txt|>a<|fix|><|L1|><|L1|><|txt|>b<|eot|>",
        ),
        ((Hunk(258, 257, "end"),), "<|L1|><|L1|><|txt|>    return xs[0]\nend<|eot|>"),
        ((Hunk(257, 257, "b"), Hunk(258, 257, "end")), "<|L1|><|L1|><|txt|>b\nend<|eot|>"),
        ((Hunk(256, 257, ""), Hunk(258, 257, "end")), "<|L0|><|L1|><|txt|>end<|eot|>"),
    ],
)
def test_compact_targets(hunks: tuple[Hunk, ...], text: str) -> None:
    assert render(compact_target(VIEW, hunks)) == text


def test_pointers_and_text_have_their_roles() -> None:
    pieces = compact_target(VIEW, [Hunk(257, 257, "a"), Hunk(255, 254, "b")])
    assert [p.text for p in pieces if p.role is Role.POINTER] == ["<|L255|>", "<|ins|>", "<|L1|>", "<|L1|>"]
    assert [p.text for p in pieces if p.role is Role.TARGET] == ["b", "<|fix|>", "<|txt|>", "a", "<|eot|>"]
    assert {p.role for p in compact_prompt(VIEW)} == {Role.AUXILIARY, Role.CODE}


def test_each_line_is_encoded_apart_with_newlines_between() -> None:
    class Whole(Characters):
        def encode_lines(self, lines: Sequence[str]) -> Sequence[Sequence[int]]:
            return [[1000 + len(line)] if line != "\n" else [999] for line in lines]

    pieces = (Piece("<|txt|>", special=True), Piece("ab\n\ncde", role=Role.TARGET))
    tokens = encode_roles(pieces, Whole())
    assert [t for t, _ in tokens] == [SPECIALS.index("<|txt|>"), 1002, 999, 1000, 999, 1003]
    assert {role for _, role in tokens[1:]} == {Role.TARGET}


@given(st.text(alphabet="ab <|eot>\n\u2028\x0c", max_size=40))
def test_encoding_keeps_every_character(text: str) -> None:
    tokens = encode([Piece(text)], Characters())
    assert "".join(chr(t - len(SPECIALS)) for t in tokens) == text


def test_line_tokens_wrap_around() -> None:
    assert line_token(3) == line_token(259) == "<|L3|>"


def test_shown_hunks_leave_other_changes_alone() -> None:
    assert shown_hunks(VIEW, []) == ()
    inner = (Hunk(255, 254, "a"), Hunk(255, 255, "b"))
    assert shown_hunks(VIEW, inner) == inner


def test_what_does_not_fit_goes_code_last() -> None:
    sizes = {size: truncate(VIEW, lambda v, s=size: len(render(compact_prompt(v))) <= s) for size in (400, 160, 140, 0)}
    assert sizes[400] == VIEW
    assert sizes[160] == replace(VIEW, context=())
    assert sizes[140] == replace(VIEW, context=(), test="")
    assert sizes[0].lines == VIEW.lines
    assert sizes[0].frames == VIEW.frames


def test_long_facts_are_cut() -> None:
    long = replace(VIEW, error="E: " + "x" * 10_000, test="t" * 10_000, context=("c" * 10_000,))
    assert len(render(compact_prompt(long))) < 2_000
    assert len(numbered_prompt(long)) < 8_000
    assert len(one_line("a \n b" * 1000, MAX_ERROR_CHARACTERS)) == MAX_ERROR_CHARACTERS


def test_the_numbered_prompt_numbers_each_line() -> None:
    prompt = numbered_prompt(VIEW)
    assert "255|def f(xs):\n256|\n257|    return xs[0]\nFix:\n" in prompt
    assert "File: shapes.py (python)" in prompt
    assert "innermost first: 257, 255" in prompt


def test_chat_messages_hold_the_format_and_the_code() -> None:
    system, user = chat_messages(VIEW)
    assert "@@ 12-13" in system["content"]
    assert "257|    return xs[0]" in user["content"]
    assert "IndexError" in user["content"]
