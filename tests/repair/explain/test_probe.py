"""The probe finds a direction that was planted, and does not leak between groups."""

import numpy as np
import pytest

from repair.explain.probe import Examined, calibration_error, fitted, parts


def planted(count, *, strength=4.0, seed=0):
    """States whose second of three layers says where the fault is; the pointer knows nothing and is too sure."""
    draw = np.random.default_rng(seed)
    found = []
    for n in range(count):
        lines = int(draw.integers(3, 9))
        states = draw.normal(size=(3, lines, 12))
        answer = lines if n % 5 == 0 else int(draw.integers(lines))
        if answer < lines:
            states[1, answer, 3] += strength
        pointer = draw.normal(size=lines + 1) * 3
        pointer -= np.log(np.exp(pointer).sum())
        found.append(
            Examined(f"{n}", f"g{n % 20}", (0, 4, 8), states.astype(np.float16), pointer.astype(np.float32), answer)
        )
    return found


def test_the_planted_direction_is_found_in_its_layer():
    found = fitted(planted(400))
    assert found is not None and found.probe.layer == 4
    assert abs(found.probe.weight[3]) > 3 * np.abs(np.delete(found.probe.weight, 3)).max()
    quality = {one.source: one for one in found.quality}
    assert quality["probe"].hits[0] > 0.8
    assert quality["pointer"].hits[0] < 0.5
    assert quality["calibrated"].nll < quality["pointer"].nll
    assert quality["calibrated"].ece < quality["pointer"].ece
    assert abs(found.calibration.sharpness) < 0.2 < found.calibration.mix


def test_few_cases_make_no_probe():
    assert fitted(planted(40)) is None


def test_no_group_lies_in_two_parts():
    whole = planted(300)
    halves = parts(whole)
    assert sum(map(len, halves)) == 300 and all(halves)
    groups = [{one.group for one in half} for half in halves]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]


def test_calibration_error_of_known_answers():
    assert calibration_error([0.75] * 4, [True, True, True, False]) == pytest.approx(0)
    assert calibration_error([0.95] * 4, [True, False, False, False]) == pytest.approx(0.7)
    assert calibration_error([0.05, 0.95], [True, False]) == pytest.approx(0.95)
