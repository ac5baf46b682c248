import itertools
import json
import math
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from repair.errors import ModelError
from repair.model import Decoding, Model, Usage
from repair.models.local import LocalModel, faster_dtype, load_local
from repair.models.tokens import TokenEncoder, read_tokenizer
from repair.prompts import compact_prompt, compact_target, encode, numbered_prompt
from repair.replies import Change, parse_reply, render_reply
from repair.views import Hunk, View
from tests.repair.models.conftest import faulty_sum, tiny_llama


@pytest.fixture(scope="module")
def compact(compact_directory: Path) -> LocalModel:
    return load_local(compact_directory, dtype="float32", device="cpu", threads=1)


@pytest.fixture(scope="module")
def plain(plain_directory: Path) -> LocalModel:
    return load_local(plain_directory, dtype="float32", device="cpu", threads=1)


def plain_logprob(directory: Path, prompt: list[int], target: list[int]) -> float:
    """What `model(...)` without any cache says."""
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    with torch.inference_mode():
        likely = torch.log_softmax(model(torch.tensor([prompt + target])).logits[0].double(), -1)
    return sum(float(likely[len(prompt) + i - 1, t]) for i, t in enumerate(target))


CHANGES = [
    (Hunk(11, 11, "    return box.width * box.height"),),
    (Hunk(11, 11, "    return box.width - box.height"),),
    (Hunk(8, 9, ""),),
    (Hunk(10, 9, "    print(box)"),),
    (Hunk(7, 7, "def area(b):"), Hunk(11, 11, "    return b.width * b.height")),
    (),
    (Hunk(12, 11, "# end"),),
]


def test_compact_scores_are_those_of_the_plain_model(compact: LocalModel, compact_directory: Path, view: View) -> None:
    model: Model = compact
    encoder = TokenEncoder(read_tokenizer(compact_directory))
    prompt = encode(compact_prompt(view), encoder)
    scores = model.score(view, CHANGES)
    assert scores is not None
    for change, score in zip(CHANGES, scores, strict=True):
        target = encode(compact_target(view, change), encoder)
        assert score == pytest.approx(plain_logprob(compact_directory, prompt, target), abs=1e-3)


def test_plain_scores_are_those_of_the_plain_model(plain: LocalModel, plain_directory: Path, view: View) -> None:
    tokenizer = json.loads((plain_directory / "tokenizer.json").read_text())
    assert tokenizer["added_tokens"][0]["content"] == "<|end|>"
    from tokenizers import Tokenizer

    backend = Tokenizer.from_file(str(plain_directory / "tokenizer.json"))
    prompt = backend.encode(numbered_prompt(view)).ids
    for change, score in zip(CHANGES, plain.score(view, CHANGES), strict=True):
        target = [*backend.encode(render_reply(change)).ids, 0]
        assert score == pytest.approx(plain_logprob(plain_directory, prompt, target), abs=1e-3)


def test_a_change_outside_of_the_view_is_impossible(compact: LocalModel, plain: LocalModel, view: View) -> None:
    outside = [(Hunk(6, 6, "x"),), (Hunk(13, 13, "x"),), (Hunk(8, 9, "x"), Hunk(9, 9, "y"))]
    assert compact.score(view, outside) == plain.score(view, outside) == [-math.inf] * 3
    assert compact.score(view, []) == []


@pytest.mark.parametrize("kind", ["compact", "plain"])
def test_beliefs_sum_to_one(kind: str, request: pytest.FixtureRequest, view: View) -> None:
    belief = request.getfixturevalue(kind).locate(view)
    assert set(belief.lines) == {7, 8, 9, 10, 11}
    assert math.fsum(belief.lines.values()) + belief.no_fault == pytest.approx(1.0)
    assert min(belief.lines.values()) > 0


def test_compact_beliefs_are_the_distribution_after_fix(
    compact: LocalModel, compact_directory: Path, view: View
) -> None:
    encoder = TokenEncoder(read_tokenizer(compact_directory))
    prompt = encode(compact_prompt(view), encoder)
    tokens = [*(encoder.special(f"<|L{n}|>") for n in range(7, 12)), encoder.special("<|ok|>")]
    weights = [math.exp(plain_logprob(compact_directory, prompt, [t])) for t in tokens]
    belief = compact.locate(view)
    expected = [w / math.fsum(weights) for w in weights]
    assert [*belief.lines.values(), belief.no_fault] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", ["trained", "plain"])
