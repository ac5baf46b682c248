"""From a user's dataset to training examples: what is read, left out, chosen, kept in the cache and refused."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.parquet import parquet_bytes
from data.records import example, to_row
from repair.errors import InputError, SuiteError
from repair.models.tokens import TokenEncoder
from repair.prompts import Role
from repair.replies import Change, check_hunks, parse_compact
from tests.training.pieces import (
    compact_encoder,
    compact_tokenizer,
    numbered_encoder,
    record,
    records,
    rejected,
    write_dataset,
)
from training.config import DataConfig, ObjectiveConfig, Recipe, RunConfig
from training.corpus import Corpus, choose, read_corpus
from training.encoding import ExampleEncoder, Tokens
from training.records import record_of
from training.shuffled import moved, shuffled_answers

ENCODER = compact_encoder()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "emend" / "encoded"


def recipe(*paths: Path, seed: int = 0, objective: ObjectiveConfig | None = None, **settings: object) -> Recipe:
    config = DataConfig(**{"dataset": tuple(map(str, paths)), **settings})  # type: ignore[arg-type]
    return Recipe(data=config, objective=objective or ObjectiveConfig(), run=RunConfig(out=Path("run"), seed=seed))


def write_rows(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


MINIMAL = {"buggy": "def f(a):\n    return a - 1", "fixed": "def f(a):\n    return a + 1"}


class Counting:
    """An encoder that counts what it is asked."""

    def __init__(self, encoder: ExampleEncoder) -> None:
        self.vocabulary, self.pad, self.fingerprint = encoder.vocabulary, encoder.pad, encoder.fingerprint
        self._encoder, self.calls = encoder, 0

    def encode(self, pair: object, limit: int) -> Tokens:
        self.calls += 1
        return self._encoder.encode(pair, limit)  # type: ignore[arg-type]


def test_a_built_folder_becomes_examples_in_order(tmp_path: Path):
    own = records(45, 5)
    folder = write_dataset(tmp_path / "set", train=own, validation=records(3))
    corpus = read_corpus(recipe(folder), "train", ENCODER)
    assert (len(corpus), corpus.counts.faulty, corpus.counts.clean, corpus.too_long) == (50, 45, 5, 0)
    assert list(corpus.pairs) == [example(one) for one in own]
    assert corpus.pairs[-1:] == [example(own[-1])]
    assert [len(corpus.example(i).ids) for i in range(50)] == corpus.lengths.tolist()
    tokens = ENCODER.encode(example(own[7]), 512)
    assert corpus.example(7).ids.tolist() == tokens.ids.tolist()
    assert corpus.example(7).weights[tokens.roles == Role.POINTER].tolist() == [3.0, 3.0]
    assert corpus.highest < ENCODER.vocabulary
    (origin,) = corpus.origins
    assert (origin.name, origin.records, len(origin.sha256)) == ("set", 50, 64)
    assert len(read_corpus(recipe(folder), "validation", ENCODER)) == 3


def test_what_teaches_nothing_is_counted_and_left_out(tmp_path: Path):
    good = records(3)
    long_text = replace(good[0], buggy="x = 1\n" * 300, fixed="x = 1\n" * 299 + "x = 2\n")
    long_row = replace(good[0], buggy="x = 'a b'\n" * 150, fixed="x = 'a b'\n" * 149 + "x = 2\n")
    folder = write_dataset(tmp_path / "set", train=[*good, rejected(good[0], "x = 3\n"), long_text, long_row])
    corpus = read_corpus(recipe(folder), "train", ENCODER)
    counts = corpus.counts
    assert (counts.faulty, counts.rejected, counts.long_text, counts.too_long) == (3, 1, 1, 1)
    assert max(corpus.lengths) <= 512


def test_a_bare_file_is_looked_through_for_secrets(tmp_path: Path):
    good = records(2)
    token = "ghp_" + "a8F3kLm0Qz" * 3 + "Zt91qW"  # of the form of a token of GitHub; in no use
    leaked = replace(good[0], fixed=good[0].fixed + f'TOKEN = "{token}"\n')
    path = tmp_path / "own.jsonl"
    path.write_text(
        "".join(json.dumps({"buggy": r.buggy, "fixed": r.fixed, "split": "train"}) + "\n" for r in (*good, leaked))
    )
    corpus = read_corpus(recipe(path), "train", ENCODER)
    assert (len(corpus), corpus.counts.secret) == (2, 1)
    assert all(token not in corpus.record(n).fixed for n in range(2))


def test_encoded_once_and_weighed_anew(tmp_path: Path):
    folder = write_dataset(tmp_path / "set", train=records(10))
    encoder = Counting(ENCODER)
    first = read_corpus(recipe(folder), "train", encoder)
    again = read_corpus(recipe(folder, objective=ObjectiveConfig(pointer=7.0)), "train", encoder)
    assert encoder.calls == 10
    assert again.example(3).weights.max() == 7.0
    assert first.example(3).weights.max() == 3.0
    read_corpus(recipe(folder, row_length=300), "train", encoder)
    assert encoder.calls == 20
    read_corpus(recipe(folder), "train", numbered_encoder())  # another tokenizer
    shutil.rmtree(folder)
    write_dataset(folder, train=records(11))
    assert len(read_corpus(recipe(folder), "train", encoder)) == 11


@pytest.mark.parametrize("damage", ["truncate", "flip", "meta", "remove"])
def test_a_torn_cache_is_made_again(tmp_path: Path, cache: Path, damage: str):
    folder = write_dataset(tmp_path / "set", train=records(10))
    whole = read_corpus(recipe(folder), "train", ENCODER)
    before = [whole.example(i).ids.tolist() for i in range(10)]
    (kept,) = (path for path in cache.iterdir() if path.is_dir())
    ids = kept / "ids.u32"
    match damage:
        case "truncate":
            os.truncate(ids, 12)
        case "flip":
            content = bytearray(ids.read_bytes())
            content[40] ^= 1
            ids.unlink()  # the open corpus keeps the old file
            ids.write_bytes(content)
        case "meta":
            (kept / "meta.json").write_text("{}")
        case _:
            (kept / "index.npy").unlink()
    again = read_corpus(recipe(folder), "train", ENCODER)
    assert [again.example(i).ids.tolist() for i in range(10)] == before


def test_an_encoding_that_fails_leaves_nothing(tmp_path: Path, cache: Path):
    file = write_rows(tmp_path / "rows.jsonl", {**MINIMAL, "split": "train"}, {"buggy": "x\n", "split": "train"})
    with pytest.raises(SuiteError):
        read_corpus(recipe(file), "train", ENCODER)
    assert [path for path in cache.iterdir() if path.is_dir()] == []


def test_what_a_killed_process_left_is_removed(tmp_path: Path, cache: Path):
    folder = write_dataset(tmp_path / "set", train=records(3))
    read_corpus(recipe(folder), "train", ENCODER)
    (kept,) = (path for path in cache.iterdir() if path.is_dir())
    kept.rename(kept.with_name(f"{kept.name}.x1y2"))
    assert len(read_corpus(recipe(folder), "train", ENCODER)) == 3
    assert [path.name for path in cache.iterdir() if path.is_dir()] == [kept.name]


def _read(folder: Path, cache: Path, queue: multiprocessing.Queue[str]) -> None:
    os.environ["XDG_CACHE_HOME"] = str(cache)
    queue.put(read_corpus(recipe(folder), "train", compact_encoder()).digest)


def test_a_cache_that_cannot_be_written_lies_beside_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = write_dataset(tmp_path / "set", train=records(4))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    own = recipe(folder)
    own = replace(own, run=replace(own.run, out=tmp_path / "run"))
    assert len(read_corpus(own, "train", ENCODER)) == 4
    assert any((tmp_path / "run" / "encoded").iterdir())


def test_rows_by_hand_need_two_fields_and_are_read_as_at_serving(tmp_path: Path):
    trace = 'Traceback (most recent call last):\n  File "solution.py", line 2, in f\n    return a - 1\nTypeError: bad'
    file = write_rows(
        tmp_path / "rows.jsonl", {**MINIMAL, "split": "train", "error": trace, "test": "assert f(1) == 2"}
    )
    (pair,) = read_corpus(recipe(file), "train", ENCODER).pairs
    view = pair.view
    assert (view.error, view.frames, view.test) == ("TypeError: bad", (2,), "assert f(1) == 2")
    assert (view.language, view.path, view.lines[-1]) == ("python", "solution.py", "    return a - 1")
    assert [h.text for h in pair.hunks] == ["    return a + 1"]


def test_files_are_divided_by_hash_or_by_their_rows(tmp_path: Path):
    own = [to_row(record(n)) for n in range(200)]
    jsonl = write_rows(tmp_path / "rows.jsonl", *own)
    parquet = tmp_path / "rows.parquet"
    parquet.write_bytes(parquet_bytes(own))
    parts = {split: read_corpus(recipe(jsonl), split, ENCODER) for split in ("train", "validation", "test")}
    assert sum(map(len, parts.values())) == 200
    assert len(parts["train"]) > 150
    for split, corpus in parts.items():
        assert list(read_corpus(recipe(parquet), split, ENCODER).pairs) == list(corpus.pairs)
    swapped = write_rows(tmp_path / "swapped.jsonl", *reversed(own))
    assert list(read_corpus(recipe(swapped), "test", ENCODER).pairs) == list(parts["test"].pairs)[::-1]
    named = write_rows(tmp_path / "named.jsonl", *({**row, "split": "mine"} for row in own))
    assert len(read_corpus(recipe(named), "mine", ENCODER)) == 200
    with pytest.raises(InputError, match=r"no record of the split 'train'; there are mine \(200\)"):
        read_corpus(recipe(named), "train", ENCODER)


def test_the_same_repaired_code_lies_in_one_split(tmp_path: Path):
    rows = [{"buggy": f"def f{n}(a):\n    return a {sign} 1\n", "fixed": f"def f{n}(a):\n    return a + 1\n"}
            for n in range(60) for sign in "-*/"]  # fmt: skip
    file = write_rows(tmp_path / "rows.jsonl", *rows)
    where: dict[str, Counter[str]] = {}
    for split in ("train", "validation", "test"):
        try:
            found = read_corpus(recipe(file), split, ENCODER)
        except InputError:
            continue
        where[split] = Counter(pair.hunks[0].text + pair.view.lines[0] for pair in found.pairs)
    assert sum(len(names) for names in where.values()) == 60
    assert all(count == 3 for names in where.values() for count in names.values())
    assert len(where) > 1


@pytest.mark.parametrize(
    ("row", "field", "told"),
    [
        ({"buggy": "x\n"}, "fixed", "fixed is missing"),
        ({**MINIMAL, "fixed": ""}, "fixed", "fixed is missing or empty"),
        ({**MINIMAL, "buggy": 3}, "buggy", "buggy must be a text, it is 3"),
        ({**MINIMAL, "fixd": "x"}, "fixd", "unknown field 'fixd'; did you mean fixed?"),
        ({**MINIMAL, "language": "cobol"}, "language", "language is 'cobol'; known are python"),
        ({**MINIMAL, "frames": ["2"]}, "frames", "frames must be a list of whole numbers"),
        ({**MINIMAL, "first_line": True}, "first_line", "first_line must be a whole number"),
        ({**MINIMAL, "first_line": 0}, "first_line", "lines count from 1"),
        ({**MINIMAL, "origin": "me"}, "origin", "origin must be one of commit"),
        ({**MINIMAL, "error": "half \ud800"}, "error", "error holds half a character"),
        ({**to_row(record(1)), "schema": 9}, "schema", "schema is 9; this Emend reads records of schema 1"),
    ],
)  # fmt: skip
def test_a_bad_row_is_named_by_file_line_and_field(tmp_path: Path, row: dict[str, object], field: str, told: str):
    file = write_rows(tmp_path / "rows.jsonl", MINIMAL, {}, row)
    file.write_text(file.read_text().replace("{}\n", "\n"))
    with pytest.raises(SuiteError) as caught:
        read_corpus(recipe(file), "train", ENCODER)
    assert str(caught.value).startswith(f"{file}:3: ")
    assert told in str(caught.value)
    assert (caught.value.field, caught.value.line) == (field, 3)


def test_files_that_are_no_dataset_are_refused(tmp_path: Path):
    torn = write_dataset(tmp_path / "torn", train=records(3))
    (torn / "data" / "train-00000.parquet").write_bytes(b"PAR1")
    old = write_dataset(tmp_path / "old", train=records(3))
    manifest = json.loads((old / "manifest.json").read_text())
    (old / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))
    unfinished = write_dataset(tmp_path / "unfinished", train=records(3))
    (unfinished / "manifest.json").unlink()
    (tmp_path / "rows.csv").write_text("")
    (tmp_path / "rows.jsonl").write_text("{no\n")
    (tmp_path / "list.jsonl").write_text("[]\n")
    (tmp_path / "rows.parquet").write_bytes(b"none")
    for name, told in {
        "torn": "is not the file that the manifest tells of",
        "old": "format 99; this Emend reads format 1",
        "unfinished": "has no manifest.json",
        "missing": "no such folder or file",
        "rows.csv": "neither a folder nor",
        "rows.jsonl": "rows.jsonl:1: not JSON",
        "list.jsonl": "list.jsonl:1: not an object",
        "rows.parquet": "cannot be read as Parquet",
    }.items():
        with pytest.raises(InputError, match=told):
            read_corpus(recipe(tmp_path / name), "train", ENCODER)
    with pytest.raises(InputError, match=r"data\.dataset names nothing"):
        read_corpus(recipe(), "train", ENCODER)


def test_an_empty_split_names_those_that_are_there(tmp_path: Path):
    folder = write_dataset(tmp_path / "set", train=records(4), test=records(2))
    with pytest.raises(InputError, match=r"'validation'; there are test \(2\), train \(4\)"):
        read_corpus(recipe(folder), "validation", ENCODER)
    both = recipe(folder, write_dataset(tmp_path / "other", validation=records(3)))
    assert [o.records for o in read_corpus(both, "validation", ENCODER).origins] == [0, 3]


def test_nothing_left_says_what_became_of_the_records(tmp_path: Path):
    folder = write_dataset(tmp_path / "set", train=[*records(4), rejected(record(1), "x = 1\n")])
    with pytest.raises(InputError, match=r"1 rejected, 4 too long; a row has 20 tokens") as caught:
        read_corpus(recipe(folder, row_length=20), "train", ENCODER)
    assert caught.value.field == "data.row_length"


def test_ids_beyond_the_model_are_refused(tmp_path: Path):
    corpus = read_corpus(recipe(write_dataset(tmp_path / "set", train=records(4))), "train", ENCODER)
    corpus.require(corpus.highest + 1)
    with pytest.raises(InputError, match=f"token id {corpus.highest} is beyond the model's {corpus.highest} rows"):
        corpus.require(corpus.highest)


def test_a_limit_keeps_the_share_of_clean_examples_and_holds_for_training_alone(tmp_path: Path):
    folder = write_dataset(tmp_path / "set", train=records(40, 10), validation=records(8))

    def names(seed: int, split: str = "train") -> list[str]:
        return [p.function for p in read_corpus(recipe(folder, limit=20, seed=seed), split, ENCODER).pairs]

    corpus = read_corpus(recipe(folder, limit=20), "train", ENCODER)
    assert (corpus.counts.faulty, corpus.counts.clean) == (16, 4)
    assert names(1) == names(1) != names(2)
    assert len(set(names(1))) == 20
    assert len(names(1, "validation")) == 8
    assert corpus.digest != read_corpus(recipe(folder), "train", ENCODER).digest


@pytest.mark.parametrize(
    ("share", "limit", "faulty", "clean"),
    [(0.0, 0, 80, 0), (0.1, 0, 80, 9), (0.5, 0, 80, 80), (0.5, 60, 30, 30), (0.9, 500, 50, 450), (-1, 50, 40, 10)],
)
def test_clean_examples_are_dropped_or_repeated_evenly(share: float, limit: int, faulty: int, clean: int):
    marks = np.arange(100) % 5 == 0
    chosen = choose(marks, DataConfig(clean_share=share, limit=limit), seed=0)
    repeated = Counter(chosen.tolist())
    assert (int((~marks[chosen]).sum()), int(marks[chosen].sum())) == (faulty, clean)
    assert max((n for i, n in repeated.items() if not marks[i])) == 1
    of_clean = [n for i, n in repeated.items() if marks[i]]
    assert not of_clean or max(of_clean) - min(of_clean) <= 1


def test_shares_that_cannot_be_had_are_refused():
    for marks, share, told in ((np.ones(4, bool), 0.5, "with a fault"), (np.zeros(4, bool), 0.5, "without a fault")):
        with pytest.raises(InputError, match=told):
            choose(marks, DataConfig(clean_share=share), seed=0)


def _answers(corpus: Corpus) -> list[object]:
    """What each example answers, read from its tokens."""
    encoder = TokenEncoder(compact_tokenizer())
    found = []
    for i in range(len(corpus)):
        tokens = ENCODER.encode(corpus.pairs[i], 512)
        reply = parse_compact(encoder.decode(corpus.example(i).ids[tokens.prompt :].tolist()), corpus.pairs[i].view)
        found.append(reply)
    return found


def test_shuffled_answers_are_valid_and_never_ones_own(tmp_path: Path):
    own = records(30, 4)
    folder = write_dataset(tmp_path / "set", train=own, validation=records(5))
    corpus = read_corpus(recipe(folder, control="shuffled"), "train", ENCODER)
    truth = [example(one) for one in own]
    assert list(corpus.pairs) == truth  # measured by what is right
    texts = []
    for pair, reply in zip(truth, _answers(corpus), strict=True):
        if pair.hunks:
            assert isinstance(reply, Change)
            assert reply.hunks != pair.hunks
            assert isinstance(check_hunks(reply.hunks, pair.view), Change)
            texts.append(reply.hunks[0].text)
            assert texts[-1] != pair.hunks[0].text
    assert sorted(texts) == sorted(pair.hunks[0].text for pair in truth if pair.hunks)  # each taken once
    again = read_corpus(recipe(folder, control="shuffled"), "train", ENCODER)
    other = read_corpus(recipe(folder, control="shuffled", seed=1), "train", ENCODER)
    assert _answers(again) == _answers(corpus) != _answers(other)
    assert _answers(read_corpus(recipe(folder, control="shuffled"), "validation", ENCODER)) == [
        Change(example(one).hunks) for one in records(5)
    ]


def test_an_answer_that_happens_to_be_right_is_moved_elsewhere():
    own = example(record(2))
    found = {moved(own.hunks, own, np.random.default_rng(seed)) for seed in range(40)}
    assert own.hunks not in found
    assert len(found) == len(own.view.lines) - 1
    assert all(isinstance(check_hunks(hunks, own.view), Change) for hunks in found)


def test_examples_that_all_say_the_same_get_a_wrong_answer():
    same = [example(replace(record(1), first_line=1)) for _ in range(3)]
    answers = shuffled_answers(np.arange(3), lambda n: same[n], seed=0)
    assert all(answers(n) != same[n].hunks for n in range(3))


def test_two_examples_are_needed_to_exchange_answers(tmp_path: Path):
    folder = write_dataset(tmp_path / "set", train=records(1, 5))
    with pytest.raises(InputError, match="no two faulty examples"):
        read_corpus(recipe(folder, control="shuffled"), "train", ENCODER)


def test_processes_that_start_together_encode_once(tmp_path: Path):
    folder = write_dataset(tmp_path / "set", train=records(60))
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[str] = context.Queue()
    both = [context.Process(target=_read, args=(folder, tmp_path / "cache", queue)) for _ in range(2)]
    for process in both:
        process.start()
    found = {queue.get(timeout=300) for _ in both}
    for process in both:
        process.join()
    assert len(found) == 1
    assert len([p for p in (tmp_path / "cache" / "emend" / "encoded").iterdir() if p.is_dir()]) == 1


def test_a_record_of_the_pipeline_is_read_unchanged():
    assert record_of(to_row(record(5))) == record(5)
