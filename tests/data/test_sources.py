"""Sources of records: suites, feedback, injected faults and rewrites."""

import json
from collections import Counter

import pytest

from data.checks import parses_as_piece
from data.labels import hunks_of
from data.records import ErrorOrigin, Origin, Record, example, from_row, to_row
from data.sources.feedback import feedback_records
from data.sources.injected import Injection, injected
from data.sources.lots import Cut, read_lots
from data.sources.rewrites import rewritten
from data.sources.suites import suite_records
from data.steps import Rejection
from repair.errors import InputError, SuiteError
from repair.models.scripted import ScriptedModel
from repair.sources import Source
from repair.views import Hunk, hunks_patch

PYTHON = '''import math


class Shop:
    def price(self, items, rate):
        """The price of all items."""
        total = 0
        for item in items:
            if item.weight > 10 and item.fragile:
                total += item.price * rate
            else:
                total += item.price
        return math.floor(total)
'''
OTHERS = {
    "a.js": """function pick(items, limit) {
  let total = 0;
  for (let i = 0; i < items.length; i++) {
    if (items[i] > limit && total >= 0) {
      total += items[i] * 2;
    }
  }
  return total;
}
""",
    "b.ts": """export class Box {
  fits(size: number, others: number[]): boolean {
    let room = this.room - size;
    for (const other of others) {
      room -= other + 1;
    }
    return room >= 0 && size > 0;
  }
}
""",
    "C.java": """class C {
    int count(int[] values, int limit) {
        int found = 0;
        for (int i = 0; i < values.length; i++) {
            if (values[i] < limit || values[i] == 7) {
                found += 1;
            }
        }
        return found;
    }
}
""",
}
CUT = Cut(1_000_000, 0.1, 1)


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def restored(record):
    """The fixed text from the buggy one and the hunks alone."""
    source = Source("x", record.buggy, record.language)
    return hunks_patch(source, hunks_of(record.buggy, record.fixed)).files[0].apply(record.buggy)


def split(outcomes):
    found = list(outcomes)
    return [o for o in found if isinstance(o, Record)], [o for o in found if isinstance(o, Rejection)]


@pytest.fixture
def folder(tmp_path):
    code = tmp_path / "code"
    (code / "node_modules").mkdir(parents=True)
    (code / "shop.py").write_text(PYTHON)
    (code / "broken.py").write_text("def f(:\n")
    (code / "node_modules" / "x.js").write_text(OTHERS["a.js"])
    for name, text in OTHERS.items():
        (code / name).write_text(text)
    return code


def test_faults_go_into_every_language_and_come_out_again(folder):
    (lot,) = read_lots(folder, name="shop", licence="MIT")
    records, left_out = split(injected(lot, CUT, Injection(each=12, clean_share=0.2, second_share=0.3, seed=3)))
    assert {r.language for r in records} == {"python", "javascript", "typescript", "java"}
    assert [(o.reason, o.where) for o in left_out] == [("file: does not parse", "shop/broken.py")]
    for record in records:
        assert (record.origin, record.licence, record.repository) == (Origin.MUTANT, "MIT", "shop")
        assert parses_as_piece(record.fixed, record.language)
        assert parses_as_piece(record.buggy, record.language) or record.bug_classes == ("syntax",)
        assert len(record.operators) == (0 if record.bug_classes == ("clean",) else len(record.bug_classes))
        if record.buggy != record.fixed:
            assert restored(record) == record.fixed
        assert from_row(to_row(record)) == record
        example(record)
    assert any(len(r.bug_classes) == 2 for r in records)
    assert any(r.buggy == r.fixed for r in records)
    origins = Counter(r.error_origin for r in records if r.error and r.bug_classes != ("syntax",))
    assert set(origins) == {ErrorOrigin.TEMPLATE}


def test_injection_is_the_same_each_time_and_changes_with_the_seed(folder):
    (lot,) = read_lots(folder, name="", licence="MIT")
    first = list(injected(lot, CUT, Injection(4, 0.2, 0.1, 3)))
    assert list(injected(lot, CUT, Injection(4, 0.2, 0.1, 3))) == first
    assert list(injected(lot, CUT, Injection(4, 0.2, 0.1, 4))) != first


def test_contents_make_the_key_of_a_lot(folder):
    (before,) = read_lots(folder, name="", licence="MIT")
    (folder / "a.js").write_text(OTHERS["a.js"].replace("* 2", "* 3"))
    (after,) = read_lots(folder, name="", licence="MIT")
    assert before.key != after.key
    assert before.files == ("C.java", "a.js", "b.ts", "broken.py", "shop.py")


