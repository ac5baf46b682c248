"""A thermostat with hysteresis, so that the boiler does not flicker."""


class Thermostat:
    def __init__(self, target, band=1.0):
        if band <= 0:
            raise ValueError("band must be positive")
        self.target = target
        self.band = band
        self.heating = False

    def update(self, temperature):
        """Feed one measurement; returns whether the boiler should run."""
        low = self.target - self.band / 2
        high = self.target + self.band / 2
        if temperature <= low:
            self.heating = True
        elif temperature >= high:
            self.heating = False
        return self.heating


def run_day(thermostat, temperatures):
    """Number of measurements during which the boiler ran."""
    return sum(thermostat.update(t) for t in temperatures)
