"""Duplicates: exact whatever the layout, near by MinHash, others kept."""

import random

from data.dedup import Seen, shingles, signature, similarity

FUNCTION = """def total(values, start=0):
    result = start
    for index, value in enumerate(values):
        if value is None:
            continue
        result += value * (index + 1)
    if result < 0:
        raise ValueError("negative total")
    logger.debug("total of %d values is %d", len(values), result)
    cache[start] = result
    return result
"""


def test_the_first_text_is_kept_and_its_copies_are_not():
    seen = Seen()
    assert [seen.reason(t) for t in (FUNCTION, FUNCTION, FUNCTION.replace("    ", "  "))] == [
        "",
        "exact duplicate",
        "exact duplicate",
    ]


def test_one_changed_word_is_a_near_duplicate():
    seen = Seen()
    seen.reason(FUNCTION)
    assert seen.reason(FUNCTION.replace("negative total", "negative sum")) == "near duplicate"


def test_other_code_is_kept():
    seen = Seen()
    seen.reason(FUNCTION)
    other = "def area(shape):\n    width, height = shape\n    return width * height\n"
    assert seen.reason(other) == ""
    assert not seen.left_out


def test_signatures_estimate_the_jaccard_similarity():
    draw = random.Random(3)
    words = [f"w{n}" for n in range(400)]
    draw.shuffle(words)
    left, right = " ".join(words[:300]), " ".join(words[60:])
    a, b = set(shingles(left).tolist()), set(shingles(right).tolist())
    true = len(a & b) / len(a | b)
    assert abs(similarity(signature(left), signature(right)) - true) < 0.13  # three standard errors of 128 draws


def test_a_text_without_tokens_does_no_harm():
    seen = Seen()
    assert [seen.reason(""), seen.reason(" ")] == ["", "exact duplicate"]
