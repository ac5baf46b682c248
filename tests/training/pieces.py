"""Values that the tests of datasets share: tokenizers of milliseconds, records, a dataset folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from data.parquet import parquet_bytes
from data.records import ErrorOrigin, Origin, Record, to_row
from data.tokenizer import train_tokenizer
from repair.models.tokens import TokenEncoder
from training.encoding import CompactEncoder, NumberedEncoder

TEXTS = [
    f"def add{n}(a, b):\n    total = a + b\n    if total > {n}:\n        return total\n    return b\n" for n in range(9)
]
TEXTS += ["@@ 12-13\n@@ 20+\n@@ ok\nFile: m.py (python)\nCode:\n37|x = 1\nFix:\n"]


def record(number: int, *, clean: bool = False, repository: str = "") -> Record:
    """A function whose sum is a difference; each number has other names, so that no two repairs are the same."""
    fixed = (
        f"def join{number}(left, right):\n"
        f"    size{number} = left + right\n"
        f"    if size{number} > {number}:\n"
        f"        return size{number}\n"
        "    return right\n"
    )
    buggy = fixed if clean else fixed.replace("left + right", "left - right")
    return Record(
        language="python", buggy=buggy, fixed=fixed, origin=Origin.MUTANT, path="m.py", first_line=1 + number,
        function=f"join{number}", bug_classes=("clean",) if clean else ("arithmetic",), error="AssertionError: 1 != 3",
        error_type="AssertionError", error_origin=ErrorOrigin.TEMPLATE, frames=(2,),
        test=f"assert join{number}(1, 2) == 3", repository=repository or f"repository{number}",
    )  # fmt: skip


def records(faulty: int, clean: int = 0) -> list[Record]:
    return [record(n) for n in range(faulty)] + [record(n, clean=True) for n in range(faulty, faulty + clean)]


def write_dataset(folder: Path, **splits: Sequence[Record]) -> Path:
    """A folder as `emend data build` leaves it."""
    files: dict[str, object] = {}
    (folder / "data").mkdir(parents=True)
    for split, own in splits.items():
        for number in range(0, len(own), 40):
            content = parquet_bytes([to_row(one) for one in own[number : number + 40]])
            name = f"data/{split}-{number // 40:05d}.parquet"
            (folder / name).write_bytes(content)
            files[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    counts = {"split": {split: len(own) for split, own in splits.items()}}
    manifest = {"format": 1, "name": folder.name, "counts": counts, "files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def rejected(one: Record, fixed: str) -> Record:
    return replace(one, fixed=fixed, origin=Origin.FEEDBACK, accepted=False)


def compact_tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS * 4, 700)


def compact_encoder() -> CompactEncoder:
    return CompactEncoder(TokenEncoder(compact_tokenizer()))


def qwen_like() -> PreTrainedTokenizerFast:
    """Byte-level, split as Qwen2 does: `+` and the line end behind it may be one token."""
    tokenizer = train_tokenizer(TEXTS * 4, 700)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|eot|>", pad_token="<|pad|>")


def llama_like() -> PreTrainedTokenizerFast:
    """Spaces as a visible character, bytes where a character is unknown, a token before each prompt."""
    special = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256))]
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(parts)
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=special, show_progress=False)
    lines = [line for text in TEXTS for line in text.split("\n")]
    tokenizer.train_from_iterator(lines * 4, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", clean_up_tokenization_spaces=False
    )


def numbered_encoder() -> NumberedEncoder:
    return NumberedEncoder(qwen_like())
