"""What is encoded for training is what `data.pack` packs and what `repair.models` asks at serving time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from data.mutants import Example as Pair
from data.pack import encode_example
from data.records import example
from data.tokenizer import LineEncoder
from repair.errors import ModelError
from repair.models.compact import CompactFormat
from repair.models.numbered import NumberedFormat
from repair.models.tokens import TokenEncoder
from repair.prompts import Role
from repair.replies import Change, NoFault, parse_compact, parse_reply
from repair.views import Hunk, View
from tests.training.pieces import compact_encoder, compact_tokenizer, llama_like, qwen_like, record
from training.config import ObjectiveConfig
from training.encoding import CompactEncoder, NumberedEncoder, encoder_of, weigh

CODE = ("def area(w, h):", "    size = w * w", "", "    return size", "    ë = 'Ω 漢'")
VIEW = View("m.py", "python", 254, CODE, "AssertionError", (255,), "assert area(2, 3) == 6", ("import math",))
ANSWERS = {
    "one line": (Hunk(255, 255, "    size = w * h"),),
    "insertion": (Hunk(255, 254, "    w = abs(w)\n    h = abs(h)"),),
    "deletion": (Hunk(256, 257, ""),),
    "insertion at the end": (Hunk(259, 258, "    return ë"),),
    "two places": (Hunk(254, 254, "def area(h, w):"), Hunk(257, 258, "    return (size)\n    # Ω")),
    "looks like a header": (Hunk(255, 256, "@@ 3-4\n\\@@ ok\n    size = 2"),),
    "blank lines": (Hunk(256, 256, "\n\n    x = 1\n"),),
    "clean": (),
}


def pair(name: str) -> Pair:
    return Pair(VIEW, ANSWERS[name], (), (), "", "")


@dataclass
class Recorder:
    """In place of an engine: keeps the token ids that serving asks for."""

    vocabulary: int = 700
    limit: int = 10_000
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    prompt: list[int] = field(default_factory=list)
    targets: list[list[int]] = field(default_factory=list)

    def read(self, ids: Sequence[int]) -> None:
        self.prompt = list(ids)

    def score(self, _prefix: None, targets: Sequence[Sequence[int]]) -> list[float]:
        self.targets = [list(t) for t in targets]
        return [0.0] * len(targets)


@pytest.mark.parametrize("name", ANSWERS)
def test_compact_examples_are_those_of_the_packed_corpus(name: str):
    packed = encode_example(pair(name), LineEncoder(compact_tokenizer()))
    tokens = compact_encoder().encode(pair(name), 10_000)
    made = weigh(tokens, ObjectiveConfig(), clean=not pair(name).hunks)
    assert made.ids.tolist() == packed.ids.tolist()
    assert made.weights.tolist() == pytest.approx((packed.weights / 10).tolist())


@pytest.mark.parametrize("name", ANSWERS)
def test_compact_examples_are_what_serving_asks(name: str):
    engine, encoder = Recorder(), TokenEncoder(compact_tokenizer())
    CompactFormat(engine, encoder).score(VIEW, [ANSWERS[name]])  # type: ignore[arg-type]
    tokens = CompactEncoder(encoder).encode(pair(name), 10_000)
    assert tokens.ids[: tokens.prompt].tolist() == engine.prompt
    assert tokens.ids[tokens.prompt :].tolist() == engine.targets[0]


@pytest.mark.parametrize("name", [n for n in ANSWERS if n != "insertion at the end"])
def test_compact_answers_are_read_back(name: str):
    encoder = TokenEncoder(compact_tokenizer())
    tokens = CompactEncoder(encoder).encode(pair(name), 10_000)
    reply = parse_compact(encoder.decode(tokens.ids[tokens.prompt :].tolist()), VIEW)
    assert reply == (Change(ANSWERS[name]) if ANSWERS[name] else NoFault())


@pytest.fixture(params=[qwen_like, llama_like], ids=["qwen", "llama"], scope="module")
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    return request.param()


@pytest.mark.parametrize("name", ANSWERS)
def test_numbered_answers_are_read_back(tokenizer: PreTrainedTokenizerFast, name: str):
    tokens = NumberedEncoder(tokenizer).encode(pair(name), 10_000)
    assert tokens.ids[-1] == tokenizer.eos_token_id
    text = tokenizer.decode(tokens.ids[tokens.prompt : -1].tolist(), clean_up_tokenization_spaces=False)
    assert parse_reply(text, VIEW) == (Change(ANSWERS[name]) if ANSWERS[name] else NoFault())


@pytest.mark.parametrize("name", ANSWERS)
def test_pointers_are_the_headers_and_nothing_else(tokenizer: PreTrainedTokenizerFast, name: str):
    tokens = NumberedEncoder(tokenizer).encode(pair(name), 10_000)
    text = tokenizer.decode(tokens.ids[tokens.roles == Role.POINTER].tolist(), clean_up_tokenization_spaces=False)
    headers = [f"@@ {h.first}+" if h.inserts else f"@@ {h.first}-{h.last}" for h in ANSWERS[name]] or ["@@ ok"]
    assert text.replace("\n", "") == "".join(headers)  # a line end may be one token with the sign before it
    assert not (tokens.roles[: tokens.prompt] != Role.AUXILIARY).any()
    assert tokens.roles[-1] == Role.TARGET


@pytest.mark.parametrize("name", ANSWERS)
def test_numbered_examples_are_what_serving_asks(tokenizer: PreTrainedTokenizerFast, name: str):
    engine = Recorder()
    NumberedFormat(engine, tokenizer, [0], chat=False).score(VIEW, [ANSWERS[name]])  # type: ignore[arg-type]
    tokens = NumberedEncoder(tokenizer).encode(pair(name), 10_000)
    assert tokens.ids[: tokens.prompt].tolist() == engine.prompt
    assert tokens.ids[tokens.prompt :].tolist() == engine.targets[0]


@pytest.mark.parametrize("encoder", [compact_encoder(), NumberedEncoder(qwen_like())], ids=["compact", "numbered"])
def test_only_auxiliary_parts_give_way_to_a_limit(encoder: CompactEncoder | NumberedEncoder):
    whole = encoder.encode(pair("one line"), 10_000)
    bare = replace(pair("one line"), view=replace(VIEW, context=(), test=""))
    least = encoder.encode(bare, 10_000)
    cut = encoder.encode(pair("one line"), len(whole) - 1)
    assert len(least) < len(cut) < len(whole)
    assert encoder.encode(pair("one line"), len(least)).ids.tolist() == least.ids.tolist()
    over = encoder.encode(pair("one line"), 5)  # code is never cut: the reader counts what is too long
    assert over.ids[over.prompt :].tolist() == whole.ids[whole.prompt :].tolist()
    assert len(over) > 5


def test_faulty_lines_are_muted_by_number_even_beyond_the_line_tokens():
    encoder = TokenEncoder(compact_tokenizer())
    tokens = CompactEncoder(encoder).encode(pair("two places"), 10_000)
    muted = encoder.decode(tokens.ids[tokens.muted].tolist())
    assert "".join(p.text for p in muted) == CODE[0] + CODE[3] + CODE[4]
    assert not CompactEncoder(encoder).encode(pair("clean"), 10_000).muted.any()


def test_weights_follow_the_objective():
    tokens = compact_encoder().encode(pair("clean"), 10_000)
    objective = ObjectiveConfig(code=0.5, pointer=4.0, clean=0.25, target=2.0)
    made = weigh(tokens, objective, clean=True)
    assert made.weights[-2:].tolist() == [1.0, 2.0]  # <|ok|>, <|eot|>
    assert set(made.weights[: tokens.prompt].tolist()) == {0.0, 0.5}


def test_a_fingerprint_tells_tokenizers_apart():
    found = [compact_encoder(), NumberedEncoder(qwen_like()), NumberedEncoder(llama_like())]
    assert len({one.fingerprint for one in found}) == 3
    assert compact_encoder().fingerprint == compact_encoder().fingerprint


def test_the_vocabulary_chooses_the_format(tmp_path: Path):
    qwen_like().save_pretrained(tmp_path / "compact")
    llama_like().save_pretrained(tmp_path / "plain")
    compact, plain = encoder_of(tmp_path / "compact"), encoder_of(tmp_path / "plain")
    assert isinstance(compact, CompactEncoder)
    assert isinstance(plain, NumberedEncoder)
    made = example(record(3))
    assert compact.encode(made, 512).ids.tolist() == compact_encoder().encode(made, 512).ids.tolist()
    assert plain.encode(made, 512).ids.tolist() == NumberedEncoder(llama_like()).encode(made, 512).ids.tolist()
    assert int(plain.encode(made, 512).ids.max()) < plain.vocabulary


def test_a_base_without_tokenizer_or_end_is_told(tmp_path: Path):
    with pytest.raises(ModelError, match="no tokenizer that can be read"):
        encoder_of(tmp_path)
    endless = PreTrainedTokenizerFast(tokenizer_object=compact_tokenizer())
    with pytest.raises(ModelError, match="no end-of-text token"):
        NumberedEncoder(endless)


def test_code_that_looks_special_stays_text():
    encoder = TokenEncoder(compact_tokenizer())
    lines = ("x = '<|L7|> <|eot|>'", "y = 1")
    own = Pair(View("m.py", "python", 1, lines), (Hunk(2, 2, "y = '<|eot|>'"),), (), (), "", "")
    tokens = CompactEncoder(encoder).encode(own, 1000)
    assert [encoder.name(t) for t in tokens.ids.tolist()].count("<|eot|>") == 1
    read = encoder.decode(tokens.ids[: tokens.prompt].tolist())
    assert [p.text for p in read if not p.special] == list(lines)
    assert "".join(p.text for p in encoder.decode(tokens.ids[tokens.muted].tolist())) == lines[1]
