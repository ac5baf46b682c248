"""References: measured, written and read back, refused for other weights."""

from dataclasses import replace

import numpy as np
import pytest

from repair.embedded.expander import HERE
from repair.errors import InputError
from repair.explain.cases import Case
from repair.explain.glass import open_glass
from repair.explain.reference import (
    FILE,
    QUANTILES,
    checked_reference,
    measure_reference,
    read_reference,
    store_reference,
    weights_digest,
    write_reference,
)
from repair.explain.reference_file import load_reference
from repair.views import Hunk, View


@pytest.fixture(scope="module")
def glass():
    return open_glass()


def cases(count):
    for n in range(count):
        lines = (f"def add{n}(a, b):", f"    c = a - b * {n}", "    return c")
        yield Case(
            f"c{n}", View("m.py", "python", 1 + n, lines), (Hunk(2 + n, 2 + n, "    c = a + b"),), group=f"g{n % 5}"
        )


def test_the_shipped_reference_is_of_the_shipped_weights_and_small(glass):
    found = read_reference(glass)
    assert found is not None and found.digest == weights_digest(glass)
    assert (HERE / FILE).stat().st_size < 300_000
    assert found.probe is not None and found.calibration is not None
    sources = {quality.source: quality for quality in found.location}
    assert sources["calibrated"].nll < sources["pointer"].nll
    assert sources["calibrated"].ece < sources["pointer"].ece


def test_measured_and_read_back(glass, tmp_path):
    found = measure_reference(glass, cases(64))
    assert found.examples == 64 and found.probe is not None
    focus = found.attention[3]
    assert focus.values.shape == (8, 6, len(QUANTILES))
    assert (np.diff(focus.values, axis=-1) >= 0).all()
    write_reference(tmp_path / "r.json", found)
    back = load_reference(tmp_path / "r.json")
    assert back.digest == found.digest and back.location[0].source == "pointer"
    np.testing.assert_allclose(back.mean, found.mean, atol=2e-3 * np.abs(found.mean).max())
    np.testing.assert_allclose(back.attention[0].values, found.attention[0].values, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(back.probe.weight, found.probe.weight, atol=2e-3 * np.abs(found.probe.weight).max())


def test_too_few_cases_are_refused(glass):
    with pytest.raises(InputError, match="3 readable cases"):
        measure_reference(glass, cases(3))


def test_a_reference_of_other_weights_is_refused_with_what_to_do(glass, tmp_path):
    other = replace(load_reference(HERE / FILE), digest="0" * 64)
    write_reference(tmp_path / FILE, other)
    with pytest.raises(InputError, match=r"other weights.*emend model reference"):
        checked_reference(tmp_path / FILE, glass)
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(InputError, match="no reference that can be read"):
        load_reference(tmp_path / FILE)


def test_a_read_only_place_is_replaced_by_the_cache(glass, tmp_path, monkeypatch):
    monkeypatch.setenv("EMEND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(glass, "adapter", tmp_path / "file" / "adapter")
    (tmp_path / "file").write_text("")  # no folder can be made in it
    assert read_reference(glass) is None
    where = store_reference(glass, replace(load_reference(HERE / FILE), examples=7, digest=weights_digest(glass)))
    assert where.is_relative_to(tmp_path / "cache")
    found = read_reference(glass)
    assert found is not None and found.examples == 7
