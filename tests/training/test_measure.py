from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

from data.mutants import Example as Pair
from data.parquet import parquet_bytes
from data.records import Origin, Record, to_row
from data.tokenizer import train_tokenizer
from repair.candidates import Completion
from repair.errors import InputError, ModelError, SuiteError
from repair.model import Decoding, LineBelief, Usage
from repair.models.tokens import TokenEncoder
from repair.prompts import compact_prompt, compact_target, encode
from repair.replies import render_reply
from repair.views import Hunk, View
from training.config import ModelConfig
from training.encoding import encoder_of
from training.export import export_plain
from training.heldout import Held, choose, named, read_heldout
from training.measure import Checkpoint, load_network, main, measure_model, measure_network, meter_of
from training.meter import Effort, Meter, applied
from training.model import Llama
from training.probes import CompactProbe, Limits
from training.scores import calibration_error, summarise
from training.searching import searched

# transformers 5.23 warns about an attribute that peft 0.21 asks for
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
VIEW = View("a.py", "python", 10, ("def f(xs):", "    t = 0", "    return t + len(xs)"))
FIX = (Hunk(11, 11, "    t = 1"),)
TEXTS = ["def f(xs):\n    return t\n    t = 0\n"] * 50
ROW = {"path": "a.py", "language": "python", "first_line": 1, "lines": ["t = 1", "return t"], "error": "",
       "frames": [], "test": "", "context": []}  # fmt: skip


def held(name: str, view: View, hunks: tuple[Hunk, ...]) -> Held:
    return Held(name, Pair(view, hunks, (), (), "", ""))


FAULTY, CLEAN = held("faulty", VIEW, FIX), held("clean", VIEW, ())


@pytest.fixture(scope="module")
def encoder() -> TokenEncoder:
    return TokenEncoder(train_tokenizer(TEXTS, 600))


