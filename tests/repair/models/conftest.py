"""Tiny checkpoints with random weights, made once a session: one with the compact vocabulary, two plain ones."""

from __future__ import annotations

import random
import textwrap
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn.utils.rnn import pad_sequence
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from repair.models.tokens import TokenEncoder, read_tokenizer
from repair.prompts import SPECIALS, compact_prompt, compact_target, encode
from repair.views import Hunk, View

TEXT = Path(textwrap.__file__).read_text(encoding="utf-8").split("\n")


def train_bpe(vocabulary: int, specials: tuple[str, ...]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=list(specials), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


def save(model: torch.nn.Module, tokenizer: Tokenizer, directory: Path, **names: str) -> Path:
    model.save_pretrained(directory)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(directory)
    return directory


def tiny_llama(vocabulary: int, *, seed: int = 0, spread: float = 0.3) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=True, max_position_embeddings=1024, initializer_range=spread,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="session")
def compact_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = train_bpe(700, SPECIALS)
    names = {"pad_token": "<|pad|>", "bos_token": "<|bos|>", "eos_token": "<|eot|>"}
    return save(tiny_llama(704), tokenizer, tmp_path_factory.mktemp("compact"), **names)


@pytest.fixture(scope="session")
def plain_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = train_bpe(420, ("<|end|>",))
    torch.manual_seed(1)
    config = Qwen2Config(
        vocab_size=420, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=1024, eos_token_id=0, bos_token_id=None, initializer_range=0.3,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config).eval()
    return save(model, tokenizer, tmp_path_factory.mktemp("plain"), eos_token="<|end|>")


def faulty_sum(first_line: int, names: str, fault: int) -> tuple[View, Hunk]:
    """Three lines that should add; the one at `fault` subtracts. The task that the trained checkpoint has learnt."""
    lines = [f"    {n} = {n} + {other}" for n, other in zip(names, names[1:] + names[:1], strict=True)]
    right = lines[fault]
    lines[fault] = right.replace("+", "-")
    return View("a.py", "python", first_line, tuple(lines)), Hunk(first_line + fault, first_line + fault, right)


@pytest.fixture(scope="session")
def trained_directory(compact_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compact checkpoint after some seconds of training on `faulty_sum`."""
    tokenizer = read_tokenizer(compact_directory)
    encoder = TokenEncoder(tokenizer)
    torch.manual_seed(2)
    torch.set_num_threads(1)
    model = tiny_llama(704, spread=0.05).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=8e-3)
    falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, total_iters=100)
    pick = random.Random(0)
    for _ in range(100):
        rows = []
        for _ in range(8):
            view, hunk = faulty_sum(3, pick.choice(("abc", "xyz")), pick.randrange(3))
            prompt, target = encode(compact_prompt(view), encoder), encode(compact_target(view, [hunk]), encoder)
            rows.append((prompt + target, [-100] * len(prompt) + target))
        ids = pad_sequence([torch.tensor(r) for r, _ in rows], batch_first=True)
        labels = pad_sequence([torch.tensor(r) for _, r in rows], batch_first=True, padding_value=-100)
        model(ids, labels=labels).loss.backward()
        optimizer.step()
        falling.step()
        optimizer.zero_grad()
    return save(model.eval(), tokenizer, tmp_path_factory.mktemp("trained"), eos_token="<|eot|>", pad_token="<|pad|>")


@pytest.fixture
def view() -> View:
    lines = ("def area(box):", "    if box is None:", "        return 0", "", "    return box.width + box.height")
    return View(
        "shapes.py", "python", 7, lines, error="AssertionError: 5 != 6", frames=(11,), test="assert area(b) == 6"
    )
