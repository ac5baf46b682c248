"""Shards that arrive: what lies in one depends on its number alone, every kind has its share, all material its turn."""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from data.arriving import Material, Work, arrive, main
from data.pack import Encoded, write_packed
from data.packs import PackFile, compress
from data.sources.packages import CodeFile
from data.streams import Corpus, Given, Stream, Style, Turn, mixture, places, read_stream
from data.tokenizer import LineEncoder, train_tokenizer
from repair.errors import InputError
from repair.prompts import SPECIALS

ROOT = Path(__file__).parents[2]
HOLE, FIX, OK, BOS = (SPECIALS.index(f"<|{name}|>") for name in ("fim_middle", "fix", "ok", "bos"))
MODULES = ("mutants.py", "inject.py", "pretrain.py", "labels.py", "dedup.py", "splits.py")
FILES = tuple(
    PackFile(CodeFile("emend", f"data/{name}", (ROOT / "data" / name).read_text("utf-8")), 1 + (name == "labels.py"))
    for name in MODULES
)
GIVEN = [Encoded(np.array([BOS, 300 + n, 301 + n], np.uint16), np.array([0, 3, 10], np.uint8)) for n in range(9)]
STYLE = Style(row=512, window=1200, each=2)
MIXED = "b:40K:code=0.25,holes=0.15,repair=0.5,given=0.1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Packs, a tokenizer and given shards."""
    folder = tmp_path_factory.mktemp("material")
    lines = "".join(json.dumps(file.row()) + "\n" for file in FILES)
    (folder / "code-0.jsonl.xz").write_bytes(compress(lines.encode()))
    train_tokenizer([file.code.text for file in FILES], 900).save(str(folder / "tokenizer.json"))
    write_packed(folder, "given-000", GIVEN, 16)
    return folder


@pytest.fixture(scope="module")
def corpus(folder):
    arrays = tuple(np.load(folder / f"given-000.{part}.npy") for part in ("ids", "weights", "segments"))
    return Corpus(FILES, LineEncoder.read(folder / "tokenizer.json"), Given((arrays,)))


def turn(text, number=0, of=2):
    return Turn(read_stream(text), number, of)


def test_streams_are_read_as_they_are_written():
    assert read_stream("b:1.5M:repair=.75,code=0.25") == Stream("b", 1_500_000, (("repair", 0.75), ("code", 0.25)))
    assert read_stream("a-2:20_000:code=1,holes=0") == Stream("a-2", 20_000, (("code", 1.0),))
    assert [read_stream(f"a:{n}:code=1").shards(2_000_000) for n in ("1", "3M", "0.5B")] == [1, 2, 250]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A:1M:code=1", "small letters"),
        ("a:many:code=1", "'many' is no number of tokens"),
        ("a:0:code=1", "no number of tokens"),
        ("a:1M", "is no share"),
        ("a:1M:cod=1", "'cod=1' is no share"),
        ("a:1M:code=0.5,code=0.5", "once each"),
        ("a:1M:code=0.5,holes=0.4", "make 0.9, not 1"),
    ],
)
def test_streams_that_cannot_be_are_named(text, said):
    with pytest.raises(InputError, match=said):
        read_stream(text)


def test_all_material_has_its_turn_once_in_a_pass():
    found = [list(islice(places(turn("a:9:code=1", n, 3), STYLE, "code", 10), 10)) for n in range(3)]
    placed = sorted(pair for one in found for pair in one)
    assert [place for place, _ in placed] == list(range(30))
    passes = [[entry for _, entry in placed[begin : begin + 10]] for begin in (0, 10, 20)]
    assert all(sorted(one) == list(range(10)) for one in passes) and passes[0] != passes[1]


def test_a_shard_depends_on_its_number_alone(corpus):
    second = mixture(turn(MIXED, 1), STYLE, corpus, 8000)[0]
    first = mixture(turn(MIXED, 0), STYLE, corpus, 8000)[0]
    again = mixture(turn(MIXED, 1), STYLE, corpus, 8000)[0]
    as_bytes = [[(one.ids.tobytes(), one.weights.tobytes()) for one in made] for made in (first, second, again)]
    assert as_bytes[1] == as_bytes[2]
    assert not set(as_bytes[0]) & {pair for pair in as_bytes[1] if len(pair[0]) > 6}  # the given ones come again
    other = mixture(turn(MIXED, 1), Style(seed=2, row=512, window=1200, each=2), corpus, 8000)[0]
    assert [one.ids.tobytes() for one in other] != [pair[0] for pair in as_bytes[1]]


def test_every_kind_has_its_share_and_its_form(corpus):
    sizes = mixture(turn(MIXED), STYLE, corpus, 20_000)[1]
    wanted = {"code": 5000, "holes": 3000, "repair": 10_000, "given": 2000}
    assert all(wanted[kind] <= size < wanted[kind] + STYLE.row for kind, size in sizes.items())
    code, holes, repair = (mixture(turn(f"a:9:{k}=1"), STYLE, corpus, 20_000)[0] for k in ("code", "holes", "repair"))
    assert not any(HOLE in one.ids or FIX in one.ids for one in code)
    assert all(HOLE in one.ids and FIX in one.ids for one in holes)
    assert all(FIX in one.ids and HOLE not in one.ids for one in repair)
    assert all(one.ids[0] == BOS and len(one) <= STYLE.row for one in (*code, *holes, *repair))
    clean = sum(OK in one.ids for one in repair) / len(repair)
    assert 0.1 < clean < 0.26
    assert {int(w) for one in code for w in one.weights} <= {0, 3, 10}
    assert max(int(one.weights.max()) for one in repair) == 30


