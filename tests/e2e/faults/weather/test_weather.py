from weather import summarize, warmest_time

DAY = """06:00 4.0
12:30 11.5

18:00 7.0
"""


def test_summary():
    assert summarize(DAY) == (4.0, 11.5, 7.5)


def test_blank_text_has_no_summary():
    assert summarize("\n   \n") is None


def test_warmest_time():
    assert warmest_time(DAY) == "12:30"
