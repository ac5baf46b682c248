from repair.candidates import Completion
from repair.model import Decoding, LineBelief, Model, Usage
from repair.models.scripted import Call, ScriptedModel
from repair.replies import Change, parse_reply
from repair.views import Hunk, View

VIEW = View("a.py", "python", 1, ("def f(x):", "    return x + 1"))
FIX = (Hunk(2, 2, "    return x"),)


def test_it_is_a_model_and_answers_from_its_tables() -> None:
    model: Model = ScriptedModel(LineBelief({2: 0.9}, 0.1), ("@@ ok", FIX), {FIX: -0.5})
    assert model.locate(VIEW) == LineBelief({2: 0.9}, 0.1)
    first, second = model.propose(VIEW, Decoding())
    assert first.text == "@@ ok"
    assert parse_reply(second.text, VIEW) == Change(FIX)
    assert model.score(VIEW, [FIX, (Hunk(1, 1, ""),)]) == [-0.5, -100.0]


def test_what_it_has_no_script_for_is_none_or_empty() -> None:
    model = ScriptedModel()
    assert model.locate(VIEW) is None
    assert list(model.propose(VIEW, Decoding())) == []
    assert model.score(VIEW, [FIX]) is None


def test_functions_see_what_was_asked() -> None:
    model = ScriptedModel(
        belief=lambda view: LineBelief({view.last_line: 1.0}),
        completions=lambda view, decoding: (f"@@ {n}-{n}\n{view.path}" for n in decoding.lines),
        scores=lambda view, changes: [-float(len(c)) for c in changes],
    )
    assert model.locate(VIEW) == LineBelief({2: 1.0})
    assert [c.text for c in model.propose(VIEW, Decoding({2: 1.0}))] == ["@@ 2-2\na.py"]
    assert model.score(VIEW, [FIX, ()]) == [-1.0, 0.0]
    assert model.calls == [Call("locate", VIEW), Call("propose", VIEW), Call("score", VIEW)]


def test_usage_grows_with_what_is_read_and_written() -> None:
    model = ScriptedModel(completions=(Completion("@@ ok", tokens=7), "@@ ok"))
    assert model.usage == Usage()
    list(model.propose(VIEW, Decoding(candidates=1)))
    once = model.usage
    assert once.prompt_tokens > 5
    assert once.completion_tokens == 7
    list(model.propose(VIEW, Decoding()))
    assert model.usage == Usage(2 * once.prompt_tokens, 7 + 7 + 2)
