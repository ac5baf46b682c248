"""The vocabulary of a byte-level BPE tokenizer.json as llama.cpp wants it: tokens, their types, the split's name.

llama.cpp has its own code for every way of splitting text before BPE and finds it by a name in the file; a wrong name
gives other token ids without a word. So the name is recognised from the split itself, and what is not recognised is an
error. `tests/training/test_gguf.py` compares the ids of each name with llama.cpp's. Knows no weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, cast

from repair.errors import InputError
from training.merging import read_table

CONVERT = "use llama.cpp's convert_hf_to_gguf.py on the merged directory"

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_QWEN2 = f"{_CONTRACTIONS}|{_WORDS}|\\p{{N}}|{_REST}"
_LLAMA3 = f"{_CONTRACTIONS}|{_WORDS}|\\p{{N}}{{1,3}}|{_REST}"
_DEEPSEEK_CODER = ("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+")
_DIGITS = "one digit"  # stands for the pre-tokenizer Digits, which has no expression
_GPT2 = "ByteLevel with its own expression"  # that of GPT-2
_BYTES = "ByteLevel"  # without an expression: bytes to letters only

# the steps of splitting, and what llama.cpp calls them with and without `ignore_merges`
_NAMES: Mapping[tuple[str, ...], Mapping[bool, str]] = {
    (_QWEN2, _BYTES): {False: "qwen2"},
    (_LLAMA3, _BYTES): {True: "llama-bpe", False: "smaug-bpe"},
    (*_DEEPSEEK_CODER, _DIGITS, _BYTES): {False: "deepseek-coder"},
    (_DIGITS, _GPT2): {False: "starcoder"},
    (_GPT2,): {False: "gpt-2"},
}


class TokenType(IntEnum):
    """Of `tokenizer.ggml.token_type`. BYTE belongs to SentencePiece: in byte-level BPE bytes are normal tokens."""

    NORMAL = 1
    CONTROL = 3  # read in text only where the caller asks for special tokens
    USER_DEFINED = 4  # always read in text
    UNUSED = 5


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens by id, their types and the name of the split; as many as the model has rows of embeddings."""

    tokens: tuple[str, ...]
    types: tuple[TokenType, ...]
    pre: str


def _steps(pre_tokenizer: Mapping[str, Any]) -> Iterator[str]:
    """The steps of splitting, as strings to compare and to show."""
    kind = pre_tokenizer.get("type")
    if kind == "Sequence":
        for step in pre_tokenizer["pretokenizers"]:
            yield from _steps(step)
    elif kind == "Split" and pre_tokenizer.get("behavior") == "Isolated" and not pre_tokenizer.get("invert"):
        yield pre_tokenizer["pattern"].get("Regex") or str(pre_tokenizer["pattern"])
    elif kind == "Digits" and pre_tokenizer.get("individual_digits"):
        yield _DIGITS
    elif kind == "ByteLevel" and not pre_tokenizer.get("add_prefix_space"):
        yield _GPT2 if pre_tokenizer.get("use_regex", True) else _BYTES
    else:
        yield str(pre_tokenizer)


def pre_tokenizer_name(tokenizer: Mapping[str, Any]) -> str:
    """What llama.cpp calls the split of a tokenizer.json. Raises InputError showing one that has no name."""
    steps = tuple(_steps(tokenizer.get("pre_tokenizer") or {"type": "none"}))
    ignore_merges = bool(tokenizer["model"].get("ignore_merges"))
    names = _NAMES.get(steps)
    if names is None:
        shown = "\n  ".join(steps)
        raise InputError(
            f"the tokenizer splits text in a way that has no name here:\n  {shown}\nllama.cpp would give other tokens "
            f"than the model was trained on; if llama.cpp knows it, {CONVERT}",
            field="tokenizer.json",
        )
    if ignore_merges not in names:
        raise InputError(
            f"the tokenizer splits text as {next(iter(names.values()))} does, but with ignore_merges = "
            f"{ignore_merges}, which llama.cpp has no name for",
            field="tokenizer.json",
        )
    return names[ignore_merges]


def _check_kind(directory: Path, tokenizer: Mapping[str, Any]) -> None:
    model = cast("Mapping[str, Any]", tokenizer.get("model") or {})
    kind = model.get("type", "BPE" if "merges" in model else "strange")  # old files do not say
    if kind != "BPE" or model.get("byte_fallback"):
        kind = "SentencePiece" if kind in ("BPE", "Unigram") else kind
        raise InputError(
            f"{directory} has a {kind} vocabulary; only byte-level BPE is written here: {CONVERT}",
            field="tokenizer.json",
        )
    odd = [name for name in ("continuing_subword_prefix", "end_of_word_suffix", "dropout") if model.get(name)]
    normalizer = cast("Mapping[str, Any]", tokenizer.get("normalizer") or {}).get("type", "NFC")
    if odd or normalizer != "NFC":  # llama.cpp does not normalise: text that is NFC already, as code is, stays equal
        what = f"normalizer {normalizer}" if not odd else odd[0]
        raise InputError(f"the tokenizer has {what}, which llama.cpp does not follow", field="tokenizer.json")


def _added(token: Mapping[str, Any]) -> TokenType:
    if token.get("lstrip") or token.get("rstrip") or token.get("single_word"):
        raise InputError(
            f"the token {token['content']} takes the spaces around it (lstrip, rstrip or single_word): llama.cpp would "
            "leave them",
            field="tokenizer.json",
        )
    return TokenType.CONTROL if token.get("special") else TokenType.USER_DEFINED


def read_vocabulary(directory: Path, size: int) -> Vocabulary:
    """The vocabulary of a model directory with `size` rows of embeddings; ids without a token become unused ones.

    Raises InputError when it is no byte-level BPE, larger than the embeddings, or nothing that llama.cpp knows.
    """
    if not (directory / "tokenizer.json").is_file() and (directory / "tokenizer.model").is_file():
        raise InputError(f"{directory} has a SentencePiece vocabulary: {CONVERT}", field="tokenizer.json")
    tokenizer = read_table(directory / "tokenizer.json", "tokenizer.json")
    _check_kind(directory, tokenizer)
    pre = pre_tokenizer_name(tokenizer)
    names: dict[int, str] = {id_: text for text, id_ in tokenizer["model"]["vocab"].items()}
    types = dict.fromkeys(names, TokenType.NORMAL)
    for token in tokenizer.get("added_tokens") or []:
        names[token["id"]], types[token["id"]] = token["content"], _added(token)
    if max(names) >= size:
        raise InputError(
            f"{directory}: the tokenizer has token {max(names)}, the model {size} rows of embeddings", field="model_dir"
        )
    return Vocabulary(
        tuple(names.get(id_, f"[PAD{id_}]") for id_ in range(size)),
        tuple(types.get(id_, TokenType.UNUSED) for id_ in range(size)),
        pre,
    )
