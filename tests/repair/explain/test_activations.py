from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from repair.errors import ModelError
from repair.explain.activations import activation_map, activation_statistics, layer_moments
from repair.explain.glass import Watch
from repair.explain.interventions import applied
from repair.explain.moments import Moments, Sketch
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


def test_statistics_see_a_layer_die() -> None:
    glass = embedded()
    ids = passage(glass.local().answers, VIEW, None).ids
    healthy = activation_statistics(glass, ids)
    hook = (
        glass.layers[3]
        .get_submodule("post_attention_layernorm")
        .register_forward_hook(lambda _module, _given, out: out * 0)
    )
    try:
        dead = activation_statistics(glass, ids)
    finally:
        hook.remove()
    assert dead.dead[3] == 1
    assert dead.strength[3] == 0
    assert healthy.dead[3] < 0.5
    np.testing.assert_array_equal(dead.dead[:3], healthy.dead[:3])
    for values in (healthy.strength, healthy.dead, healthy.largest):
        assert values.shape == (8,)
        assert np.isfinite(values).all()


def test_moments_of_batches_are_those_of_all() -> None:
    pick = np.random.default_rng(0)
    values = (pick.normal(size=(400, 5)) * [1, 10, 100, 0.01, 0] + [0, 1e4, -5, 0, 3]).astype(np.float32)
    merged = Moments.of(values[:1])
    for start, end in ((1, 2), (2, 57), (57, 400)):
        merged = merged.merge(Moments.of(values[start:end]))
    exact = values.astype(np.float64)
    np.testing.assert_allclose(merged.mean, exact.mean(0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(merged.deviation, exact.std(0), rtol=1e-6, atol=1e-12)
    assert merged.count == 400
    np.testing.assert_array_equal(merged.sketch.counts, Sketch.of(values).counts)


def test_quantiles_are_within_one_percent_in_any_order() -> None:
    values = np.random.default_rng(1).standard_cauchy(10_000)
    sketch = Sketch.of(values[:300]).merge(Sketch.of(values[300:]))
    ordered = np.sort(values)
    shares = (0.001, 0.05, 0.3, 0.9, 0.999, 1.0)
    for share, found in zip(shares, sketch.quantiles(shares), strict=True):
        assert found == pytest.approx(ordered[int(np.ceil(share * 10_000)) - 1], rel=0.011)
    np.testing.assert_array_equal(sketch.counts, Sketch.of(values[::-1]).counts)
    assert Sketch.of(np.zeros(5)).quantile(0.5) == 0
    assert Sketch.of(np.zeros(0)).quantile(0.5) == 0
    assert Sketch.of(np.array([1e12, 1e12])).quantile(0.5) > 1e6


def test_moments_of_layers_are_those_of_a_run() -> None:
    glass, values = embedded(), neurons()
    given = passage(glass.local().answers, VIEW, SUBJECT.hunks)
    for layer, found in enumerate(layer_moments(glass, given.ids)):
        np.testing.assert_allclose(found.mean, values[layer].mean(0), atol=1e-4)
        np.testing.assert_allclose(found.deviation, values[layer].std(0), atol=1e-4)


def test_other_classes_work_and_long_prompts_are_refused(tmp_path: Path) -> None:
    glass = tiny("gpt2", tmp_path)
    found = activation_map(glass, SUBJECT)
    assert found.strength.shape == (2, len(found.units))
    assert found.strength.max() > 0
    long = replace(VIEW, lines=("x = 1",) * 1000)
    with pytest.raises(ModelError):
        activation_map(glass, replace(SUBJECT, view=long))
