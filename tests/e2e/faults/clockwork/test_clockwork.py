from clockwork import is_open, minutes_until_open, open_minutes


def test_by_day():
    assert is_open(540, 1080, 600)
    assert not is_open(540, 1080, 1080)


def test_over_midnight():
    assert is_open(1320, 180, 1400)
    assert is_open(1320, 180, 60)
    assert not is_open(1320, 180, 600)


def test_waiting():
    assert minutes_until_open(540, 1080, 500) == 40
    assert minutes_until_open(540, 1080, 1200) == 780


def test_length():
    assert open_minutes(1320, 180) == 300
