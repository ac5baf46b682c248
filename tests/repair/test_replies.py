from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repair.prompts import Piece, compact_target, shown_hunks
from repair.replies import (
    Change,
    NoFault,
    Unreadable,
    changes_nothing,
    check_hunks,
    parse_compact,
    parse_reply,
    render_reply,
)
from repair.views import Hunk, View

VIEW = View("a.py", "python", 250, tuple(f"line {n}" for n in range(250, 262)))  # its line tokens wrap around


@st.composite
def changes(draw: st.DrawFn) -> tuple[Hunk, ...]:
    """Disjoint hunks inside of VIEW, with texts that try to look like headers."""
    lines = st.sampled_from(
        ["", "x", "  y = 1", "@@ 3-4", "@@ ok", "\\@@ 3+", "\\\\@@ 1-1", "```", "<|eot|>", "@@ 3-x"]
    )
    hunks: list[Hunk] = []
    at = VIEW.first_line
    while at <= VIEW.last_line + 1 and len(hunks) < 3:
        first = draw(st.integers(at, VIEW.last_line + 1))
        last = draw(st.integers(first - 1, min(first + 2, VIEW.last_line)))
        text = "\n".join(draw(st.lists(lines, min_size=1, max_size=3)))
        if last >= first or text:
            hunks.append(Hunk(first, last, text))
        at = max(last, first) + 1
    return tuple(hunks)


@given(changes())
def test_what_is_rendered_is_read_back(hunks: tuple[Hunk, ...]) -> None:
    assert parse_reply(render_reply(hunks), VIEW) == (Change(hunks) if hunks else NoFault())


@given(changes())
def test_compact_targets_are_read_back(hunks: tuple[Hunk, ...]) -> None:
    expected = Change(shown_hunks(VIEW, hunks)) if hunks else NoFault()
    assert parse_compact(compact_target(VIEW, hunks), VIEW) == expected


@given(st.text(alphabet="@ 0123456789-+ok\n`ab\r", max_size=60))
def test_any_text_is_a_reply_or_says_why_not(text: str) -> None:
    reply = parse_reply(text, VIEW)
    if isinstance(reply, Change):
        assert reply.hunks
        assert check_hunks(reply.hunks, VIEW) == reply
    else:
        assert isinstance(reply, NoFault) or reply.reason


@given(
    st.lists(
        st.sampled_from(
            ["<|L250|>", "<|L3|>", "<|L5|>", "<|L9|>", "<|txt|>", "<|ins|>", "<|fix|>", "<|eot|>", "<|ok|>", "x"]
        ),
        max_size=9,
    )
)
def test_any_tokens_are_a_reply_or_say_why_not(tokens: list[str]) -> None:
    reply = parse_compact([Piece(t, special=t != "x") for t in tokens], VIEW)
    if isinstance(reply, Change):
        assert check_hunks(reply.hunks, VIEW) == reply
    else:
        assert isinstance(reply, NoFault) or reply.reason


def test_a_reply_of_two_hunks() -> None:
    text = "@@ 251-252\nnew\n  lines\n@@ 255+\n    pass\n"
    assert parse_reply(text, VIEW) == Change((Hunk(251, 252, "new\n  lines"), Hunk(255, 254, "    pass")))
    assert parse_reply("@@ 251-251\n", VIEW) == Change((Hunk(251, 251, ""),))


@pytest.mark.parametrize(
    "text",
    [
        "Here is the fix:\n```\n@@ 251-251\nx\n```\nIt was wrong.",
        "```diff\n@@ 251-251\nx\n```",
        "\n\n@@ 251-251\nx",
        "@@ 251-251\r\nx\r\n",
        "<think>\n@@ 1-1 maybe?\n</think>\n\n@@ 251-251\nx\n",
    ],
)
def test_what_surrounds_a_reply_is_left_out(text: str) -> None:
    assert parse_reply(text, VIEW) == Change((Hunk(251, 251, "x"),))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "does not begin with a hunk header"),
        ("I think line 251 is wrong.\n@@ 251-251\nx", "does not begin with a hunk header but with 'I think"),
        ("```\n@@ 251-251\nx\n```\nor\n```\n@@ 252-252\nx\n```", "several blocks"),
        ("@@ 249-250\nx", "not among those shown"),
        ("@@ 261-262\nx", "not among those shown"),
        ("@@ 263+\nx", "not among those shown"),
        ("@@ 9999999-9999999\nx", "not among those shown"),
        ("@@ 255-253\nx", "no range"),
        ("@@ 0-0\nx", "no range"),
        ("@@ 255+\n", "inserts nothing"),
        ("@@ 251-253\nx\n@@ 253-254\ny", "two hunks touch line 253"),
        ("@@ 251+\nx\n@@ 251+\ny", "two hunks touch line 251"),
        ("@@ 251-251\nx\n@@ ok", "and says that there is no fault"),
        ("@@ ok\n@@ 251-251\nx", "no fault, and hunks"),
    ],
)
def test_unreadable_replies_say_why(text: str, reason: str) -> None:
    reply = parse_reply(text, VIEW)
    assert isinstance(reply, Unreadable)
    assert reason in reply.reason


def test_no_fault() -> None:
    assert parse_reply("@@ ok\n", VIEW) == parse_reply("```\n@@ ok\n```", VIEW) == NoFault()
    assert parse_reply("@@ ok\nThe code is right.", VIEW) == NoFault()


def special(*tokens: str) -> list[Piece]:
    return [Piece(t, special=t.startswith("<|")) for t in tokens]


@pytest.mark.parametrize(
    ("tokens", "reason"),
    [
        ([], "cut off"),
        (["<|L251|>", "<|L251|>", "<|txt|>", "x"], "cut off"),
        (["<|ok|>", "x", "<|eot|>"], "does not begin with a line"),
        (["<|L100|>", "<|L100|>", "<|txt|>", "x", "<|eot|>"], "does not begin with a line"),
        (["x", "<|L251|>", "<|ins|>", "<|eot|>"], "does not begin with a line"),
        (["<|L251|>", "<|L100|>", "<|txt|>", "x", "<|eot|>"], "last line was not shown"),
        (["<|L251|>", "<|L251|>", "x", "<|eot|>"], "out of order"),
        (["<|L251|>", "<|ins|>", "<|eot|>"], "inserts nothing"),
        (["<|L253|>", "<|L251|>", "<|txt|>", "x", "<|eot|>"], "no range"),
        (["<|L251|>", "<|ins|>", "x", "<|eot|>", "<|L251|>", "<|ins|>", "x", "<|eot|>"], "two hunks"),
    ],
)
def test_unreadable_compact_replies_say_why(tokens: list[str], reason: str) -> None:
    reply = parse_compact(special(*tokens), VIEW)
    assert isinstance(reply, Unreadable)
    assert reason in reply.reason


def test_line_tokens_mean_lines_of_the_view() -> None:
    reply = cast("Change", parse_compact(special("<|L255|>", "<|L1|>", "<|txt|>", "x", "<|eot|>"), VIEW))
    assert reply.hunks == (Hunk(255, 257, "x"),)


def test_changes_that_change_nothing() -> None:
    assert changes_nothing([Hunk(251, 252, "line 251\nline 252")], VIEW)
    assert not changes_nothing([Hunk(251, 252, "line 251\nline 253")], VIEW)
    assert not changes_nothing([Hunk(251, 251, "")], View("a", "text", 251, ("",)))
    assert not changes_nothing([Hunk(251, 251, "line 251"), Hunk(253, 252, "x")], VIEW)
