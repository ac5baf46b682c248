"""Attacks: the fault and the meaning stay, what is reported stays true, and the tests' names are left alone."""

import random
import re
from dataclasses import replace

import pytest

from data.augment import TRANSFORMATIONS
from data.piece import words
from eval.faults import changed_lines, size_of_change
from eval.robustness import noise
from eval.robustness.attacks import NAMES, attacked, ordered
from eval.robustness.reported import renumbered, reported
from eval.robustness.soundness import Soundness
from eval.robustness.surroundings import longer
from eval.robustness.unrelated import UNRELATED
from eval.suites.rows import LANGUAGES
from repair.errors import InputError
from repair.languages import enclosing_function, parses
from repair.oracles.scripts import warm_programs
from repair.sandbox import Tier
from repair.sandboxes.select import find_sandbox
from repair.sources import Source
from repair.traces import frames_in, parse_error
from tests.eval.robustness_cases import CASES, NODE, PYTHON, RAISING, UNDEFINED

REWRITINGS = tuple(kind.name for kind in TRANSFORMATIONS)


def chance():
    return random.Random(0)


@pytest.fixture(scope="module")
def sandbox():
    return find_sandbox(Tier.C)


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_attacked_cases_are_sound(sandbox, language):
    """Every attack alone and some compositions, on every case; for two seeds where runs are cheap."""
    made = []
    with warm_programs(sandbox, language) as programs:
        sound = Soundness(programs)
        for case in (c for c in CASES if c.language == language):
            assert sound(case)
            sets = [(name,) for name in NAMES] + [("rename", "longer", "error-typo"), ("docstring", "reorder")]
            for names in sets:
                for seed in (0, 1) if language == "python" else (0,):
                    other = attacked(case, names, seed)
                    if other is not None:
                        made.append(names)
                        assert sound(other), (case.id, names, seed)
                        assert other.tests == case.tests
                        assert size_of_change(other.buggy_code, other.fixed_code) == size_of_change(
                            case.buggy_code, case.fixed_code
                        )
    assert len(set(made)) >= (15 if language == "python" else 8)


def test_unsound_cases_are_told(sandbox):
    with warm_programs(sandbox, "python") as programs:
        sound = Soundness(programs)
        assert not sound(replace(PYTHON, fixed_code=PYTHON.buggy_code)), "the reference fails"
        assert not sound(replace(PYTHON, buggy_code=PYTHON.fixed_code)), "the faulty code passes"
        runs = programs.runs
        assert not sound(replace(PYTHON, buggy_code=PYTHON.fixed_code))
        assert programs.runs == runs, "what was run is remembered"


def test_deterministic():
    for case in CASES:
        for name in NAMES:
            assert attacked(case, (name,), 3) == attacked(case, (name,), 3)
    assert len({attacked(PYTHON, ("rename",), seed) for seed in range(8)}) > 1


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
@pytest.mark.parametrize("name", ["rename", "rename-foreign", "rename-parameters", "reorder"])
def test_names_of_the_tests_stay(case, name):
    """`limit` is given by keyword in held-out tests; `result` and `found` where tests use them too."""
    for local in ("result", "found", "best", "top"):
        case = replace(case, tests=f"{case.tests}\n{local} = 0\n" if case.language == "python" else case.tests)
    seen = words(case.tests, case.held_out_tests or "", case.entry_point or "")
    for seed in range(5):
        other = attacked(case, (name,), seed)
        if other is not None:
            for word in seen:
                pattern = rf"\b{word}\b"
                assert len(re.findall(pattern, other.buggy_code)) == len(re.findall(pattern, case.buggy_code)), word


def test_a_renaming_is_made_on_both_sides():
    other = attacked(PYTHON, ("rename",), 0)
    assert other.buggy_code != PYTHON.buggy_code
    assert other.fixed_code == other.buggy_code.replace("price < limit", "price <= limit") or "<=" in other.fixed_code
    assert "total_of(prices, limit)" in other.fixed_code


def test_without_a_reference_the_faulty_side_alone_is_rewritten():
    other = attacked(replace(PYTHON, fixed_code=None), ("add-comment",), 0)
    assert other.fixed_code is None
    assert other.buggy_code.count("#") > PYTHON.buggy_code.count("#")


def test_no_final_newline_is_kept_and_carriage_returns_are_refused():
    bare = replace(PYTHON, buggy_code=PYTHON.buggy_code.rstrip(), fixed_code=PYTHON.fixed_code.rstrip())
    other = attacked(bare, ("rename",), 0)
    assert not other.buggy_code.endswith("\n")
    assert not other.fixed_code.endswith("\n")
    windows = replace(PYTHON, buggy_code=PYTHON.buggy_code.replace("\n", "\r\n"))
    assert all(attacked(windows, (name,), 0) is None for name in (*REWRITINGS, "longer"))


