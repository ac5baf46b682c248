"""What is remembered of sources: the last ones, within a bound on their text."""

from repair.languages import recent
from repair.languages.recent import Recent
from repair.sources import Source


def remembering():
    asked: list[str] = []

    def length(source: Source) -> int:
        asked.append(source.path)
        return len(source.text)

    return Recent(length), asked


def source(name: str, size: int = 1) -> Source:
    return Source(f"{name}.py", "x" * size)


def test_what_was_asked_last_is_remembered():
    lengths, asked = remembering()
    for name in ("a", "b", "a", "b"):
        assert lengths(source(name, 3)) == 3
    assert asked == ["a.py", "b.py"] and lengths.characters == 6


def test_the_longest_unused_goes_when_there_are_too_many():
    lengths, asked = remembering()
    names = [f"s{n}" for n in range(recent.MOST)]
    for name in (*names, "s0", "more", "s0", "s1"):
        lengths(source(name))
    assert [path for path in asked if asked.count(path) > 1] == ["s1.py", "s1.py"]


def test_large_sources_are_bounded_by_their_text_but_the_last_one_stays():
    lengths, asked = remembering()
    half = recent.CHARACTERS // 2
    for name in ("a", "b", "c"):
        lengths(source(name, half))
    assert lengths.characters == 2 * half
    for _ in range(2):
        lengths(source("large", 3 * half))
    assert lengths.characters == 3 * half and asked.count("large.py") == 1
