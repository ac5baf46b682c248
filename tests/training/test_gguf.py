"""What is written is what llama.cpp reads: token ids and probabilities are compared with llama.cpp itself."""

from __future__ import annotations

import json
import random
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import httpx
import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, GemmaConfig, LlamaConfig, Qwen2Config, Starcoder2Config

from data.tokenizer import SPLIT, train_tokenizer
from repair.embedded.expander import embedded_directory
from repair.errors import InputError, ModelError
from repair.model import Decoding
from repair.models.chat import Patience, connect
from repair.models.tokens import TokenEncoder, read_tokenizer
from repair.prompts import SPECIALS, chat_messages, compact_prompt, encode
from repair.views import View
from tests.training.test_merging import largest_file
from training import gguf_vocabulary
from training.gguf_vocabulary import TokenType, pre_tokenizer_name, read_vocabulary
from training.gguf_writer import write_gguf

gguf = pytest.importorskip("gguf")

LIBRARY = Path(sysconfig.get_paths()["stdlib"])
CRAFTED = (
    "", " ", "\t", "  \t ", "<|fix|>", "x = '<|eot|>' + \"<|L12|>\"", "<|endoftext|><|im_start|>", "<pad> [PAD3]",
    "if  a:\t\t# two  gaps   here ", "naïve = 'é' # e\u0301 apart", "变量 = '说明说明'", "emoji = '📗🚛👩\u200d💻'",
    "ᾼ = ǅ + ⅷ + ²³ + ٣٤", "n = 1234567890 + 0x1F_FF + 1e-10", "a\x0cb\x0bc\u2028d\x85e\xa0f", "don't I'LL we'Ve 'S",
    "x\r", "    return\u3000全角", "!!!???###$$$%%%", "a_b__c___d", "\u200f עברית العربية", "∑∫≈≠ ₿€£ ™®",
    "\x00\x01\x7f",
)  # fmt: skip


@cache
def python_lines() -> list[str]:
    """1,000 lines of the standard library, the odd ones (not ASCII, digits, tabs) more often than they come."""
    seen: dict[str, None] = {}
    for path in sorted(LIBRARY.glob("*.py")) + sorted(LIBRARY.glob("*/*.py")):
        if "site-packages" not in path.parts:
            seen |= dict.fromkeys(path.read_text(encoding="utf-8", errors="replace").split("\n"))
    rng = random.Random(0)
    unicode = [line for line in seen if not line.isascii()]
    digits = [line for line in seen if sum(c.isdigit() for c in line) > 4]
    indented = [line.replace("    ", "\t") for line in seen if line.startswith("        ")]
    chosen = [s for pool, n in ((unicode, 200), (digits, 200), (indented, 100)) for s in rng.sample(pool, n)]
    return [*CRAFTED, *chosen, *rng.sample(list(seen), 1000 - len(chosen) - len(CRAFTED))]


class Llama:
    """llama.cpp's own server over one GGUF file."""

    def __init__(self, path: Path, context: int = 256) -> None:
        xllamacpp = pytest.importorskip("xllamacpp")
        settings = xllamacpp.CommonParams()
        settings.model.path = str(path)
        settings.n_ctx, settings.n_parallel, settings.port, settings.verbosity = context, 1, 0, 0
        settings.cpuparams.n_threads, settings.warmup = 1, False
        self.server = xllamacpp.Server(settings)

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        with httpx.Client(base_url=self.server.listening_address, timeout=300) as client:
            yield client

    def ids(self, texts: list[str], *, special: bool = False) -> list[list[int]]:
        with self.client() as client:
            asked = [{"content": text, "parse_special": special} for text in texts]
            return [client.post("/tokenize", json=question).json()["tokens"] for question in asked]

    def likeliest(self, ids: list[int], count: int = 20) -> dict[int, float]:
        """Log probabilities of the next token."""
        asked = {"prompt": ids, "max_tokens": 1, "temperature": 0.0, "logprobs": count}
        asked["logit_bias"] = [["a", 1000.0]]  # half a character as the token taken would be held back, and its logs
        (token,) = self.server.handle_completions(asked)["choices"][0]["logprobs"]["content"]
        return {top["id"]: top["logprob"] for top in token["top_logprobs"]}

    def greedy(self, ids: list[int], count: int) -> list[int]:
        asked = {"prompt": ids, "max_tokens": count, "temperature": 0.0, "logprobs": 1}
        content = self.server.handle_completions(asked)["choices"][0]["logprobs"]["content"]
        return [token["id"] for token in content]