@pytest.fixture(scope="module")
def compact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint of the embedded kind."""
    place = tmp_path_factory.mktemp("compact")
    torch.manual_seed(0)
    tokenizer = train_tokenizer(TEXTS, 600)
    tokenizer.save(str(place / "tokenizer.json"))
    shape = ModelConfig(tokenizer.get_vocab_size(), width=64, layers=2, heads=2, kv_heads=1, hidden=64, positions=256)
    export_plain(Llama(shape).state_dict(), shape, place / "tokenizer.json", place / "model")
    return place / "model"


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen2 with a vocabulary of bytes and an end-of-text token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    place = tmp_path_factory.mktemp("numbered")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({letter: at for at, letter in enumerate(letters)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>").save_pretrained(place)
    torch.manual_seed(0)
    shape = Qwen2Config(
        vocab_size=300, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=512, bos_token_id=None, eos_token_id=256,
    )  # fmt: skip
    Qwen2ForCausalLM(shape).save_pretrained(place)
    return place


class Says:
    """A model whose proposals are known."""

    name, usage = "says", Usage()

    def __init__(self, *texts: str) -> None:
        self.texts = texts

    def locate(self, view: View) -> LineBelief:
        raise AssertionError("the compact format's belief stands in the pass that was made anyway")

    def score(self, view: View, changes: Sequence[tuple[Hunk, ...]]) -> list[float]:
        raise NotImplementedError

    def propose(self, view: View, decoding: Decoding) -> Any:
        yield from (Completion(text) for text in self.texts[: decoding.candidates])


def believes(encoder: TokenEncoder, believed: list[int], says: Says | None = None) -> Meter:
    """A model that puts its belief on one token sequence."""

    def logits(ids: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        found = torch.zeros(len(ids), ids.shape[1], encoder.vocabulary)
        for place, token in enumerate(believed[1 : ids.shape[1]]):
            found[:, place, token] = 9.0
        return found[:, at]

    return Meter(logits, CompactProbe(encoder, Limits(1024, 4096)), lambda: says or Says())


def oracle(encoder: TokenEncoder, view: View, hunks: tuple[Hunk, ...], says: Says | None = None) -> Meter:
    return believes(encoder, encode((*compact_prompt(view), *compact_target(view, hunks)), encoder), says)


def test_a_model_that_knows_the_answer_scores_full(encoder: TokenEncoder):
    (score,) = oracle(encoder, VIEW, FIX).score([FAULTY])
    assert (score.rank, score.line_rank, score.called_ok, score.exact, score.exact_given_line) == (
        1, 1, False, True, True,
    )  # fmt: skip
    assert score.bits < 3.0
    assert score.bytes == sum(len(line) + 1 for line in VIEW.lines)
    assert score.clean_bytes == score.bytes - len(VIEW.lines[1])  # the end of the line is a line token
    assert score.proposed == -1


def test_the_right_text_at_the_wrong_line_counts_only_when_the_line_is_given(encoder: TokenEncoder):
    believed = encode((*compact_prompt(VIEW), *compact_target(VIEW, FIX)), encoder)
    other = compact_target(VIEW, (Hunk(12, 12, "    t = 1"),))
    believed[len(encode(compact_prompt(VIEW), encoder))] = encode(other, encoder)[0]
    (score,) = believes(encoder, believed).score([FAULTY])
    assert (score.rank, score.exact, score.exact_given_line) == (2, False, True)


def test_no_fault_is_an_answer(encoder: TokenEncoder):
    scores = oracle(encoder, VIEW, ()).score([CLEAN, FAULTY])
    assert [s.called_ok for s in scores] == [True, True]
    assert scores[0].no_fault > 0.99
    assert scores[1].rank == 2
    assert scores[1].line_rank == 1  # every line has the same belief, and ties do the model no harm
    found = summarise(scores)
    assert (found["ok_precision"], found["ok_recall"], found["location@1"], found["location@5"]) == (0.5, 1.0, 0.0, 1.0)
    assert found["ok_f1"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["ok_brier"] == pytest.approx(0.5, abs=0.01)  # sure, and wrong in one of two
    assert found["ok_ece"] == pytest.approx(0.5, abs=0.01)


def test_weights_that_are_not_finite_find_nothing(encoder: TokenEncoder):
    probe = CompactProbe(encoder, Limits(1024, 4096))
    broken = Meter(lambda ids, at: torch.full((len(ids), len(at), encoder.vocabulary), math.nan), probe, Says)
    scores = broken.score([FAULTY, CLEAN])
    assert [(s.rank > 1, s.exact, s.called_ok) for s in scores] == [(True, False, False)] * 2


def test_an_unsure_model_needs_the_bits_of_a_uniform_guess(encoder: TokenEncoder):
    (score,) = believes(encoder, []).score([FAULTY])
    bare = replace(VIEW, lines=())
    tokens = len(encode(compact_prompt(VIEW), encoder)) - len(encode(compact_prompt(bare), encoder))
    faulty = len(encoder.encode_lines([VIEW.lines[1]])[0])
    assert score.bits == pytest.approx(tokens * math.log2(encoder.vocabulary), rel=1e-4)
    assert score.clean_bits == pytest.approx((tokens - faulty) * math.log2(encoder.vocabulary), rel=1e-4)


def test_proposals_with_one_outcome_are_one(encoder: TokenEncoder):
    wrong = render_reply((Hunk(12, 12, "    return 0"),))
    twice = render_reply((Hunk(11, 12, "    t = 0\n    return 0"),))  # the same text by another hunk
    right = render_reply((Hunk(11, 12, "    t = 1\n    return t + len(xs)"),))
    meter = oracle(encoder, VIEW, FIX, Says(wrong, twice, "no reply", right))
    assert [s.proposed for s in meter.score([FAULTY, CLEAN], Effort(4))] == [2, -1]
    (score,) = meter.score([FAULTY], Effort(3))
    assert score.proposed == 0
    assert (summarise([score])["exact@10"], summarise(meter.score([FAULTY], Effort(9)))["exact@10"]) == (0.0, 1.0)
    assert applied(VIEW, (Hunk(10, 9, "import x"), Hunk(12, 12, ""))) == ("import x", *VIEW.lines[:2])


def test_the_search_ranks_mutations_beside_proposals():
    method = View("a.py", "python", 7, ("    def f(self, n):", "        return n <= 1"), "E")
    fixed, unknown = (Hunk(8, 8, "        return n < 1"),), (Hunk(8, 8, "        return magic"),)
    belief = LineBelief({7: 0.2, 8: 0.8})

    class Scores(Says):
        def locate(self, view: View) -> LineBelief:
            return belief

        def score(self, view: View, changes: Sequence[tuple[Hunk, ...]]) -> list[float]:
            return [0.0 if change in (fixed, unknown) else -9.0 for change in changes]

    assert searched(method, fixed, belief, Scores(), 5) == 1
    assert searched(method, unknown, belief, Scores(), 20) == 0  # no mutation makes it
    assert searched(method, unknown, belief, Scores(render_reply(unknown)), 20) > 0


def test_calibration_is_the_distance_of_what_is_said_from_what_is():
    assert calibration_error([0.75, 0.75, 0.75, 0.75], [True, True, True, False]) == 0.0
    assert calibration_error([0.95, 0.95, 0.05, 1.0], [False, True, False, True]) == pytest.approx((0.9 + 0.05) / 4)
    assert math.isnan(calibration_error([], []))


def test_batches_change_nothing(compact: Path):
    network = load_network(Checkpoint(compact))
    views = [replace(VIEW, first_line=n, lines=VIEW.lines * (1 + n % 4), error="E" * n) for n in range(1, 30)]
    examples = [held(str(n), view, (Hunk(n, n, "t"),)) for n, view in enumerate(views, 1)]
    meter = meter_of(network, compact)
    for one, many in zip((meter.score([e])[0] for e in examples), meter.score(examples), strict=True):
        assert (one.id, one.rank, one.exact) == (many.id, many.rank, many.exact)
        assert one.bits == pytest.approx(many.bits, rel=1e-5)


def test_a_network_in_training_is_measured_as_served_and_left_as_it_was(compact: Path):
    from peft import LoraConfig, get_peft_model

    plain = AutoModelForCausalLM.from_pretrained(compact, dtype=torch.float32)
    torch.manual_seed(1)
    tuned = get_peft_model(
        plain, LoraConfig(r=4, lora_dropout=0.5, init_lora_weights=False, target_modules="all-linear")
    )
    tuned.train()
    first, second = (measure_network(tuned, compact, [FAULTY, CLEAN]).scores for _ in range(2))
    assert first == second  # no dropout
    assert tuned.training
    assert all(m.training for m in tuned.modules())
    assert first != measure_model(Checkpoint(compact), [FAULTY, CLEAN]).scores


def test_the_lean_model_has_the_figures_of_its_export(compact: Path):
    from training.llamas import load_lean

    lean = measure_network(load_lean(compact), compact, [FAULTY, CLEAN])
    hub = measure_model(Checkpoint(compact), [FAULTY, CLEAN])
    for one, other in zip(lean.scores, hub.scores, strict=True):
        assert one.bits == pytest.approx(other.bits, rel=1e-4)
        assert (one.rank, one.line_rank) == (other.rank, other.line_rank)
    with pytest.raises(InputError, match="lean"):
        measure_network(load_lean(compact), compact, [FAULTY], effort=Effort(2))


def test_proposals_of_a_real_network_are_ranked(compact: Path):
    from repair.models.local import load_local
    from repair.replies import Change, parse_reply

    model = load_local(compact, dtype="float32")
    belief = model.locate(VIEW)
    replies = [parse_reply(c.text, VIEW) for c in model.propose(VIEW, Decoding(lines=belief.lines, candidates=8))]
    changes = [reply.hunks for reply in replies if isinstance(reply, Change)]
    assert changes
    measured = measure_model(Checkpoint(compact), [held("x", VIEW, changes[-1])], effort=Effort(8))
    texts = list(dict.fromkeys(applied(VIEW, hunks) for hunks in changes))
    assert measured.scores[0].proposed == 1 + texts.index(applied(VIEW, changes[-1]))


def test_a_numbered_model_is_measured_by_what_it_is_trained_and_asked_on(numbered: Path):
    network = AutoModelForCausalLM.from_pretrained(numbered, dtype=torch.float32)
    scores = measure_network(network, numbered, [FAULTY, CLEAN]).scores
    from repair.models.local import load_local

    belief = load_local(numbered, dtype="float32").locate(VIEW)
    assert scores[0].rank == 1 + sum(c > belief.lines[11] for c in (*belief.lines.values(), belief.no_fault))
    assert scores[1].no_fault == pytest.approx(belief.no_fault, abs=1e-5)
    text = AutoTokenizer.from_pretrained(numbered)("\n".join(VIEW.lines) + "\n", return_tensors="pt").input_ids
    loss = network(input_ids=text, labels=text).loss.item() * (text.shape[1] - 1) / math.log(2)
    assert scores[0].bits == pytest.approx(loss, rel=1e-4)
    assert scores[1].clean_bits == pytest.approx(scores[1].bits)
    assert scores[0].clean_bytes == scores[0].bytes - len(VIEW.lines[1]) - 1


def test_a_numbered_model_that_learned_an_answer_gives_it_exactly(numbered: Path):
    network = AutoModelForCausalLM.from_pretrained(numbered, dtype=torch.float32)
    assert not measure_network(network, numbered, [FAULTY]).scores[0].exact
    tokens = encoder_of(numbered).encode(FAULTY.pair, 512)
    ids = torch.from_numpy(tokens.ids.astype(np.int64))[None]
    labels = ids.clone()
    labels[:, : tokens.prompt] = -100
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(120):
        optimizer.zero_grad()
        network(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
    (score,) = measure_network(network, numbered, [FAULTY], effort=Effort(2)).scores
    assert (score.exact, score.exact_given_line, score.rank, score.proposed) == (True, True, 1, 1)


def test_examples_over_the_context_are_counted(compact: Path):
    long = held("long", replace(VIEW, lines=VIEW.lines * 60), FIX)
    measured = measure_model(Checkpoint(compact), [long, FAULTY])
    assert (measured.too_long, [s.id for s in measured.scores]) == (1, ["faulty"])


def test_a_model_that_cannot_be_loaded_is_named(compact: Path, tmp_path: Path):
    with pytest.raises(ModelError, match="nowhere"):
        measure_model(Checkpoint(tmp_path / "nowhere"), [FAULTY])
    with pytest.raises(ModelError, match="adapter_config"):
        measure_model(Checkpoint(compact, tmp_path), [FAULTY])


def test_held_out_rows_are_read_and_bad_ones_are_named(tmp_path: Path):
    good = json.dumps({"id": "1", "view": ROW, "hunks": [[1, 1, "y"]], "bug_classes": ["variable"]})
    file = tmp_path / "held.jsonl"
    file.write_text(f"{good}\n\n{good}\n")
    rows = read_heldout(file)
    assert (len(rows), rows[0].pair.hunks, rows[0].pair.bug_classes) == (2, (Hunk(1, 1, "y"),), ("variable",))
    assert len(read_heldout(file, 1)) == 1
    file.write_text(f'{good}\n{{"id": "2"}}\n')
    with pytest.raises(SuiteError, match=r"held\.jsonl:2"):
        read_heldout(file)
    file.write_text("\n")
    with pytest.raises(InputError, match="no example"):
        read_heldout(file)
    with pytest.raises(InputError, match="nowhere"):
        read_heldout(tmp_path / "nowhere.jsonl")


def test_records_are_read_from_lines_parquet_and_datasets(tmp_path: Path):
    record = Record("python", "t = 1\nu = 2\n", "t = 0\nu = 2\n", Origin.COMMIT, first_line=7, repository="r")
    row = to_row(record)
    (tmp_path / "r.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "r.parquet").write_bytes(parquet_bytes([row]))
    (tmp_path / "set" / "data").mkdir(parents=True)
    with pytest.raises(InputError, match="test-"):
        read_heldout(tmp_path / "set")
    (tmp_path / "set" / "data" / "test-00000.parquet").write_bytes(parquet_bytes([row]))
    for name in ("r.jsonl", "r.parquet", "set"):
        (found,) = read_heldout(tmp_path / name)
        assert (found.id, found.pair.hunks) == (record.id, (Hunk(7, 7, "t = 0"),))


def test_examples_are_drawn_from_all_of_a_list():
    examples = named([FAULTY.pair] * 50)
    drawn = choose(examples, 10)
    assert len({e.id for e in drawn}) == 10
    assert drawn == choose(examples, 10) != choose(examples, 10, seed=1)
    assert drawn != examples[:10]
    assert choose(examples, 0) == examples


def test_the_command_measures_a_directory(compact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rows = [{"id": "p/1", "view": ROW, "hunks": [[1, 1, "t = 0"]]}, {"id": "p/2", "view": ROW, "hunks": []}]
    (tmp_path / "held.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    file = str(tmp_path / "scores.jsonl")
    main([str(compact), str(tmp_path / "held.jsonl"), "--scores", file, "--candidates", "3", "--searched", "3"])
    found = json.loads(capsys.readouterr().out)
    assert (found["examples"], found["faulty"], found["location@5"], found["too_long"]) == (2, 1, 1.0, 0)
    assert 0 < found["bits_per_byte"] < 20
    assert found["exact@100"] in (0.0, 1.0)
    assert found["searched@100"] in (0.0, 1.0)
    scores = [json.loads(line) for line in Path(file).read_text().splitlines()]
    assert [(s["id"], s["faulty"]) for s in scores] == [("p/1", True), ("p/2", False)]
