from pathlib import Path

import pytest

from repair.errors import ModelError
from repair.models.tokens import TokenEncoder, is_compact, read_tokenizer
from repair.prompts import SPECIALS, Piece, compact_prompt, encode
from repair.views import View


@pytest.fixture(scope="module")
def encoder(compact_directory: Path) -> TokenEncoder:
    return TokenEncoder(read_tokenizer(compact_directory))


def test_the_vocabulary_tells_the_format(compact_directory: Path, plain_directory: Path) -> None:
    assert is_compact(read_tokenizer(compact_directory))
    assert not is_compact(read_tokenizer(plain_directory))


def test_special_tokens_have_the_ids_of_the_list(encoder: TokenEncoder) -> None:
    assert [encoder.special(token) for token in SPECIALS] == list(range(len(SPECIALS)))
    assert encoder.name(2) == "<|eot|>"
    assert encoder.name(400) is None


def test_text_that_looks_special_stays_text(encoder: TokenEncoder) -> None:
    (tokens,) = encoder.encode_lines(["print('<|eot|><|L3|>')"])
    assert min(tokens) >= len(SPECIALS)
    assert encoder.decode(tokens) == (Piece("print('<|eot|><|L3|>')"),)


def test_encoding_leaves_the_given_tokenizer_as_it_is(compact_directory: Path) -> None:
    tokenizer = read_tokenizer(compact_directory)
    TokenEncoder(tokenizer)
    assert tokenizer.encode("<|eot|>", add_special_tokens=False).ids == [2]


def test_decoding_gives_the_pieces_back(encoder: TokenEncoder) -> None:
    lines = ("def é(x):", "    return '\u2028' + x", "", "# " + "long " * 60)
    pieces = compact_prompt(View("a.py", "python", 1, lines, error="E", test="a\nb"))
    decoded = encoder.decode(encode(pieces, encoder))
    assert [(p.text, p.special) for p in decoded] == [(p.text, p.special) for p in pieces]


def test_a_line_is_remembered(encoder: TokenEncoder) -> None:
    first, second = (encoder.encode_lines(["value = 17"])[0] for _ in range(2))
    assert first is second


def test_a_vocabulary_without_the_tokens_says_so(plain_directory: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not one of Emend's"):
        TokenEncoder(read_tokenizer(plain_directory)).special("<|fix|>")
    with pytest.raises(ModelError, match=r"no tokenizer\.json"):
        read_tokenizer(tmp_path)
