"""Daily summaries of weather station readings given as text."""


def parse_reading(line):
    """A line "HH:MM temperature" becomes (minutes since midnight, degrees)."""
    clock, degrees = line.split()
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes), float(degrees)


def summarize(text):
    """Minimum, maximum and mean of the readings, each to one decimal."""
    readings = [parse_reading(line) for line in text.splitlines() if line.strip()]
    if not readings:
        return None
    degrees = [value for _, value in readings]
    mean = sum(degrees) / len(degrees)
    return round(min(degrees), 1), round(max(degrees), 1), round(mean, 1)


def warmest_time(text):
    """Clock time of the highest reading as HH:MM."""
    minute, _ = max((parse_reading(line) for line in text.splitlines() if line.strip()), key=lambda r: r[1])
    return f"{minute // 60:02d}:{minute % 60:02d}"
