import pytest
from thermostat import Thermostat, run_day


def test_starts_when_cold():
    assert Thermostat(20).update(19.0) is True


def test_keeps_running_inside_of_the_band():
    thermostat = Thermostat(20)
    thermostat.update(19.0)
    assert thermostat.update(20.0) is True


def test_stops_when_warm():
    thermostat = Thermostat(20)
    thermostat.update(19.0)
    assert thermostat.update(20.5) is False
    assert thermostat.update(20.0) is False


def test_day():
    assert run_day(Thermostat(20), [18, 19.8, 20.2, 20.6, 20.1, 19.4, 19.9]) == 5


def test_band_must_be_positive():
    with pytest.raises(ValueError):
        Thermostat(20, 0)