def test_a_folder_without_code_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no wheel and no source file"):
        read_lots(tmp_path, name="", licence="")


def test_rewrites_keep_what_is_another_program(folder):
    (lot,) = read_lots(folder, name="", licence="MIT")

    def answers(view, decoding):
        first = view.lines[0]
        yield (Hunk(1, 1, first),)  # nothing
        yield (Hunk(1, 1, f"{first}  # {'note' if view.language == 'python' else ''}"),)  # a comment, or broken
        yield (Hunk(2, 2, view.lines[1].replace("0", "(")),)  # does not parse
        yield ()  # no fault
        yield "gibberish"
        if view.language == "python":
            yield (Hunk(5, 5, view.lines[4].replace(">", ">=")),)
            yield (Hunk(5, 5, view.lines[4].replace(">", ">=") + "  # again"),)
            yield (Hunk(9, 9, view.lines[8].replace("total", "rate")),)
            yield (Hunk(9, 9, view.lines[8].replace("total", "self")),)

    model = ScriptedModel(completions=answers)
    records, left_out = split(rewritten(lot, CUT, model, asked=16, each=2, functions=9))
    python = [r for r in records if r.language == "python"]
    assert ["item.weight >= 10" in python[0].buggy, "math.floor(rate)" in python[1].buggy] == [True, True]
    assert [(r.origin, r.operators, r.fixed == python[0].fixed) for r in python] == [
        (Origin.REWRITE, ("rewrite",), True)
    ] * 2
    assert {o.reason for o in left_out} <= {"file: does not parse", "function: no rewrite of it was kept"}
    assert all(call.view.error == "" for call in model.calls)


def test_suites_are_for_evaluation_alone(tmp_path):
    row = {"id": "a", "language": "python", "buggy_code": "x = 1", "tests": "assert x == 2", "error": "T\nE: boom"}
    path = lines(tmp_path / "s.jsonl", [row, {**row, "id": "b", "fixed_code": "x = 2"}])
    with pytest.raises(InputError, match="may not be trained on"):
        list(suite_records(path, "train"))
    records, left_out = split(suite_records(path, "evaluation"))
    assert [(r.path, r.buggy, r.fixed, r.error, r.origin) for r in records] == [
        ("b", "x = 1\n", "x = 2\n", "E: boom", Origin.SUITE)
    ]
    assert [o.where for o in left_out] == ["s/a"]
    with pytest.raises(SuiteError, match="row 1: tests must be a text") as caught:
        list(suite_records(lines(tmp_path / "t.jsonl", [{**row, "tests": 3}]), "evaluation"))
    assert (caught.value.field, caught.value.line) == ("tests", 1)


def journal(**changes):
    row = {
        "language": "python",
        "path": "shop.py",
        "text_before": PYTHON,
        "text_after": PYTHON.replace("> 10", ">= 10"),
        "accepted": True,
        "at": "2025-03-01T12:00:00+02:00",
    }
    return {**row, **changes}


def test_feedback_becomes_the_record_of_its_function(tmp_path):
    rejected = journal(accepted=False, text_after=PYTHON.replace("> 10", "> 11"), error="Traceback\n  x\nKeyError: 1\n")
    same = journal(text_after=PYTHON)
    wide = journal(text_after=PYTHON.replace("math", "cmath"))
    path = lines(tmp_path / "journal.jsonl", [journal(), rejected, same, wide])
    records, left_out = split(feedback_records(path, licence="MIT", repository="ours"))
    first, second, third = records
    assert (first.function, first.first_line, first.accepted, first.authored) == (
        "Shop.price", 5, True, "2025-03-01T10:00:00Z",
    )  # fmt: skip
    assert first.buggy.startswith("    def price") and "import math" in first.context
    assert (second.accepted, second.error, second.error_type) == (False, "KeyError: 1", "KeyError")
    assert second.error_origin is ErrorOrigin.REPORTED
    assert (third.function, third.buggy) == ("", PYTHON)
    assert [o.reason for o in left_out] == ["row: the texts are equal"]
    assert example(first).hunks[0].first == 9


@pytest.mark.parametrize(
    ("changes", "field"), [({"accepted": "yes"}, "accepted"), ({"at": "noon"}, "at"), ({"path": None}, "path")]
)
def test_bad_feedback_names_row_and_field(tmp_path, changes, field):
    path = lines(tmp_path / "j.jsonl", [journal(), journal(**changes)])
    with pytest.raises(SuiteError, match="row 2") as caught:
        list(feedback_records(path, licence="", repository=""))
    assert (caught.value.field, caught.value.line) == (field, 2)
