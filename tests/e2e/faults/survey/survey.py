"""Tally of answers in a survey with optional questions."""

from collections import Counter


def tally(answers):
    """Counts of each answer, upper and lower case and outer blanks ignored, empty answers left out."""
    cleaned = [answer.strip() for answer in answers if answer is not None]
    return Counter(answer for answer in cleaned if answer)


def majority(answers):
    """The answer that more than half gave, else None."""
    counts = tally(answers)
    if not counts:
        return None
    answer, count = counts.most_common(1)[0]
    return answer if 2 * count > sum(counts.values()) else None