def test_a_file_is_cut_at_other_places_when_it_comes_again(corpus):
    one = Corpus(FILES[:1], corpus.encoder)
    made = mixture(turn("a:9:code=1", 0, 1), Style(row=2048, plain_share=0.0), one, 12_000)[0]
    begins = {tuple(i for i in one.ids[4:24] if i >= len(SPECIALS)) for one in made}
    assert len(made) > 8 and len(begins) > 6


def test_given_examples_come_as_they_are(corpus):
    made = mixture(turn("c:9:given=1", 0, 1), STYLE, corpus, 27 * 4)[0]
    assert Counter(one.ids.tobytes() for one in made) == {one.ids.tobytes(): 4 for one in GIVEN}
    assert {tuple(one.weights) for one in made} == {(0, 3, 10)}


def test_a_test_of_the_pack_is_shown(corpus):
    named = [replace(FILES[0], tests={"broken": "assert broken(1) == 2"})]
    made = mixture(turn("c:9:repair=1"), Style(each=20), Corpus(named, corpus.encoder), 60_000)[0]
    ids = [i for line in corpus.encoder.encode_lines(["assert broken(1) == 2"]) for i in line]
    assert any(ids == list(one.ids[at : at + len(ids)]) for one in made for at in np.flatnonzero(one.ids == ids[0]))


@pytest.mark.parametrize("kind", ["code", "repair", "given"])
def test_a_kind_without_material_is_an_error_and_no_endless_search(corpus, kind):
    empty = Corpus([PackFile(CodeFile("p", "a.py", "\n"))], corpus.encoder)
    with pytest.raises(InputError, match=f"nothing that gives a document of kind {kind}"):
        mixture(turn(f"a:9:{kind}=1"), STYLE, empty, 1000)


def work(folder, out, **style):
    material = Material((folder / "code-0.jsonl.xz",), folder / "tokenizer.json", (folder / "given-000.ids.npy",))
    chosen = Style(**{"row": 512, "window": 1200, "each": 2, **style})
    return Work(out, material, (read_stream("a:20K:code=0.6,holes=0.4"), read_stream(MIXED)), chosen, 20_000)


def arguments(folder, out):
    packs, given = f"{folder}/code-*.jsonl.xz", f"{folder}/given-*.ids.npy"
    chosen = ["--row", "512", "--window", "1200", "--each", "2", "--shard", "20000"]
    streams = ["--stream", "a:20K:code=0.6,holes=0.4", "--stream", MIXED]
    return [str(out), "--packs", packs, "--tokenizer", f"{folder}/tokenizer.json", "--given", given, *streams, *chosen]


@pytest.fixture(scope="module")
def arrived(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    told = []
    totals = arrive(work(folder, out), 1, lambda made: told.append((made.turn.stream.name, made.turn.number)))
    return out, totals, told


def contents(out):
    return {path.name: path.read_bytes() for path in out.iterdir()}


def test_shards_come_in_order_and_the_end_says_what_there_is(arrived):
    out, totals, told = arrived
    assert told == [("a", 0), ("b", 0), ("b", 1)]
    for name, tokens in (("a", 20_000), ("b", 40_000)):
        end = json.loads((out / f"{name}.end").read_text())
        segments = [np.load(path) for path in sorted(out.glob(f"{name}-*.segments.npy"))]
        assert end == totals[name]
        assert end["tokens"] == sum(int((s > 0).sum()) for s in segments)
        assert (end["shards"], end["rows"]) == (len(segments), sum(map(len, segments)))
        assert tokens <= end["tokens"] < 1.2 * tokens


def test_several_processes_write_the_same_bytes(arrived, folder, tmp_path):
    command = [sys.executable, "-m", "data.arriving", *arguments(folder, tmp_path / "out"), "--jobs", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["a-00000 of 1", "b-00000 of 2", "b-00001 of 2"]
    assert contents(tmp_path / "out") == contents(arrived[0])


def test_what_is_finished_stays_and_what_is_not_is_made_again(arrived, folder, tmp_path, capsys):
    before = contents(arrived[0])
    for name, content in before.items():
        (tmp_path / name).write_bytes(content)
    for name in ("b.end", "b-00001.json", "b-00000.weights.npy"):
        (tmp_path / name).unlink()
    assert main(arguments(folder, tmp_path)) == 0
    assert [": " in line and line.endswith("kept") for line in capsys.readouterr().err.splitlines()] == [
        True,
        False,
        False,
    ]
    assert contents(tmp_path) == before


def test_shards_of_other_settings_are_not_taken_for_these(arrived, folder):
    with pytest.raises(InputError, match="made with other settings; name an empty folder"):
        arrive(work(folder, arrived[0], seed=2), 1)


def test_missing_and_wrong_files_are_named(folder, tmp_path, capsys):
    assert main([*arguments(folder, tmp_path), "--packs", f"{folder}/none-*.xz"]) == 2
    assert "no file matches" in capsys.readouterr().err
    assert main([*arguments(folder, tmp_path), "--tokenizer", f"{folder}/none.json"]) == 2
    assert "none.json: no such file" in capsys.readouterr().err
    given = tmp_path / "flat.ids.npy"
    np.save(given, np.zeros(4, np.uint16))
    assert main([*arguments(folder, tmp_path / "out"), "--given", str(given)]) == 2
    assert "flat.ids.npy is no packed shard" in capsys.readouterr().err
    assert main([*arguments(folder, tmp_path), "--each", "0"]) == 2
    assert "each is 0" in capsys.readouterr().err
