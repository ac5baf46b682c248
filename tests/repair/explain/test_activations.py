from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from repair.errors import ModelError
from repair.explain.activations import activation_map
from repair.explain.glass import Watch
from repair.explain.interventions import applied
from repair.explain.passages import passage
from repair.explain.reference import Reference
from repair.explain.values import Interventions, NeuronScale
from tests.repair.explain.insides import SUBJECT, VIEW, embedded, tiny


def neurons() -> np.ndarray:
    """(layers, n, inner) of the subject's prompt and answer."""
    glass = embedded()
    given = passage(glass.local().answers, VIEW, SUBJECT.hunks)
    return torch.stack(glass.run(given.ids, Watch(neurons=True)).neurons).numpy()


def reference(mean: np.ndarray, deviation: np.ndarray) -> Reference:
    return Reference("", 1, mean=mean.astype(np.float32), deviation=deviation.astype(np.float32))


def test_strength_histogram_and_dead_share_are_those_of_the_neurons() -> None:
    glass, values = embedded(), neurons()
    found = activation_map(glass, SUBJECT)
    given = passage(glass.local().answers, VIEW, SUBJECT.hunks)
    for unit in range(len(given.units)):
        own = values[:, [owner == unit for owner in given.owner]]
        np.testing.assert_allclose(found.strength[:, unit], np.sqrt(np.square(own).mean((1, 2))), rtol=1e-4)
    assert found.units == given.units
    np.testing.assert_allclose(found.histogram.sum(1), 1, atol=1e-5)
    assert found.edges.shape == (found.histogram.shape[1] + 1,)
    low, high = found.edges[20:22]
    expected = ((values >= low) & (values < high)).mean((1, 2))
    np.testing.assert_allclose(found.histogram[:, 20], expected, atol=1e-5)
    most = np.abs(values).max(1)
    np.testing.assert_allclose(found.dead, (most <= 1e-3 * most.max(1, keepdims=True)).mean(1), atol=1e-6)
    assert any("no reference" in note for note in found.notes)


def test_a_neuron_made_loud_is_the_first_outlier_where_it_fires() -> None:
    glass, values = embedded(), neurons()
    usual = reference(values.mean(1), values.std(1) + 0.01)
    calm = activation_map(glass, SUBJECT, usual)
    assert all(abs(o.deviations) < 25 for o in calm.outliers)
    layer, neuron = 4, int(np.abs(values[4]).max(0).argmin())
    with pytest.raises(AssertionError), applied(glass, Interventions(neurons=(NeuronScale(layer, neuron, 1e4),))):
        found = activation_map(glass, SUBJECT, usual)
        raise AssertionError  # the hooks go after an error too
    strongest = found.outliers[0]
    assert (strongest.layer, strongest.neuron) == (layer, neuron)
    assert strongest.unit is None or strongest.unit in found.units
    assert found.notes == ()
    again = activation_map(glass, SUBJECT, usual)
    np.testing.assert_array_equal(again.strength, calm.strength)
    assert again.outliers == calm.outliers


def test_outliers_are_deviations_from_the_reference() -> None:
    values = neurons()
    mean, deviation = values.mean(1), values.std(1) + 0.01
    mean[2, 7] = 1000.0
    found = activation_map(embedded(), SUBJECT, reference(mean, deviation)).outliers
    at = np.abs(values[2, :, 7] - 1000).argmax()
    assert (found[0].layer, found[0].neuron) == (2, 7)
    assert found[0].value == pytest.approx(values[2, at, 7], rel=1e-4)
    assert found[0].deviations == pytest.approx((values[2, at, 7] - 1000) / deviation[2, 7], rel=1e-3)
    sizes = [abs(o.deviations) for o in found]
    assert sizes == sorted(sizes, reverse=True)


def test_a_reference_of_another_shape_is_not_used() -> None:
    found = activation_map(embedded(), SUBJECT, reference(np.zeros((2, 3)), np.ones((2, 3))))
    assert found.outliers == activation_map(embedded(), SUBJECT).outliers
    assert found.notes


def test_a_layer_is_seen_to_die() -> None:
    glass = embedded()
    healthy = activation_map(glass, SUBJECT)
    norm = glass.layers[3].get_submodule("post_attention_layernorm")
    hook = norm.register_forward_hook(lambda _module, _given, out: out * 0)
    try:
        dead = activation_map(glass, SUBJECT)
    finally:
        hook.remove()
    assert dead.dead[3] == 1
    assert not dead.strength[3].any()
    assert healthy.dead[3] < 0.5
    np.testing.assert_array_equal(dead.dead[:3], healthy.dead[:3])
    for values in (healthy.strength, healthy.dead):
        assert values.shape[0] == 8
        assert np.isfinite(values).all()


def test_other_classes_work_and_long_prompts_are_refused(tmp_path: Path) -> None:
    glass = tiny("gpt2", tmp_path)
    found = activation_map(glass, SUBJECT)
    assert found.strength.shape == (2, len(found.units))
    assert found.strength.max() > 0
    long = replace(VIEW, lines=("x = 1",) * 1000)
    with pytest.raises(ModelError):
        activation_map(glass, replace(SUBJECT, view=long))