def blocks(lines: list[str]) -> list[str]:
    """Lines as they stand in a file, many together."""
    return ["\n".join(lines[n : n + 20]) for n in range(0, len(lines), 20)]


def assert_same_ids(model: Path, llama: Llama) -> None:
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    for texts, special in ((python_lines(), False), (blocks(python_lines()), False), (blocks(python_lines()), True)):
        tokenizer.encode_special_tokens = not special
        expected = [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
        found = llama.ids(texts, special=special)
        wrong = [(text, a, b) for text, a, b in zip(texts, found, expected, strict=True) if a != b]
        assert not wrong, wrong[:3]


def split(*expressions: str) -> list[pre_tokenizers.PreTokenizer]:
    return [pre_tokenizers.Split(Regex(e), behavior="isolated") for e in expressions]


BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
DIGITS = pre_tokenizers.Digits(individual_digits=True)
GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
# as the tokenizer.json of Qwen2.5-Coder, Llama 3, DeepSeek-Coder, StarCoder2 and GPT-2 have them
FAMILIES = {
    "qwen2": [
        *split(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
            r"\s+(?!\S)|\s+"
        ),
        BYTES,
    ],
    "llama-bpe": [
        *split(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
            r"\s+(?!\S)|\s+"
        ),
        BYTES,
    ],
    "deepseek-coder": [*split("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+"), DIGITS, BYTES],
    "starcoder": [DIGITS, GPT2],
    "gpt-2": [GPT2],
}


def train(family: str, size: int = 700) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(ignore_merges=family == "llama-bpe"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(FAMILIES[family.replace("smaug", "llama")])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|fix|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(blocks(python_lines()), trainer=trainer)
    tokenizer.add_tokens(["<tool>", "\t\t"])  # user-defined: always tokens of their own
    return tokenizer


SHAPE = {
    "vocab_size": 710, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip
LINEAR = {"rope_type": "linear", "factor": 4.0, "rope_theta": 100000.0}
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "rope_theta": 10000.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
CONFIGS = {
    "llama": LlamaConfig(**SHAPE, tie_word_embeddings=True),
    "llama with biases": LlamaConfig(**SHAPE, attention_bias=True),
    "deepseek-coder": LlamaConfig(**SHAPE, rope_parameters=LINEAR),
    "llama3": LlamaConfig(**SHAPE | {"head_dim": 32}, rope_parameters=LLAMA3),
    "qwen2": Qwen2Config(**SHAPE, rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}),
    "starcoder2": Starcoder2Config(**SHAPE, sliding_window=128),
}


def write_model(config, directory: Path, tokenizer: Tokenizer, **settings: object) -> Path:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, mean=float("norm.weight" in name or "layernorm.weight" in name), std=0.2)
    model.save_pretrained(directory, max_shard_size=100_000)
    tokenizer.save(str(directory / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"} | settings
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    return directory


@torch.no_grad()
def expected_logs(directory: Path, ids: list[int]) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    return model(input_ids=torch.tensor([ids])).logits[0, -1].log_softmax(-1)


def fields(path: Path) -> dict[str, object]:
    return {name: field.contents() for name, field in gguf.GGUFReader(path).fields.items()}


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Llama:
    out = tmp_path_factory.mktemp("embedded") / "model.gguf"
    write_gguf(embedded_directory(), out, "f32")
    return Llama(out)


@pytest.fixture(scope="module")
def qwen2_tokenizer() -> Tokenizer:
    return train("qwen2")


@pytest.fixture
def small(tmp_path: Path, qwen2_tokenizer: Tokenizer) -> Path:
    return write_model(CONFIGS["llama"], tmp_path / "model", qwen2_tokenizer)


def test_the_embedded_split_is_that_of_qwen2():
    assert gguf_vocabulary._QWEN2 == SPLIT
    tokenizer = train_tokenizer(python_lines(), len(SPECIALS) + 300)
    assert pre_tokenizer_name(json.loads(tokenizer.to_str())) == "qwen2"


def test_the_embedded_model_has_the_tokens_of_hugging_face_in_llama_cpp(embedded: Llama):
    assert len(python_lines()) == 1000
    assert_same_ids(embedded_directory(), embedded)


@pytest.mark.parametrize("family", [*FAMILIES, "smaug-bpe"])
def test_each_family_has_the_tokens_of_hugging_face_in_llama_cpp(tmp_path: Path, family: str):
    model = write_model(CONFIGS["llama"], tmp_path / "model", train(family))
    write_gguf(model, tmp_path / "model.gguf", "f16")
    assert fields(tmp_path / "model.gguf")["tokenizer.ggml.pre"] == family
    assert_same_ids(model, Llama(tmp_path / "model.gguf"))


def test_the_lines_tell_the_families_apart():
    seen, merges = [], train("llama-bpe").to_str()  # which has tokens of several digits
    for steps in FAMILIES.values():
        other = Tokenizer.from_str(merges)
        other.pre_tokenizer = pre_tokenizers.Sequence(steps)
        seen.append([encoding.ids for encoding in other.encode_batch(blocks(python_lines()))])
    for index, ids in enumerate(seen):
        assert all(ids != other for other in seen[:index])


VIEW = View(
    "a.py",
    "python",
    40,
    (
        "def mean(values):",
        "    total = 0",
        "",
        "    for value in values:",
        "        total += value",
        "    return total",
    ),
    error="AssertionError: 6 != 2.0 <|eot|>",
    frames=(45,),
    test="assert mean([1, 2, 3]) == 2.0",
)


def test_the_repair_format_is_read_as_special_tokens(embedded: Llama):
    encoder = TokenEncoder(read_tokenizer(embedded_directory()))
    pieces = compact_prompt(replace(VIEW, error="AssertionError: 6 != 2.0"))
    text = "".join(piece.text for piece in pieces)
    assert "<|fix|>" in text and "<|L45|>" in text
    assert embedded.ids([text], special=True) == [encode(pieces, encoder)]
    assert not set(embedded.ids([text])[0]) & set(range(len(SPECIALS)))


def test_the_embedded_model_answers_in_llama_cpp_as_in_transformers(embedded: Llama):
    prompt = encode(compact_prompt(VIEW), TokenEncoder(read_tokenizer(embedded_directory())))
    logs = expected_logs(embedded_directory(), prompt)
    found = embedded.likeliest(prompt)
    assert set(found) == set(logs.topk(20).indices.tolist())
    # llama.cpp keeps keys and values in half precision
    assert max(abs(logs[id_] - log) for id_, log in found.items()) < 1e-2
    model = AutoModelForCausalLM.from_pretrained(embedded_directory(), dtype=torch.float32)
    answer = model.generate(torch.tensor([prompt]), max_new_tokens=24, do_sample=False)[0, len(prompt) :].tolist()
    length = len(answer) - (answer[-1] == 2)  # llama.cpp does not tell the end
    assert length > 2
    assert embedded.greedy(prompt, length) == answer[:length]


@pytest.mark.parametrize("kind", CONFIGS)
def test_each_architecture_computes_the_same(tmp_path: Path, kind: str, qwen2_tokenizer: Tokenizer):
    model = write_model(CONFIGS[kind], tmp_path / "model", qwen2_tokenizer)
    write_gguf(model, tmp_path / "model.gguf", "f32")
    prompt = qwen2_tokenizer.encode("def mean(values):\n    return sum(values) / len(values)\n" * 3).ids[:120]
    logs, found = expected_logs(model, prompt), Llama(tmp_path / "model.gguf").likeliest(prompt)
    assert max(abs(logs[id_] - log) for id_, log in found.items()) < 1e-2
    assert max(found, key=found.__getitem__) == int(logs.argmax())


@pytest.mark.parametrize(("dtype", "error"), [("f16", 2e-2), ("bf16", 0.1), ("q8_0", 0.5)])
def test_smaller_types_are_smaller_and_near(small: Path, tmp_path: Path, dtype: str, error: float):
    write_gguf(small, tmp_path / "f32.gguf", "f32")
    write_gguf(small, tmp_path / "small.gguf", dtype)
    assert (tmp_path / "small.gguf").stat().st_size < 0.6 * (tmp_path / "f32.gguf").stat().st_size
    prompt = list(range(40, 80))
    logs, found = expected_logs(small, prompt), Llama(tmp_path / "small.gguf").likeliest(prompt)
    assert max(abs(logs[id_] - log) for id_, log in found.items()) < error


def test_metadata_and_token_types(tmp_path: Path, qwen2_tokenizer: Tokenizer):
    tokenizer = Tokenizer.from_str(qwen2_tokenizer.to_str())
    begin = ("<|im_start|>", tokenizer.token_to_id("<|im_start|>"))
    tokenizer.post_processor = processors.TemplateProcessing(single="<|im_start|> $A", special_tokens=[begin])
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    extra = {"bos_token": "<|im_start|>", "chat_template": template}
    model = write_model(CONFIGS["starcoder2"], tmp_path / "model", tokenizer, **extra)
    card = "---\nlicense: apache-2.0\nbase_model: bigcode/starcoder2-3b\nmodel_name: Mended\n---\n"
    (model / "README.md").write_text(card)
    write_gguf(model, tmp_path / "model.gguf", "q8_0")
    told = fields(tmp_path / "model.gguf")
    assert told["general.license"] == "apache-2.0"
    assert told["general.name"] == "Mended"
    assert told["general.base_model.0.repo_url"] == "https://huggingface.co/bigcode/starcoder2-3b"
    assert told["general.file_type"] == 7
    assert told["starcoder2.context_length"] == 128  # the sliding window, which llama.cpp does not know
    assert told["tokenizer.ggml.bos_token_id"] == begin[1]
    assert told["tokenizer.ggml.add_bos_token"] is True
    assert told["tokenizer.chat_template"] == template
    types = told["tokenizer.ggml.token_type"]
    assert types[tokenizer.token_to_id("<|fix|>")] == TokenType.CONTROL
    assert types[tokenizer.token_to_id("<tool>")] == TokenType.USER_DEFINED
    assert types[tokenizer.token_to_id("a")] == TokenType.NORMAL
    assert types[tokenizer.get_vocab_size() :] == [TokenType.UNUSED] * (710 - tokenizer.get_vocab_size())
    with Llama(tmp_path / "model.gguf").client() as client:
        asked = {"content": "a", "add_special": True}
        assert client.post("/tokenize", json=asked).json()["tokens"] == tokenizer.encode("a").ids
    assert tokenizer.encode("a").ids[0] == begin[1]


def test_a_card_that_cannot_be_read_is_told(small: Path, tmp_path: Path):
    write_gguf(small, tmp_path / "plain.gguf")
    assert fields(tmp_path / "plain.gguf")["general.name"] == "plain"
    (small / "README.md").write_text("---\na: [b\n---\n")
    with pytest.raises(InputError, match="front matter"):
        write_gguf(small, tmp_path / "model.gguf")


def test_the_chat_client_of_emend_talks_to_it(tmp_path: Path, qwen2_tokenizer: Tokenizer):
    template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}\n{% endfor %}"
    config = LlamaConfig(**SHAPE | {"max_position_embeddings": 2048})
    write_gguf(
        write_model(config, tmp_path / "model", qwen2_tokenizer, chat_template=template), tmp_path / "chat.gguf", "f16"
    )
    server = Llama(tmp_path / "chat.gguf", 2048)
    patience = Patience(connect=5.0, read=20.0, attempts=1)
    model = connect(f"{server.server.listening_address}/v1", patience=patience)
    answers = list(model.propose(VIEW, Decoding(candidates=1)))
    assert len(answers) == 1
    assert model.usage.prompt_tokens > len(qwen2_tokenizer.encode(chat_messages(VIEW)[-1]["content"]).ids)


def changed(directory: Path, change) -> Path:
    path = directory / "tokenizer.json"
    table = json.loads(path.read_text())
    change(table)
    path.write_text(json.dumps(table))
    return directory


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t["pre_tokenizer"]["pretokenizers"][0]["pattern"].update(Regex=r"\w+|\W"), r"\\w\+\|\\W"),
        (lambda t: t.update(pre_tokenizer={"type": "Metaspace", "replacement": "▁"}), "no name here:\n.*Metaspace"),
        (lambda t: t["model"].update(ignore_merges=True), "qwen2 does, but with ignore_merges = True"),
        (lambda t: t["model"].update(byte_fallback=True), "SentencePiece vocabulary.*convert_hf_to_gguf.py"),
        (lambda t: t["model"].update(type="WordPiece"), "WordPiece vocabulary"),
        (lambda t: t.update(normalizer={"type": "Lowercase"}), "normalizer Lowercase"),
        (lambda t: t["added_tokens"][0].update(lstrip=True), r"<\|endoftext\|> takes the spaces"),
        (lambda t: t["model"]["vocab"].update(more=710), "token 710, the model 710 rows"),
    ],
)
def test_a_vocabulary_that_llama_cpp_would_read_otherwise_is_refused(small: Path, change, message: str):
    with pytest.raises(InputError, match=message):
        read_vocabulary(changed(small, change), 710)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (GemmaConfig(**SHAPE), "GemmaForCausalLM is not written here .*convert_hf_to_gguf.py"),
        (LlamaConfig(**SHAPE, hidden_act="gelu"), "hidden_act = gelu"),
        (LlamaConfig(**SHAPE, rope_parameters={"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4}), "scaling yarn"),
        (Starcoder2Config(**SHAPE, use_bias=False), "use_bias"),
    ],
)
def test_a_model_that_llama_cpp_would_compute_otherwise_is_refused(
    tmp_path: Path, qwen2_tokenizer: Tokenizer, config, message: str
):
    model = write_model(config, tmp_path / "model", qwen2_tokenizer)
    with pytest.raises(InputError, match=message):
        write_gguf(model, tmp_path / "model.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_without_the_package_it_says_what_to_install(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "gguf", None)  # Python's own way to say that a module is not there
    with pytest.raises(InputError, match=r"pip install 'emend\[train\]'"):
        write_gguf(small, tmp_path / "model.gguf")


def test_what_is_no_model_or_no_place_is_refused(small: Path, tmp_path: Path):
    with pytest.raises(InputError, match="one of f32, f16"):
        write_gguf(small, tmp_path / "a.gguf", "q4_k")
    (tmp_path / "a.gguf").write_text("mine")
    with pytest.raises(InputError, match="exists"):
        write_gguf(small, tmp_path / "a.gguf")
    with pytest.raises(InputError, match="name the file"):
        write_gguf(small, tmp_path, force=True)
    with pytest.raises(InputError, match="nowhere"):
        write_gguf(tmp_path / "nowhere", tmp_path / "b.gguf")
    with pytest.raises(ModelError, match="nothing was left"), largest_file(20_000):
        write_gguf(small, tmp_path / "a.gguf", force=True)
    assert (tmp_path / "a.gguf").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gguf", "model"]