def test_proposals_are_distinct_and_repeatable(kind: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(kind)
    shown, _ = faulty_sum(3, "abc", 1)
    decoding = Decoding({4: 0.7, 5: 0.3}, candidates=24, max_tokens=24, seed=3)
    found = list(model.propose(shown, decoding))
    assert 5 < len(found) <= 24
    assert len({c.text for c in found}) == len(found)
    assert found == list(model.propose(shown, decoding))
    sampled = Decoding({4: 0.7, 5: 0.3}, candidates=24, temperature=1.5, samples=1.0, max_tokens=24)
    assert list(model.propose(shown, sampled)) != list(model.propose(shown, replace(sampled, seed=4)))
    assert all(c.tokens <= 24 and c.logprob is not None and c.logprob < 0 for c in found)


def test_lines_outside_of_the_view_leave_the_choice_to_the_model(trained: LocalModel) -> None:
    shown, fix = faulty_sum(3, "abc", 1)
    elsewhere = list(trained.propose(shown, Decoding({90: 1.0}, candidates=12)))
    assert elsewhere == list(trained.propose(shown, Decoding(candidates=12)))
    assert elsewhere[0].text == render_reply([fix])


@pytest.fixture(scope="module")
def trained(trained_directory: Path) -> LocalModel:
    return load_local(trained_directory, dtype="float32", device="cpu", threads=1)


def test_a_trained_model_finds_and_repairs_what_it_learnt(trained: LocalModel) -> None:
    for first_line, names, fault in ((3, "abc", 1), (259, "xyz", 2)):  # line 259 has the token of line 3
        shown, fix = faulty_sum(first_line, names, fault)
        belief = trained.locate(shown)
        assert max(belief.lines, key=belief.lines.__getitem__) == fix.first
        found = list(trained.propose(shown, Decoding(belief.lines, candidates=12)))
        assert found[0].text == render_reply([fix])
        wrong = Hunk(fix.first, fix.last, shown.lines[fault])
        scores = trained.score(shown, [(wrong,), (fix,)])
        assert scores[1] > scores[0] + 1


def test_proposals_have_the_log_probability_that_score_gives_them(trained: LocalModel) -> None:
    shown, _ = faulty_sum(3, "abc", 1)
    found = list(trained.propose(shown, Decoding({4: 0.6, 5: 0.4}, candidates=60)))
    assert [c.logprob for c in found] == sorted((c.logprob for c in found), reverse=True)
    readable = [(c, r) for c in found if isinstance(r := parse_reply(c.text, shown), Change)]
    assert len(readable) >= 20
    scores = trained.score(shown, [reply.hunks for _, reply in readable])
    # the others are texts in other tokens than the encoder's own; test_decoding.py compares token by token
    agreeing = [s for s, (c, _) in zip(scores, readable, strict=True) if abs(s - (c.logprob or 0)) < 1e-3]
    assert len(agreeing) > len(readable) / 2
    assert not any(reply.hunks == (Hunk(n, n, shown.lines[n - 3]),) for n in (3, 4, 5) for _, reply in readable)


def test_deletions_insertions_and_longer_ranges_are_proposed(trained: LocalModel) -> None:
    shown, _ = faulty_sum(3, "abc", 1)
    found = trained.propose(shown, Decoding({4: 1.0}, candidates=200, samples=0.2, max_tokens=30))
    replies = [parse_reply(c.text, shown) for c in found]
    hunks = [r.hunks[0] for r in replies if isinstance(r, Change)]
    assert any(h.inserts for h in hunks)
    assert any(h.last > h.first for h in hunks)
    assert Hunk(4, 4, "") in hunks
    assert {h.first for h in hunks} == {4}


def test_a_prompt_is_read_once(compact_directory: Path, view: View) -> None:
    model = load_local(compact_directory, dtype="float32", device="cpu")
    assert model.usage == Usage()
    model.locate(view)
    read = model.usage.prompt_tokens
    model.locate(view)
    assert model.usage == Usage(read, 0)
    model.score(view, [(Hunk(11, 11, ""),)])
    assert read < model.usage.prompt_tokens < read + 10
    list(model.propose(view, Decoding({11: 1.0}, candidates=2, max_tokens=8)))
    assert model.usage.completion_tokens > 0


def lora(directory: Path, tmp_path: Path, vocabulary: int = 704) -> Path:
    torch.manual_seed(5)
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft asks transformers for an attribute that is about to be renamed
        model = get_peft_model(tiny_llama(vocabulary), config)
    model.save_pretrained(tmp_path)
    return tmp_path


def test_an_adapter_is_merged(compact: LocalModel, compact_directory: Path, tmp_path: Path, view: View) -> None:
    adapter = lora(compact_directory, tmp_path)
    adapted = load_local(compact_directory, adapter=adapter, dtype="float32", device="cpu")
    (score,) = adapted.score(view, CHANGES[:1])
    assert score != pytest.approx(compact.score(view, CHANGES[:1])[0], abs=1e-2)
    from peft import PeftModel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(compact_directory), adapter)
    encoder = TokenEncoder(read_tokenizer(compact_directory))
    prompt = encode(compact_prompt(view), encoder)
    target = encode(compact_target(view, CHANGES[0]), encoder)
    with torch.inference_mode():
        likely = torch.log_softmax(reference(torch.tensor([prompt + target])).logits[0], -1)
    expected = sum(float(likely[len(prompt) + i - 1, t]) for i, t in enumerate(target))
    assert score == pytest.approx(expected, abs=1e-3)
    assert str(adapter) in adapted.name


