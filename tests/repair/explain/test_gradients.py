from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from repair.errors import InputError, ModelError
from repair.explain.conservative import conserving
from repair.explain.evidence import ablation
from repair.explain.glass import Glass
from repair.explain.gradients import GAP, _backward, gradient, log_probability, pad_embedding, terms, token_map
from repair.explain.metrics import completeness_gap
from repair.explain.passages import unchanged
from repair.explain.values import Method, Subject, Target, TargetKind
from tests.training.families import tiny


@pytest.mark.parametrize("kind", ["compact", "plain", "chat"])
@pytest.mark.parametrize("target", [Target(), Target(TargetKind.CHANGE)])
def test_the_value_is_that_of_serving(
    kind: str, target: Target, request: pytest.FixtureRequest, subject: Subject
) -> None:
    glass: Glass = request.getfixturevalue(kind)
    found = gradient(glass, subject, target)
    assert found.value == pytest.approx(ablation(glass.local(), subject, target, units=()).value, abs=1e-2)
    assert len(found.scores) >= 9


def test_gradients_are_finite_differences(compact: Glass, subject: Subject) -> None:
    (term,) = terms(compact, subject, Target(TargetKind.LOCATION))
    inputs = compact.embed(term.passage.ids)
    value, slope = _backward(compact, term, inputs)
    torch.manual_seed(0)
    for _ in range(3):
        step = torch.randn_like(inputs) * 1e-3
        with torch.no_grad():
            ahead = float(log_probability(compact, term, inputs + step))
            behind = float(log_probability(compact, term, inputs - step))
        assert float((slope * step).sum()) == pytest.approx((ahead - behind) / 2, rel=0.05, abs=2e-4)
    assert value == pytest.approx(float(np.log(compact.local().locate(subject.view).lines[11])), abs=1e-3)


def test_conservative_shares_of_an_mlp_add_up_to_its_output() -> None:
    """Norm, gate and activation alone, without attention: all that goes in comes out."""
    glass = Glass(tiny("llama"), "nowhere", "tiny", adapted=False)
    layer = glass.layers[0]
    x = torch.randn(1, 4, glass.width, requires_grad=True)
    run: Callable[[], torch.Tensor] = lambda: layer.mlp(layer.post_attention_layernorm(x))[0, 2, 5]  # noqa: E731
    plain = run()
    with conserving(glass) as notes:
        value = run()
        (slope,) = torch.autograd.grad(value, x)
    assert not notes
    assert float(value.detach()) == float(plain.detach())
    assert float((slope * x).sum().detach()) == pytest.approx(float(value.detach()), rel=1e-3)
    (own,) = torch.autograd.grad(run(), x)
    assert float((own * x).sum().detach()) != pytest.approx(float(value.detach()), rel=0.1)


@pytest.mark.parametrize("family", ["qwen2", "starcoder2", "gemma"])
def test_the_rules_know_the_families(family: str) -> None:
    glass = Glass(tiny(family), "nowhere", family, adapted=False)
    ids = list(range(3, 20))
    with conserving(glass) as notes:
        inputs = glass.embed(ids).requires_grad_()
        with torch.enable_grad():
            logits = glass.run(ids, embeds=inputs).logits
            (slope,) = torch.autograd.grad(logits[0, 7], inputs)
    assert not notes and bool(slope.isfinite().all())
    assert torch.equal(logits.detach(), glass.run(ids, embeds=glass.embed(ids)).logits.detach())


@pytest.mark.parametrize("kind", ["compact", "plain"])
def test_integrated_gradients_are_complete(kind: str, request: pytest.FixtureRequest, subject: Subject) -> None:
    glass: Glass = request.getfixturevalue(kind)
    target = Target(TargetKind.LOCATION)
    found = gradient(glass, subject, target, Method.INTEGRATED)
    (term,) = terms(glass, subject, target)
    low = glass.embed(term.passage.ids).clone()
    pad = pad_embedding(glass)
    for at, (owner, fixed) in enumerate(zip(term.passage.owner, term.passage.fixed, strict=True)):
        if owner >= 0 and not fixed:
            low[at] = 0 if pad is None else pad
    with torch.no_grad():
        difference = found.value - float(log_probability(glass, term, low))
    assert completeness_gap(np.array([s.score for s in found.scores]), difference) < GAP
    assert "completeness gap" in " ".join(found.notes)


def test_tokens_are_scored_for_new_and_for_old(compact: Glass, subject: Subject) -> None:
    found = token_map(compact, subject)
    assert found.new.shape == found.old.shape == (len(found.tokens),) == (len(found.owner),)
    assert not np.allclose(found.new, found.old)
    other = token_map(compact, Subject(subject.view, unchanged(subject.view, subject.hunks)))
    assert np.allclose(other.new, found.old, atol=1e-4)


def test_norms_have_no_sign_and_others_are_no_gradients(compact: Glass, subject: Subject) -> None:
    assert all(s.score >= 0 for s in gradient(compact, subject, Target(), Method.GRADIENT_NORM).scores)
    with pytest.raises(InputError, match="no gradient method"):
        gradient(compact, subject, Target(), Method.ABLATION)


def test_memory_that_runs_out_once_costs_time_only(compact: Glass, subject: Subject) -> None:
    plain = gradient(compact, subject, Target(TargetKind.CHANGE))
    left = [1]

    def fail(*_: object) -> None:
        if left and left.pop():
            raise torch.OutOfMemoryError("CUDA out of memory, on purpose")

    hook = compact.layers[1].register_forward_hook(fail)
    try:
        found = gradient(compact, subject, Target(TargetKind.CHANGE))
    finally:
        hook.remove()
    assert "memory ran out" in found.notes[0]
    assert [s.score for s in found.scores] == pytest.approx([s.score for s in plain.scores], abs=1e-4)
    assert not any("forward" in vars(layer) for layer in compact.layers)


@dataclass
class Quantised:
    has_gradients: bool = False


def test_quantised_weights_say_what_is_there_instead(subject: Subject) -> None:
    with pytest.raises(ModelError, match="ablation, ridge, attention and activations are available"):
        gradient(Quantised(), subject, Target())  # type: ignore[arg-type]
