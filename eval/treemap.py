"""The layout of a tree map: rectangles whose areas are proportional to values, as near to squares as may be. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle; y grows downwards."""

    x: float
    y: float
    width: float
    height: float

    @property
    def area(self) -> float:
        """Width times height."""
        return self.width * self.height

    def inside(self, margin: float, head: float = 0.0) -> Box:
        """Without a margin on all sides and a stripe above; empty where nothing is left."""
        width, height = self.width - 2 * margin, self.height - 2 * margin - head
        return Box(self.x + margin, self.y + margin + head, max(0.0, width), max(0.0, height))


def squarified(values: Sequence[float], box: Box) -> tuple[Box, ...]:
    """A rectangle for each value, in the order given (Bruls, Huizing & van Wijk 2000).

    They fill the box, do not overlap, and have areas proportional to the values; largest first gives the best shapes.
    Raises ValueError where a value is not above 0.
    """
    if any(not value > 0 for value in values):
        raise ValueError("an area needs a value above 0")
    if not values:
        return ()
    scale = box.area / sum(values)
    order = sorted(range(len(values)), key=lambda i: -values[i])
    placed: dict[int, Box] = {}
    row: list[int] = []
    for index in order:
        side = min(box.width, box.height)
        areas = [scale * values[i] for i in row]
        if row and _worst([*areas, scale * values[index]], side) > _worst(areas, side):
            box = _laid(row, areas, box, placed)
            row = []
        row.append(index)
    _laid(row, [scale * values[i] for i in row], box, placed)
    return tuple(placed[i] for i in range(len(values)))


def _worst(areas: Sequence[float], side: float) -> float:
    """The worst ratio of sides in a row along a side."""
    total = sum(areas)
    if not side or not total:
        return float("inf")
    return max(side * side * max(areas) / total**2, total**2 / (side * side * min(areas)))


def _laid(row: Sequence[int], areas: Sequence[float], box: Box, placed: dict[int, Box]) -> Box:
    """Put a row along the shorter side; the box that is left."""
    across = box.width >= box.height  # the row stands at the left, from top to bottom
    side = box.height if across else box.width
    thick = sum(areas) / side if side else 0.0
    at = box.y if across else box.x
    for index, area in zip(row, areas, strict=True):
        long = area / thick if thick else 0.0
        placed[index] = Box(box.x, at, thick, long) if across else Box(at, box.y, long, thick)
        at += long
    if across:
        return Box(box.x + thick, box.y, max(0.0, box.width - thick), box.height)
    return Box(box.x, box.y + thick, box.width, max(0.0, box.height - thick))
