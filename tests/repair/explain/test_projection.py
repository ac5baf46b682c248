"""Components, clusters and their figures against what is known, and against scikit-learn's definitions by hand."""

import numpy as np
import pytest

from repair.errors import InputError
from repair.explain.cases import Case
from repair.explain.glass import open_glass
from repair.explain.projection import (
    Mark,
    StateKind,
    States,
    clustered,
    components,
    gather,
    mutual_information,
    project,
    silhouette,
)
from repair.views import Hunk, View


def blobs(each=20):
    draw = np.random.default_rng(1)
    centres = np.array([[8, 0, 0, 0], [0, 8, 0, 0], [0, 0, 8, 0]])
    points = np.concatenate([centre + draw.normal(size=(each, 4)) for centre in centres]).astype(np.float32)
    return points, [n for n in range(3) for _ in range(each)]


def test_blobs_come_back_as_clusters():
    points, names = blobs()
    marks = tuple(
        Mark(f"c{n}", f"b{k}", n % 2 == 0, "d", "python", "none", "replace", 0.5) for n, k in enumerate(names)
    )
    found = project(States(StateKind.LINE, 1, marks, points))
    assert found.agreement == pytest.approx(1)
    assert len(found.clusters) == 3 and found.silhouette > 0.6
    assert {cluster.classes for cluster in found.clusters} == {((f"b{k}", 20),) for k in range(3)}
    assert sorted(c for cluster in found.clusters for c in cluster.failures) == sorted(f"c{n}" for n in range(1, 60, 2))
    assert all(names[int(case[1:])] == 0 for case, _ in found.neighbours("c0"))
    with pytest.raises(InputError, match="no case"):
        found.neighbours("nobody")


def test_components_are_the_axes_of_variance():
    draw = np.random.default_rng(0)
    values = (draw.normal(size=(200, 3)) * [5, 1, 0.1]).astype(np.float32)
    found, shares = components(values)
    assert abs(np.corrcoef(found[:, 0], values[:, 0])[0, 1]) > 0.99
    assert sum(shares) == pytest.approx(1) and shares[0] > 0.9
    np.testing.assert_allclose(found @ found.T, (values - values.mean(0)) @ (values - values.mean(0)).T, atol=1e-2)


def test_clusters_are_the_same_each_time():
    points, _ = blobs()
    assert (clustered(points, 5, seed=3) == clustered(points, 5, seed=3)).all()


def test_figures_of_known_groups():
    assert mutual_information([0, 0, 1, 1], ["a", "a", "b", "b"]) == pytest.approx(1)
    assert mutual_information([0, 0, 1, 1], ["a", "b", "a", "b"]) == pytest.approx(0)
    points = np.array([[0.0], [1.0], [10.0], [11.0]], dtype=np.float32)
    assert silhouette(points, np.array([0, 0, 1, 1])) == pytest.approx((9.5 / 10.5 + 8.5 / 9.5) / 2, abs=1e-5)
    assert silhouette(points, np.zeros(4, dtype=np.int64)) == 0


def test_states_of_the_embedded_model():
    def case(n):
        lines = (f"def f{n}(a):", "    return a - 1")
        return Case(f"{n}", View("m.py", "python", 1, lines), (Hunk(2, 2, "    return a + 1"),) if n % 2 else ())

    glass = open_glass()
    lines, repairs = gather(glass, [case(n) for n in range(6)])
    assert lines.values.shape == repairs.values.shape == (6, glass.width)
    assert [mark.bug_class for mark in lines.marks] == ["clean", "unnamed"] * 3
    assert [mark.edit for mark in lines.marks] == ["none", "replace"] * 3
    assert not np.allclose(lines.values, repairs.values)
    with pytest.raises(InputError, match="no state 99"):
        gather(glass, [case(0)], layer=99)
