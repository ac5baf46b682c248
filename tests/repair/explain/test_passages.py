from dataclasses import replace

import pytest

from repair.errors import InputError, ModelError
from repair.explain.glass import Glass
from repair.explain.passages import edited, passage, shown, unchanged, units_of
from repair.explain.values import Subject, Unit, UnitEdit, UnitKind
from repair.models.compact import CompactFormat
from repair.prompts import compact_prompt, compact_target, encode
from repair.views import Hunk, View


@pytest.mark.parametrize("kind", ["compact", "plain", "chat"])
def test_explained_ids_are_those_of_serving(kind: str, request: pytest.FixtureRequest, subject: Subject) -> None:
    glass: Glass = request.getfixturevalue(kind)
    found = passage(glass.answers, subject.view, subject.hunks)
    local = glass.local()
    prefix = local.answers.read(subject.view)
    assert found.ids[: found.prompt] == prefix.tokens
    (score,) = local.score(subject.view, [subject.hunks])
    (same,) = local.engine.score(prefix, [found.ids[found.prompt :]])
    assert score == pytest.approx(same, abs=1e-5)
    assert ("<<user>>" in "".join(found.tokens)) == (kind == "chat")


@pytest.mark.parametrize("kind", ["compact", "plain"])
def test_each_unit_owns_its_own_text(kind: str, request: pytest.FixtureRequest, subject: Subject) -> None:
    found = passage(request.getfixturevalue(kind).answers, subject.view, None)
    assert {u for u in found.units if u.text.strip() or u.kind is UnitKind.FRAME} == set(units_of(subject.view))
    for number, unit in enumerate(found.units):
        if unit.text:
            text = "".join(found.tokens[i] for i in found.of(number))
            assert text.strip() == unit.text.strip(), unit


def test_taking_a_unit_out_of_the_view_and_of_the_tokens_is_the_same(compact: Glass, subject: Subject) -> None:
    whole = passage(compact.answers, subject.view, None)
    for number, unit in enumerate(whole.units):
        if unit.kind is UnitKind.CODE and unit.text:
            cut = edited(subject.view, [UnitEdit(unit.kind, unit.number)])
            assert passage(compact.answers, cut, None).ids == whole.without([number])


def test_the_shown_view_has_the_same_prompt_and_lets_nothing_move_in(compact: Glass, subject: Subject) -> None:
    answers = compact.answers
    assert isinstance(answers, CompactFormat)
    long = replace(
        subject.view, test="\n".join(f"check_{n}(area)" for n in range(60)), error="E: " + "x " * 400,
        frames=(11, 8, 9, 7), context=tuple(f"import module_{n}" for n in range(99)),
    )  # fmt: skip
    seen = shown(long, answers)
    assert compact_prompt(seen) == compact_prompt(answers.fitted(long))
    assert len(seen.test) == 240 and seen.frames == (11, 8, 9)
    shorter = edited(seen, [UnitEdit(UnitKind.TEST, 1)])
    ids = encode(compact_prompt(seen), answers.encoder)
    assert len(encode(compact_prompt(shorter), answers.encoder)) < len(ids)
    assert encode(compact_target(seen, ()), answers.encoder)


def test_edits_name_what_is_not_there(subject: Subject) -> None:
    for edit in (UnitEdit(UnitKind.CODE, 12), UnitEdit(UnitKind.FRAME, 7), UnitEdit(UnitKind.TEST, 3)):
        with pytest.raises(InputError) as told:
            edited(subject.view, [edit])
        assert told.value.field == "interventions.edits"
    with pytest.raises(InputError, match="line break"):
        edited(subject.view, [UnitEdit(UnitKind.CODE, 8, "a\nb")])


def test_a_line_named_twice_by_the_traceback_is_one_unit(subject: Subject) -> None:
    view = replace(subject.view, frames=(11, 8, 11))
    assert [u for u in units_of(view) if u.kind is UnitKind.FRAME] == [
        Unit(UnitKind.FRAME, 11, ""), Unit(UnitKind.FRAME, 8, ""),
    ]  # fmt: skip
    assert edited(view, [UnitEdit(UnitKind.FRAME, 11)]).frames == (8,)
    assert edited(view, [UnitEdit(UnitKind.FRAME, 11, "9")]).frames == (9, 8, 9)


def test_what_is_too_long_or_elsewhere_is_refused(compact: Glass, subject: Subject) -> None:
    long = View("a.py", "python", 1, tuple(f"value_{n} = compute({n}, {n})" for n in range(200)))
    with pytest.raises(ModelError, match="smaller window"):
        passage(compact.answers, long, None)
    with pytest.raises(InputError, match="does not lie"):
        passage(compact.answers, subject.view, (Hunk(40, 40, "x"),))


def test_lines_as_they_are(subject: Subject) -> None:
    assert unchanged(subject.view, (Hunk(12, 11, "x"),)) == (Hunk(11, 11, subject.view.lines[4]),)
    assert unchanged(subject.view, (Hunk(8, 9, ""),)) == (Hunk(8, 9, "\n".join(subject.view.lines[1:3])),)
