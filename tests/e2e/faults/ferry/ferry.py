"""Loading plan of a small car ferry: lanes of equal length, cars in the order they come."""

from dataclasses import dataclass


@dataclass
class Car:
    plate: str
    length: float


def plan_lanes(cars, lane_count, lane_length, gap=0.5):
    """Put each car in the first lane with room. Returns the plates of each lane and of those left behind."""
    lanes = [[] for _ in range(lane_count)]
    used = [0.0] * lane_count
    waiting = []
    for car in cars:
        for lane in range(lane_count):
            needed = car.length if not lanes[lane] else car.length + gap
            if used[lane] + needed <= lane_length:
                lanes[lane].append(car.plate)
                used[lane] = needed
                break
        else:
            waiting.append(car.plate)
    return lanes, waiting