@pytest.mark.parametrize("name", [*REWRITINGS, "longer"])
@pytest.mark.parametrize("case", [RAISING, UNDEFINED, NODE], ids=lambda case: case.id)
def test_the_error_stays_true(case, name):
    """The named line of the program holds what it held, whatever its number is now."""
    for seed in range(4):
        other = attacked(case, (name,), seed)
        if other is None:
            continue
        path = LANGUAGES[case.language]
        sides = []
        for one in (case, other):
            lines = one.buggy_code.split("\n")
            named = [
                n for n in frames_in(parse_error(one.error), path) if n <= len(one.buggy_code.rstrip().split("\n"))
            ]
            assert named, (name, seed)
            sides.append([re.sub(r"(?:\w|[^\x00-\x7f])+", "x", lines[n - 1].strip()) for n in named])
        assert sides[0] == sides[1]
        grown = other.buggy_code.count("\n") - case.buggy_code.count("\n")
        tests = [max(reported(one).numbers) for one in (case, other)]
        assert case is UNDEFINED or tests[1] == tests[0] + grown


def test_quoted_code_and_names_follow_a_renaming():
    other = next(o for seed in range(20) if (o := attacked(RAISING, ("rename",), seed)) and "text[" not in o.buggy_code)
    line = other.buggy_code.split("\n")[7].strip()
    assert f"line 8, in first_long\n    {line}\nIndexError" in other.error, "markers below changed code are gone"
    assert "line 13, in <module>\n    assert first_long" in other.error
    assert "~~~~~~~~~~^^^" in other.error, "those below code that stays are not"
    other = next(
        o for seed in range(20) if (o := attacked(UNDEFINED, ("rename",), seed)) and "word " not in o.buggy_code
    )
    (fresh,) = re.findall(r"for (\w+) in words", other.buggy_code)
    assert f"NameError: name 'wrod' is not defined. Did you mean: '{fresh}'?" in other.error


def test_lines_move_by_what_the_caller_says():
    text = renumbered(RAISING, "# one\n" + RAISING.buggy_code, {n: n + 1 for n in range(1, 11)})
    assert [int(n) for n in re.findall(r"line (\d+)", text)] == [14, 9]
    assert renumbered(replace(RAISING, error=None), RAISING.buggy_code, {}) is None
    strange = replace(RAISING, error="it does not work, see other.py:8")
    assert renumbered(strange, "#\n" + RAISING.buggy_code, {8: 9}) == strange.error


def test_longer_keeps_what_must_stand_first():
    other = longer(NODE, chance())
    assert other.buggy_code.startswith("'use strict';\n")
    assert other.buggy_code.index("function largest") > 200
    assert len(other.buggy_code) - other.buggy_code.index("return top") > 200
    other = longer(RAISING, chance())
    assert other.buggy_code.startswith("import math\n")
    line = changed_lines(other.buggy_code, other.fixed_code)
    assert [other.buggy_code.split("\n")[n - 1].strip() for n in line] == ["found = text[least]"]
    assert enclosing_function(Source("s.py", other.buggy_code, "python"), line[0]).name == "first_long"


def test_longer_takes_no_name_that_is_there():
    defined = "".join(UNRELATED["python"])
    assert longer(replace(PYTHON, tests=defined), chance()) is None
    names = set(re.findall(r"^(?:def|class) (\w+)", defined, re.M))
    some = sorted(names)[:6]
    other = longer(replace(PYTHON, held_out_tests="\n".join(some)), chance())
    added = set(re.findall(r"^(?:def|class) (\w+)", other.buggy_code, re.M)) - {"total_of"}
    assert added == names - set(some)


@pytest.mark.parametrize("language", sorted(UNRELATED))
def test_unrelated_code_parses(language):
    assert parses(Source(LANGUAGES[language], "\n".join(UNRELATED[language]), language)) is None


def test_noise_in_the_error():
    assert "IndexError: " in noise.typo(RAISING, chance()).error
    assert "string index out of range" not in noise.typo(RAISING, chance()).error
    assert sorted(noise.typo(RAISING, chance()).error) == sorted(RAISING.error), "letters change places"
    cut = noise.truncated(RAISING, chance()).error
    assert cut.strip(".") in RAISING.error
    assert len(cut) < len(RAISING.error) * 0.7
    assert noise.wrapped(RAISING, chance()).error.count("\x1b[31m") == RAISING.error.count("\n")
    assert noise.unrelated_warnings(NODE, chance()).error.endswith(NODE.error)
    assert noise.missing(RAISING, chance()).error is None
    silent = replace(RAISING, error=None)
    assert [name for name in NAMES if name.startswith("error") and attacked(silent, (name,), 0)] == []


def test_misleading_lines():
    other = noise.wrong_lines(RAISING, chance())
    (wrong,) = frames_in(parse_error(other.error), "solution.py")[:1]
    assert wrong not in changed_lines(RAISING.buggy_code, RAISING.fixed_code)
    assert f"    {RAISING.buggy_code.split(chr(10))[wrong - 1].strip()}\nIndexError" in other.error
    assert "line 13, in <module>" in other.error, "the tests' frames stay"
    other = noise.stale_lines(RAISING, chance())
    assert "line 8," not in other.error
    assert "    found = text[least]\n" in other.error
    assert noise.wrong_lines(PYTHON, chance()) is None, "no frame lies in the program"


def test_order_and_unknown_names():
    assert ordered(("error-missing", "longer", "rename", "longer")) == ("rename", "longer", "error-missing")
    with pytest.raises(InputError, match="no attack 'shout'"):
        attacked(PYTHON, ("shout",), 0)
