from ferry import Car, plan_lanes


def cars(*lengths):
    return [Car(f"C{n}", length) for n, length in enumerate(lengths)]


def test_one_lane_is_filled_in_order():
    assert plan_lanes(cars(4, 4), 1, 10) == ([["C0", "C1"]], [])


def test_second_lane_takes_the_rest():
    assert plan_lanes(cars(4, 4, 4), 2, 9) == ([["C0", "C1"], ["C2"]], [])


def test_cars_that_do_not_fit_wait():
    assert plan_lanes(cars(5, 5, 5, 3), 1, 11) == ([["C0", "C1"]], ["C2", "C3"])


def test_short_car_fills_a_hole():
    assert plan_lanes(cars(6, 6, 2), 2, 9) == ([["C0", "C2"], ["C1"]], [])
