from seating import Theatre


def test_front_row_first():
    assert Theatre(2, 4).book_together(2) == ["A1", "A2"]


def test_whole_row():
    assert Theatre(1, 3).book_together(3) == ["A1", "A2", "A3"]


def test_second_group_sits_beside():
    theatre = Theatre(2, 4)
    theatre.book_together(2)
    assert theatre.book_together(2) == ["A3", "A4"]
    assert theatre.free() == 4


def test_too_many():
    assert Theatre(2, 2).book_together(3) is None
