"""Choice of a gear from speed, with limits for each gear."""

LIMITS = [(1, 0, 20), (2, 15, 40), (3, 30, 70), (4, 55, 110), (5, 90, 250)]


def allowed(speed):
    """Gears that may be driven at a speed, lowest first."""
    return [gear for gear, low, high in LIMITS if low <= speed <= high]


def choose(speed, current, sporty=False):
    """Keep the current gear while it is allowed; else the highest allowed, the lowest when sporty."""
    gears = allowed(speed)
    if not gears:
        raise ValueError(f"no gear for {speed} km/h")
    if current in gears:
        return gears
    return gears[0] if sporty else gears[-1]


def shifts(speeds):
    """How often the gear changes over a drive that starts in the first gear."""
    gear, count = 1, 0
    for speed in speeds:
        chosen = choose(speed, gear)
        if chosen != gear:
            gear, count = chosen, count + 1
    return count
