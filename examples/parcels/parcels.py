"""Postage for parcels, by weight and destination."""

RATES = {"domestic": (4.90, 1.20), "europe": (9.50, 2.80), "world": (18.00, 6.40)}
INCLUDED_KILOS = 2


def postage(weight, destination="domestic"):
    """Price of one parcel: a base rate, and a price for each started kilo above those included."""
    if weight <= 0:
        raise ValueError("a parcel must weigh something")
    base, per_kilo = RATES[destination]
    extra = max(0, started_kilos(weight) - INCLUDED_KILOS)
    return round(base + extra * base, 2)


def started_kilos(weight):
    """Whole kilos, begun ones counted in full."""
    return int(-(-weight // 1))


def cheapest(weights, destination="domestic"):
    """The cheaper of sending all parcels on their own and of packing them into one."""
    alone = sum(postage(weight, destination) for weight in weights)
    together = postage(sum(weights), destination)
    return min(round(alone, 2), together)
