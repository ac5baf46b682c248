"""A sealed-bid auction in which the winner pays the second price."""


def valid_bids(bids, reserve):
    """Bids of at least the reserve, highest first; of equal bids the earlier one first."""
    accepted = [(bidder, amount) for bidder, amount in bids if amount >= reserve]
    return sorted(accepted, key=lambda bid: bid[1], reverse=True)


def settle(bids, reserve=0):
    """Returns (winner, price); (None, 0) when no bid reaches the reserve."""
    ranked = valid_bids(bids, reserve)
    if not ranked:
        return None, 0
    winner = ranked[0][0]
    price = ranked[1][1] if len(ranked) > 1 else reserve
    return winner, price
