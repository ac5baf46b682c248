"""Decontamination: the marks are those of bench/fingerprint.py, renamed copies go, others stay."""

import hashlib
import json
import re

import pytest

from data.decontaminate import GRAM, Forbidden, clean, grams, marks, read_marks, suite_texts
from repair.errors import InputError, SuiteError

SAMPLE = '''
import os


def rotate(values, steps, *, wrap=True, **extra):
    """Rotate."""
    result: list[int] = []
    for index, value in enumerate(values):
        if not wrap and index + steps >= len(values):
            continue
        result.append(values[(index + steps) % len(values)] or f"{value!r:>{steps}}" or b"x" or 1.5e300)
    return [*result, lambda q: q.name]


class Box(Base):
    @property
    async def items(self):
        async with self.lock as held, other():
            match held:
                case {"a": [first, *rest], **more}:
                    return self.lock.items[first:rest, ...]
                case Point(x=0) | None:
                    raise KeyError(-1) from None
        try:
            yield self.lock
        except (OSError, ValueError) as error:
            del self.lock[0], error
        while (n := self.read()) is not None:
            assert n != 0, "zero"


def tiny(a):
    b = a

    return b
'''
# computed with `bench/fingerprint.py` on this very sample
KNOWN = {"rotate": "9b82247966cb19e6", "items": "b2ea43e73c585084"}

RENAMED = SAMPLE.replace("rotate", "turn").replace("values", "xs").replace("index", "i").replace("result", "out")


def test_marks_are_those_of_the_reference_program():
    assert dict(marks(SAMPLE)) == KNOWN


def test_names_do_not_matter_and_operators_do():
    assert dict(marks(RENAMED))["turn"] == KNOWN["rotate"]
    assert dict(marks(SAMPLE.replace("index + steps)", "index - steps)")))["rotate"] != KNOWN["rotate"]


def test_docstrings_decorators_and_annotations_do_not_matter():
    other = SAMPLE.replace('"""Rotate."""', '"""Turn it\n\n    around."""').replace("@property", "@cached")
    other = other.replace("rotate(values, steps", "rotate(values: list, steps: int").replace(
        "**extra)", "**extra) -> list"
    )
    assert dict(marks(other)) == KNOWN


def test_a_planted_renamed_copy_is_cut_out_and_the_rest_stays():
    forbidden = Forbidden.build([], [SAMPLE])
    planted = (
        "import sys\n\n\ndef kept(a):\n    return a + 1\n\n\n"
        + RENAMED[RENAMED.index("def turn") : RENAMED.index("class Box")]
    )
    left, dropped = clean("m.py", planted, forbidden)
    assert [(d.name, d.first) for d in dropped] == [("turn", 8)]
    assert "def kept" in left and "def turn" not in left


def test_marks_alone_are_enough():
    forbidden = Forbidden.build(KNOWN.values(), [])
    left, dropped = clean("m.py", RENAMED, forbidden)
    assert {d.reason for d in dropped} == {"mark of a measured program"}
    assert "def tiny" in left and "class Box" in left
    compile(left, "m.py", "exec")


def test_a_run_of_thirteen_tokens_is_enough():
    suite = "def f(alpha, beta, gamma):\n    delta = alpha + beta * gamma - omega\n    return delta - alpha\n"
    forbidden = Forbidden.build([], [suite])
    text = (
        "def g(x):\n    print(x)\n"
        + "    delta = alpha + beta * gamma - omega\n    return delta - alpha\n"
        + "\n\ndef h(x):\n    return x\n"
    )
    left, dropped = clean("m.py", text, forbidden)
    assert [d.reason for d in dropped] == ["13 tokens of a suite"]
    assert "def h" in left


def test_a_run_outside_of_functions_drops_the_file():
    suite = "alpha = beta + gamma * delta - epsilon / zeta ** eta\n"
    left, dropped = clean("m.py", f"import os\n{suite}", Forbidden.build([], [suite]))
    assert left == "" and dropped[-1].reason.endswith("outside of functions")


def test_counting_and_number_lists_are_nobodys():
    forbidden = Forbidden.build([], ["assert f([1, 2, 3, 4, 5, 6, 7, 8]) == [8, 7, 6, 5, 4, 3, 2, 1]\n"])
    assert not forbidden.holds_gram("x = [1, 2, 3, 4, 5, 6, 7, 8]\n")


def test_grams_are_equal_for_equal_runs_only():
    words = [f"w{n}" for n in range(GRAM + 2)]
    assert len(grams(" ".join(words))) == 3
    assert grams(" ".join(words))[1] == grams(" ".join(["other", *words[1:]]))[1]
    assert len(grams("a b c")) == 0


def test_bad_lists_and_suites_are_refused(tmp_path):
    (tmp_path / "marks.txt").write_text("0123456789abcdef\nnot-a-mark\n")
    with pytest.raises(InputError, match="not-a-mark"):
        read_marks(tmp_path / "marks.txt")
    (tmp_path / "suite.jsonl").write_text('{"buggy_code": "x = 1"}\n[1]\n')
    with pytest.raises(SuiteError) as raised:
        suite_texts(tmp_path / "suite.jsonl")
    assert raised.value.line == 2


def test_suites_give_all_their_code(tmp_path):
    row = {"buggy_code": "a", "fixed_code": "b", "tests": "c", "held_out_tests": "d", "error": "e"}
    (tmp_path / "suite.jsonl").write_text(json.dumps(row) + "\n")
    assert suite_texts(tmp_path / "suite.jsonl") == ["a", "b", "c", "d"]


def test_marks_have_the_form_of_the_list():
    assert all(
        re.fullmatch("[0-9a-f]{16}", m) and len(m) == len(hashlib.sha256().hexdigest()) // 4 for _, m in marks(SAMPLE)
    )
