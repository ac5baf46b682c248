"""What must hold of each suite of our own, whatever its language; the tests of each suite call it."""

import re
from collections import Counter
from pathlib import Path

from eval.suites.rows import LANGUAGES, read_suite
from repair.languages import parse
from repair.mutate import BUG_CLASSES
from repair.sources import Source

SUITES = Path(__file__).resolve().parents[2] / "eval/suites"


def cases_of(language):
    return read_suite(SUITES / f"emend_{language}.jsonl").cases


def whole(cases, language, prefix):
    """Every row has all of its fields, and the tests are of what the row says."""
    for case in cases:
        assert re.fullmatch(rf"{prefix}/[a-z0-9-]+", case.id), case.id
        assert (case.language, case.source, case.license) == (language, "emend", "Apache-2.0"), case.id
        assert case.fixed_code and case.held_out_tests and case.error and case.entry_point, case.id
        assert case.entry_point in case.tests, case.id
        assert case.entry_point in case.buggy_code, case.id
        assert case.tests not in case.held_out_tests, case.id
        assert 12 <= case.fixed_code.count("\n") <= 60, case.id
    assert len({case.fixed_code for case in cases}) == len(cases)


def parses_and_differs(case):
    """Both sides parse, alone and with each of the tests behind them."""
    assert case.buggy_code != case.fixed_code
    for code in (case.buggy_code, case.fixed_code):
        for text in (f"{code}\n\n{case.tests}", f"{code}\n\n{case.held_out_tests}", code):
            tree = parse(Source(LANGUAGES[case.language], text, case.language))
            assert tree.root is not None
            assert tree.error is None


def classes_spread(cases, least):
    classes = Counter(case.bug_type for case in cases)
    assert set(classes) <= set(BUG_CLASSES)
    assert len(classes) >= least
    assert max(classes.values()) <= len(cases) / 4


def held_out_tests_ask_more(cases, question):
    """`question`: a pattern that finds each single question of the tests."""
    for case in cases:
        shown, held_out = (len(re.findall(question, text)) for text in (case.tests, case.held_out_tests))
        assert 2 <= shown <= 6, case.id
        assert "for (" in case.held_out_tests or held_out >= max(6, shown + 1), case.id


def frames_of_the_program_only(cases, file):
    for case in cases:
        frames = [line for line in case.error.split("\n") if line.lstrip().startswith("at ")]
        assert frames, case.id
        assert all(f"{file}:" in frame and "/" not in frame for frame in frames), case.id