def test_an_adapter_of_another_model_is_refused(compact_directory: Path, plain_directory: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not fit"):
        load_local(plain_directory, adapter=broken_adapter(tmp_path, compact_directory))
    with pytest.raises(ModelError, match=r"no adapter_config\.json"):
        load_local(compact_directory, adapter=compact_directory)


def broken_adapter(tmp_path: Path, directory: Path) -> Path:
    adapter = lora(directory, tmp_path)
    config = json.loads((adapter / "adapter_config.json").read_text())
    config["r"] = 8  # the weights are of rank 4
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    return adapter


def test_bad_directories_say_what_to_do(compact_directory: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json: give the directory"):
        load_local(tmp_path)
    with pytest.raises(ModelError, match="not a directory: give a checkpoint"):
        load_local(tmp_path / "missing")
    copy = tmp_path / "copy"
    shutil.copytree(compact_directory, copy)
    (copy / "model.safetensors").write_bytes(b"not weights at all")
    with pytest.raises(ModelError, match="not a causal language model that transformers can load"):
        load_local(copy)
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelError):
        load_local(copy)


def test_weights_and_tokenizer_that_do_not_belong_together_are_refused(compact_directory: Path, tmp_path: Path) -> None:
    shutil.copytree(compact_directory, tmp_path / "copy")
    tiny_llama(500).save_pretrained(tmp_path / "copy")
    with pytest.raises(ModelError, match="not of one checkpoint"):
        load_local(tmp_path / "copy")


def test_a_broken_tokenizer_is_refused(compact_directory: Path, tmp_path: Path) -> None:
    shutil.copytree(compact_directory, tmp_path / "copy")
    (tmp_path / "copy" / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="not a readable tokenizer"):
        load_local(tmp_path / "copy")


def test_a_hub_id_without_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="check the name and the network"):
        load_local("nobody/has-this-model")


def test_unknown_devices_and_types_are_refused(compact_directory: Path) -> None:
    with pytest.raises(ModelError, match="does not work here"):
        load_local(compact_directory, device="cuda:99")
    with pytest.raises(ModelError, match="number type"):
        load_local(compact_directory, dtype="int3", device="cpu")


def test_code_longer_than_the_model_reads_is_refused(compact: LocalModel, plain: LocalModel) -> None:
    long = View("a.py", "python", 1, tuple(f"value_{n} = compute({n}, {n})" for n in range(200)))
    for model in (compact, plain):
        with pytest.raises(ModelError, match="smaller window"):
            model.locate(long)
    with pytest.raises(ModelError, match="256"):
        compact.locate(View("a.py", "python", 1, ("x",) * 300))


def test_auxiliary_text_gives_way_to_code(compact: LocalModel, view: View) -> None:
    wide = View(view.path, view.language, 7, view.lines * 20, view.error, (), view.test * 100, ("import sys",) * 400)
    assert len(compact.locate(wide).lines) == 100


def test_bf16_is_close_to_fp32(compact_directory: Path, compact: LocalModel, view: View) -> None:
    half = load_local(compact_directory, dtype="bfloat16", device="cpu")
    for a, b in zip(half.score(view, CHANGES), compact.score(view, CHANGES), strict=True):
        assert a == pytest.approx(b, rel=0.1)
    assert faster_dtype(64) in (torch.float32, torch.bfloat16)


def test_threads_may_share_a_model(compact: LocalModel, view: View) -> None:
    from concurrent.futures import ThreadPoolExecutor

    other = View("b.py", "python", 1, view.lines)
    alone = [compact.score(v, [(Hunk(v.first_line, v.first_line, "pass"),)]) for v in (view, other)]
    with ThreadPoolExecutor(4) as pool:
        views = list(itertools.islice(itertools.cycle((view, other)), 12))
        together = list(pool.map(lambda v: compact.score(v, [(Hunk(v.first_line, v.first_line, "pass"),)]), views))
    assert together == alone * 6
