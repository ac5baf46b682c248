from auction import settle


def test_second_price():
    assert settle([("ann", 10), ("bob", 14), ("cem", 12)]) == ("bob", 12)


def test_reserve_is_paid_by_a_single_bidder():
    assert settle([("ann", 10), ("bob", 3)], reserve=5) == ("ann", 5)


def test_no_bid_reaches_the_reserve():
    assert settle([("ann", 4)], reserve=5) == (None, 0)


def test_earlier_of_equal_bids_wins():
    assert settle([("ann", 9), ("bob", 9), ("cem", 2)]) == ("ann", 9)
