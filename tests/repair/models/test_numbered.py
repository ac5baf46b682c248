import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from repair.model import Decoding
from repair.models.local import LocalModel, load_local
from repair.models.numbered import reply_part
from repair.prompts import chat_messages, numbered_prompt
from repair.replies import Change, parse_reply
from repair.views import Hunk, View

TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}"
)


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("@@ 3-3\nx\n", "@@ 3-3\nx\n"),
        ("@@ 3-3\nx\nFile: b.py (python)\nCode:\n1|y\n", "@@ 3-3\nx"),
        ("@@ ok\nFile: b.py", "@@ ok"),
        ("@@ ok\n", "@@ ok"),
        ("```\n@@ 3-3\nx\n```\nThis was wrong because", "```\n@@ 3-3\nx\n```\n"),
        ("@@ 3-3\nx<|endoftext|>y", "@@ 3-3\nx"),
    ],
)
def test_a_reply_ends_where_something_else_begins(text: str, reply: str) -> None:
    assert reply_part(text) == reply


def test_a_reply_cut_out_can_be_read(view: View) -> None:
    text = reply_part("@@ 11-11\n    return box.width * box.height\nFile: next.py (python)\n")
    assert parse_reply(text, view) == Change((Hunk(11, 11, "    return box.width * box.height"),))


@pytest.fixture(scope="module")
def plain(plain_directory: Path) -> LocalModel:
    return load_local(plain_directory, dtype="float32", device="cpu", threads=1)


def test_given_lines_begin_the_replies(plain: LocalModel, view: View) -> None:
    found = list(plain.propose(view, Decoding({8: 0.5, 11: 0.5}, candidates=20, samples=0.0, max_tokens=12)))
    begun = [c for c in found if c.text.startswith(("@@ 8-", "@@ 11-"))]
    assert len(found) - len(begun) <= 1  # the greedy one says what it wants
    assert {c.text[:5] for c in begun} == {"@@ 8-", "@@ 11"}


def test_one_candidate_is_the_greedy_one(plain: LocalModel, plain_directory: Path, view: View) -> None:
    (alone,) = plain.propose(view, Decoding({8: 1.0}, candidates=1, max_tokens=8, seed=1))
    assert list(plain.propose(view, Decoding({11: 1.0}, candidates=1, max_tokens=8, seed=2))) == [alone]


def test_the_prompt_is_the_numbered_one(plain: LocalModel, plain_directory: Path, view: View) -> None:
    tokenizer = AutoTokenizer.from_pretrained(plain_directory)
    before = plain.usage.prompt_tokens
    other = View("new.py", view.language, view.first_line, view.lines)
    plain.score(other, [])
    assert plain.usage.prompt_tokens - before == len(tokenizer(numbered_prompt(other)).input_ids)


def test_a_chat_template_is_used_unless_there_is_an_adapter(plain_directory: Path, tmp_path: Path, view: View) -> None:
    directory = tmp_path / "chat"
    shutil.copytree(plain_directory, directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(directory)
    model = load_local(directory, dtype="float32", device="cpu", threads=1)
    model.score(view, [])
    system, user = (m["content"] for m in chat_messages(view))
    expected = tokenizer(f"<system>{system}<user>{user}<a>", add_special_tokens=False).input_ids
    assert model.usage.prompt_tokens == len(expected)
