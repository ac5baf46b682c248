"""Values that the tests of training share: a model of seconds, its data, a random batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.batches import Batch
from training.config import ModelConfig

TINY = ModelConfig(vocabulary=64, width=64, layers=2, heads=2, kv_heads=1, hidden=96, positions=128)


def write_copies(path: Path, documents: int = 200, seed: int = 0) -> None:
    """A flat stream of documents that say eight of eight tokens twice: which eight is learned first."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(documents):
        word = rng.integers(4, 12, 8)
        parts.append(np.concatenate([[1], word, [2], word]))
    np.save(path, np.concatenate(parts).astype(np.uint16))


def random_batch(vocabulary: int, lengths: tuple[tuple[int, ...], ...], length: int = 64, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    shape = (len(lengths), length)
    segments = np.zeros(shape, np.int64)
    for row, parts in enumerate(lengths):
        at = 0
        for number, part in enumerate(parts, 1):
            segments[row, at : at + part] = number
            at += part
    weights = (rng.random(shape) * (rng.random(shape) < 0.7) * (segments > 0)).astype(np.float32)
    return Batch(rng.integers(0, vocabulary, shape), rng.integers(0, vocabulary, shape), weights, segments)


def write_words(path: Path) -> Path:
    """A `tokenizer.json` of as many words as TINY has tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"<|pad|>": 0, "<|bos|>": 1, "<|eot|>": 2} | {f"w{n}": n for n in range(3, TINY.vocabulary)}
    backend = Tokenizer(models.WordLevel(words, unk_token="<|pad|>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.save(str(path))
    return path
