"""Live interventions: their effect, and that nothing stays changed."""

from dataclasses import replace
from pathlib import Path

import pytest

from repair.embedded.expander import embedded_adapter, embedded_directory
from repair.errors import InputError, ModelError
from repair.explain.glass import open_glass
from repair.explain.live import compare
from repair.explain.values import Interventions, NeuronScale, Subject, UnitEdit, UnitKind
from repair.model import Decoding
from repair.models.batching import BatchedModel
from repair.models.decoding import nucleus
from repair.models.local import load_local
from repair.views import Hunk, View
from tests.repair.explain.insides import tiny

NEUTRAL = Interventions()


@pytest.fixture(scope="module")
def shipped():
    return open_glass()


@pytest.fixture(scope="module")
def mean():
    lines = (
        "def mean(xs):",
        "    total = 0",
        "    for x in xs:",
        "        total += x",
        "    return total / (len(xs) + 1)",
    )
    view = View("mean.py", "python", 1, lines, "AssertionError: 1.3 != 2", (5,), "assert mean([1, 3]) == 2")
    return Subject(view, (Hunk(5, 5, "    return total / len(xs)"),))


def answers(found):
    lines = tuple((one.line, one.calibrated) for one in found.where.lines)
    return lines, found.where.no_fault, found.proposals, found.change


@pytest.mark.parametrize("name", ["shipped", "plain"])
def test_neutral_changes_nothing_bit_for_bit(name, request, mean):
    found = compare(request.getfixturevalue(name), mean, NEUTRAL, proposals=3)
    assert answers(found.before) == answers(found.after)
    assert (len(found.before.proposals), found.notes) == (3 if name == "shipped" else 0, ())


@pytest.mark.parametrize(
    "change",
    [
        Interventions(layers_off=(1,)),
        Interventions(heads_off=((0, 0),)),
        Interventions(adapter_scale=0.0),
        Interventions(neurons=(NeuronScale(0, 3, 40.0),)),
        Interventions(edits=(UnitEdit(UnitKind.ERROR, 1, "TypeError: no"),)),
    ],
)
def test_an_intervention_changes_what_is_said_and_is_undone(shipped, mean, change):
    first = compare(shipped, mean, change, proposals=3)
    assert answers(first.before)[0] != answers(first.after)[0]
    assert first.before.change != first.after.change
    assert answers(compare(shipped, mean, NEUTRAL, proposals=3).before) == answers(first.before)


def test_what_is_not_there_is_refused_and_nothing_stays(shipped, mean):
    before = answers(compare(shipped, mean, NEUTRAL, proposals=2).before)
    with pytest.raises(InputError, match="there is no layer 99"):
        compare(shipped, mean, Interventions(layers_off=(99,)))
    assert answers(compare(shipped, mean, NEUTRAL, proposals=2).before) == before


def hooks(glass):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in glass.model.modules())


def test_a_setting_refused_halfway_leaves_nothing_in(tmp_path: Path):
    glass = tiny("qwen2", tmp_path)
    ids, there = (5, 9, 30), hooks(glass)
    plain = glass.run(ids).logits
    attention = glass.layers[1].self_attn
    attention.out = attention.o_proj  # a class that calls it otherwise
    del attention._modules["o_proj"]
    with (
        pytest.raises(ModelError, match="heads cannot be turned off"),
        glass.changed(Interventions(layers_off=(0,), heads_off=((2, 0), (1, 0)))),
    ):
        pytest.fail("it is not entered")
    attention.o_proj = attention.out
    assert hooks(glass) == there
    assert glass.run(ids).logits.equal(plain)


def test_a_failure_while_changed_leaves_nothing_in(shipped, mean):
    before, there = answers(compare(shipped, mean, NEUTRAL, proposals=2).before), hooks(shipped)
    scales = [dict(one) for one in shipped.scalings]
    endless = UnitEdit(UnitKind.CODE, 2, "    total = " + "0 + " * 4 * shipped.limit + "0")
    with pytest.raises(ModelError):
        compare(shipped, mean, Interventions(layers_off=(1,), adapter_scale=0.5, edits=(endless,)))
    assert hooks(shipped) == there
    assert [dict(one) for one in shipped.scalings] == scales
    assert answers(compare(shipped, mean, NEUTRAL, proposals=2).before) == before


@pytest.mark.parametrize("how", [{"beams": 4}, {"samples": 1.0, "temperature": 1.5, "top_p": 0.5}])
def test_served_models_obey_as_the_opened_one_does(shipped, mean, how):
    """The lean network alone and between many requests: the same texts as transformers, others without."""
    decoding = Decoding(candidates=8, max_tokens=48, **how)
    without = replace(decoding, beams=0, top_p=1.0)
    local = load_local(embedded_directory(), adapter=embedded_adapter(), device="cpu", dtype="float32")
    batched = BatchedModel(local)
    try:
        first, second, third = (
            [c.text for c in model.propose(mean.view, decoding)] for model in (shipped.local(), local, batched)
        )
        assert first == second == third
        assert first != [c.text for c in local.propose(mean.view, without)]
    finally:
        batched.close()


@pytest.mark.parametrize("name", ["shipped", "plain"])
def test_beams_are_the_likeliest_in_order_and_the_same_again(name, request, mean):
    model = request.getfixturevalue(name).local()
    one, again = (list(model.propose(mean.view, Decoding(beams=4, max_tokens=48))) for _ in range(2))
    assert one == again
    logprobs = [completion.logprob for completion in one]
    assert logprobs == sorted(logprobs, reverse=True)
    if name == "shipped":
        assert one, "a model that was trained to answer completes its answers"


def test_a_wider_beam_finds_nothing_less_likely(shipped, mean):
    best = [next(iter(shipped.local().propose(mean.view, Decoding(beams=width)))).logprob for width in (1, 8)]
    assert best[1] >= best[0] - 1e-4


def test_a_nucleus_holds_the_fewest_likeliest():
    import torch

    chances = torch.tensor([[0.5, 0.1, 0.3, 0.1]])
    assert nucleus(chances, 0.6).tolist() == [pytest.approx([0.5, 0, 0.3, 0])]
    assert nucleus(chances, 0.5).tolist() == [pytest.approx([0.5, 0, 0, 0])]
    assert nucleus(chances, 1.0) is chances


def test_top_p_narrows_samples(shipped, mean):
    def texts(**how):
        return {c.text for c in shipped.local().propose(mean.view, Decoding(candidates=24, samples=1.0, **how))}

    narrow = texts(temperature=1.0, top_p=1e-6)
    assert narrow == texts(temperature=0.0)
    assert len(narrow) < len(texts(temperature=1.0))
