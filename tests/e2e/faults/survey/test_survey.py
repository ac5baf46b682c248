from survey import majority, tally


def test_case_is_ignored():
    assert tally(["Yes", "yes ", "NO"]) == {"yes": 2, "no": 1}


def test_missing_answers():
    assert tally([None, "", "  "]) == {}


def test_majority():
    assert majority(["Tea", "tea", "coffee"]) == "tea"


def test_no_majority():
    assert majority(["tea", "coffee"]) is None
