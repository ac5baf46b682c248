# ruff: noqa: ANN001, ANN201, ANN204, N801, A002
# pyright: basic
"""What test scripts compare results with. Definitions are copied by name into the scripts, as text.

So each imports what it needs inside of itself and leaves no other name behind in the program's globals.
"""


def as_json(value, most=100_000):
    """A result as JSON would have it: lists for tuples and generators, of which no more than `most` items are read."""
    from collections.abc import ItemsView, Iterator, KeysView, ValuesView
    from itertools import islice
    from json import dumps

    if isinstance(value, (list, tuple, range, Iterator, KeysView, ValuesView, ItemsView)):
        return [as_json(item, most) for item in islice(value, most)]
    if isinstance(value, dict):
        return {key if isinstance(key, str) else dumps(key): as_json(item, most) for key, item in value.items()}
    return value


class about:
    """Equal to what differs from the value by rounding only, in floats at any depth."""

    def __init__(self, value, rel=1e-6, abs=1e-9):
        self.value, self.rel, self.abs = value, rel, abs

    def __eq__(self, other):
        return self.same(self.value, other)

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __repr__(self):
        return repr(self.value)

    def same(self, one, other):
        """Recurs into lists, tuples and dictionaries."""
        from math import isclose, isnan

        if isinstance(one, dict) and isinstance(other, dict):
            return one.keys() == other.keys() and all(self.same(one[key], other[key]) for key in one)
        if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
            return len(one) == len(other) and all(self.same(*pair) for pair in zip(one, other, strict=True))
        if isinstance(one, float) or isinstance(other, float):
            if not (isinstance(one, (int, float)) and isinstance(other, (int, float))):
                return False
            return (isnan(one) and isnan(other)) or isclose(one, other, rel_tol=self.rel, abs_tol=self.abs)
        return one == other


class raising:
    """A block that must raise `kind`, with a message that `match` is found in."""

    def __init__(self, kind, match=None):
        self.kind, self.match = kind, match

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        import re

        assert kind is not None, f"nothing was raised, expected {self.kind}"
        if not issubclass(kind, self.kind):
            return False
        assert self.match is None or re.search(self.match, str(error)), f"{error!r} does not match {self.match!r}"
        self.value = error
        return True
