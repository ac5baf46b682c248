from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from repair.errors import InputError
from training import objectives


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("tokens", [5, 100])
def test_losses_in_chunks_are_cross_entropy(trained, tokens):
    torch.manual_seed(0)
    head = nn.Linear(16, 50, bias=True).requires_grad_(trained)
    states, labels = torch.randn(tokens, 16, requires_grad=True), torch.randint(0, 50, (tokens,))
    weights = torch.rand(tokens)
    plain = functional.cross_entropy(head(states), labels, reduction="none")
    (plain * weights).sum().backward()
    expected = states.grad.clone(), None if head.weight.grad is None else head.weight.grad.clone()
    states.grad = head.weight.grad = None
    chunked = objectives.token_losses(states, labels, head, logits=50 * 17)
    (chunked * weights).sum().backward()
    torch.testing.assert_close(chunked, plain)
    torch.testing.assert_close(states.grad, expected[0])
    assert (head.weight.grad is None) != trained
    if trained:
        torch.testing.assert_close(head.weight.grad, expected[1])


def test_logits_of_a_large_vocabulary_never_exist_whole():
    head = nn.Linear(8, 10_000, bias=False).requires_grad_(requires_grad=False)
    largest = 0

    class Sizes(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            found = function(*args, **(kwargs or {}))
            largest = max(largest, found.numel() if isinstance(found, torch.Tensor) else 0)
            return found

    with Sizes():
        objectives.token_losses(torch.randn(200, 8), torch.zeros(200, dtype=torch.int64), head, logits=10_000 * 20)
    assert largest <= 10_000 * 20


def test_no_target_is_no_loss():
    states = torch.randn(0, 8, requires_grad=True)
    head = nn.Linear(8, 10).requires_grad_(requires_grad=False)
    losses = objectives.token_losses(states, torch.zeros(0, dtype=torch.int64), head)
    losses.sum().backward()
    assert losses.shape == (0,)
    assert states.grad.shape == (0, 8)


def test_entropy_of_even_and_of_certain_attention():
    even = torch.full((2, 4, 4), 0.25)
    certain = torch.eye(6).expand(3, 6, 6)
    assert objectives.attention_entropy([even]).item() == pytest.approx(math.log(4))
    assert objectives.attention_entropy([certain]).item() == pytest.approx(0.0, abs=1e-6)
    both = objectives.attention_entropy([even, certain]).item()
    assert both == pytest.approx(math.log(4) * 4 / 10, rel=1e-5)  # each query counts once


def test_entropy_has_finite_gradients_where_attention_is_zero():
    scores = torch.zeros(1, 3, 3, requires_grad=True)
    later = torch.ones(3, 3, dtype=torch.bool).triu(1)
    objectives.attention_entropy([scores.masked_fill(later, float("-inf")).softmax(-1)]).backward()
    assert scores.grad.isfinite().all()


def test_distance_is_a_share_of_the_length():
    last_looks_back = torch.zeros(1, 4, 4)
    last_looks_back[0, :, 0] = 1.0  # every token at the first: 0, 1, 2, 3 away
    assert objectives.attention_distance([last_looks_back]).item() == pytest.approx((0 + 1 + 2 + 3) / 4 / 4)
    assert objectives.attention_distance([torch.eye(5)[None]]).item() == 0.0


def test_noise_has_the_asked_radius_in_each_example():
    torch.manual_seed(1)
    gradient, embeddings = torch.randn(10, 8) * 1e-6, torch.randn(10, 8)
    noise = objectives.adversarial_noise(gradient, embeddings, (4, 6), 0.1)
    radius = 0.1 * embeddings.norm(dim=-1).mean()
    norms = noise.norm(dim=-1)
    torch.testing.assert_close(norms[:4].max(), radius)
    torch.testing.assert_close(norms[4:].max(), radius)
    assert functional.cosine_similarity(noise, gradient).min() > 0.999
    assert objectives.adversarial_noise(torch.zeros(10, 8), embeddings, (4, 6), 0.1).abs().max() == 0


def test_preference_loss_is_that_of_the_paper():
    losses = torch.tensor([1.0, 2.0, 0.5, 4.0, 9.0])
    pair, side = torch.tensor([0, 0, 1, 1, -1]), torch.tensor([1.0, -1.0, 1.0, -1.0, 0.0])
    margins = objectives.log_margins(losses, pair, side, 2)
    assert margins.tolist() == [1.0, 3.5]
    loss = objectives.preference_loss(margins, torch.tensor([0.0, 4.0]), 0.5)
    expected = -(math.log(1 / (1 + math.exp(-0.5))) + math.log(1 / (1 + math.exp(0.25)))) / 2
    assert loss.item() == pytest.approx(expected)


def test_layers_count_from_both_ends():
    assert objectives.observed_layers((0, -1), 4) == {0, 3}
    with pytest.raises(InputError, match="none of the 4 layers"):
        objectives.observed_layers((4,), 4)
