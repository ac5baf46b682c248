from parcels import cheapest, postage, started_kilos


def test_light_parcel_costs_the_base_rate():
    assert postage(1.5) == 4.90


def test_started_kilos_count_in_full():
    assert started_kilos(2.1) == 3


def test_heavy_parcel():
    assert postage(4.2) == 8.50
    assert postage(3, "europe") == 12.30


def test_packing_together_is_cheaper():
    assert cheapest([1, 1, 1]) == 6.10
