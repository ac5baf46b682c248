"""Pre-training documents: windows lose no code, holes can be filled from the answer, docstrings get short."""

import ast
import inspect
import json.decoder
import random
from pathlib import Path

import numpy as np
import pytest

from data.condense import condense
from data.dedup import Seen
from data.pretrain import WINDOW_LINES, document, shuffled_windows, token_stream, windows, write_shards
from data.recipe import Recipe
from data.sources.packages import CodeFile
from data.tokenizer import LineEncoder, bytes_per_token, train_tokenizer
from repair.errors import InputError
from repair.prompts import SPECIALS

TEXT = Path(json.decoder.__file__).read_text("utf-8")
FILE = CodeFile("python", "json/decoder.py", TEXT)


@pytest.fixture(scope="module")
def encoder():
    return LineEncoder(train_tokenizer([TEXT] * 9, 1200))


def test_windows_hold_every_line_of_code_once_and_in_order():
    lines = [line for window in windows(FILE) for line in window.lines if line.strip()]
    assert lines == [line for line in TEXT.split("\n") if line.strip()]
    assert all(len(w.lines) <= WINDOW_LINES for w in windows(FILE))


def test_windows_begin_at_functions_where_they_can():
    later = list(windows(FILE))[1:]
    assert later and all(w.lines[0].lstrip().startswith(("def ", "class ", "@")) for w in later)


def test_the_answer_fills_the_holes():
    window = next(iter(windows(FILE)))
    drawn = (document(window, random.Random(n), plain=False) for n in range(20))
    pieces = next(d for d in drawn if any(p.text == "<|fim_middle|>" for p in d))
    fix = next(i for i, p in enumerate(pieces) if p.special and p.text == "<|fix|>")
    answers = [p.text for p in pieces[fix:] if not p.special]
    shown = [p for p in pieces[:fix] if not p.special or p.text == "<|fim_middle|>"]
    filled = [answers.pop(0) if p.special else p.text for p in shown]
    assert "\n".join(filled).split("\n") == [line for line in window.lines if line]
    assert not answers


def test_documents_begin_and_end_with_their_tokens(encoder):
    seen, recipe = Seen(), Recipe(plain_share=0.3)
    for ids in token_stream(shuffled_windows([FILE], recipe, seen), encoder, recipe):
        assert ids.dtype == np.uint16
        assert (SPECIALS[ids[0]], SPECIALS[ids[-1]]) == ("<|bos|>", "<|eot|>")
        assert list(ids).count(SPECIALS.index("<|bos|>")) == 1


def test_algorithmic_files_are_seen_more_often():
    counts = [
        len(list(shuffled_windows([FILE], Recipe(algorithmic=("python/json/",), oversample=times), Seen())))
        for times in (1, 3)
    ]
    assert counts[0] > 2 and counts[1] == 3 * counts[0]


def test_shards_stop_at_the_number_of_tokens(tmp_path):
    documents = (np.full(10, n, np.uint16) for n in range(100))
    assert write_shards(documents, tmp_path, "pretrain", tokens=95, shard=40) == [
        ("pretrain-000.npy", 40),
        ("pretrain-001.npy", 40),
        ("pretrain-002.npy", 20),
    ]
    assert np.load(tmp_path / "pretrain-002.npy").tolist() == [8] * 10 + [9] * 10


def test_long_docstrings_become_one_line_and_code_stays():
    short = condense(TEXT, random.Random(1), whole_share=0.0)
    assert len(short) < 0.8 * len(TEXT)
    code = [ast.dump(n) for n in ast.walk(ast.parse(short)) if isinstance(n, ast.Return | ast.Assign | ast.If)]
    assert code == [ast.dump(n) for n in ast.walk(ast.parse(TEXT)) if isinstance(n, ast.Return | ast.Assign | ast.If)]


def test_a_licence_header_goes_and_short_docstrings_stay():
    text = "# a\n# b\n# c\n# d\n" + inspect.cleandoc('''
        def f():
            """One line."""
            return 1
    ''')
    assert condense(text, random.Random(1)) == text[16:]


def test_broken_text_is_left_alone():
    assert condense("def f(:\n", random.Random(1)) == "def f(:\n"


def test_lines_come_back_from_their_ids(encoder):
    lines = ["    return <|ok|> + 'ä€𝄞'", "", "\tx = 1", "  "]
    encoded = encoder.encode_lines(lines)
    assert [encoder.decode(ids) for ids in encoded] == lines
    assert all(i >= len(SPECIALS) for ids in encoded for i in ids)


def test_indentations_are_single_tokens(encoder):
    assert [len(ids) for ids in encoder.encode_lines(["\n", " " * 4, " " * 8, " " * 12])] == [1, 1, 1, 1]


def test_the_same_line_has_the_same_ids_after_many_others(encoder):
    first = list(encoder.encode_lines(["return x"])[0])
    encoder.encode_lines([f"x = {n}" for n in range(1000)])
    assert list(encoder.encode_lines(["return x"])[0]) == first


def test_special_tokens_come_first(encoder):
    assert [encoder.special(t) for t in SPECIALS] == list(range(len(SPECIALS)))
    assert bytes_per_token(encoder, [TEXT]) > 2


def test_no_room_and_no_file_are_errors(tmp_path):
    with pytest.raises(InputError, match="no room"):
        train_tokenizer(["x"], 300)
    with pytest.raises(InputError, match="no such tokenizer"):
        LineEncoder.read(tmp_path / "tokenizer.json")
