"""POST /v1/explanations around an explainer that does as it is told, over real connections."""

import asyncio
import json
import socket
import threading
from dataclasses import dataclass, field
from types import SimpleNamespace

import httpx
import pytest

from serve import problems
from serve.explaining.cache import Cache
from serve.explaining.computing import Answer
from serve.explaining.scripted import ScriptedExplainer
from serve.explaining.subjects import asked_subject
from serve.explaining.wire import EXPLANATIONS, ExplanationIn, ExplanationOut
from serve.pool import Refused, WorkerLost
from serve.problems import BusyError
from serve.routes.explanations import keep, summary_of
from tests.serve.served import served, wait_for

BODY = EXPLANATIONS["why"]["value"]
VALUES = {
    "model": "embedded",
    "sentence": "Changed line 2 because the error names x.",
    "badge": {"trust": "faithful", "why": "it was measured", "measures": []},
    "where": {
        "lines": [{"line": 1, "calibrated": 0.1}, {"line": 2, "calibrated": 0.8}],
        "no_fault": 0.1,
        "calibrated": True,
    },
    "evidence": [
        {
            "method": "ablation",
            "scores": [
                {"unit": {"kind": "error", "number": 1, "text": "NameError"}, "score": 2.5},
                {"unit": {"kind": "code", "number": 1, "text": "def mean(xs):"}, "score": 0.5},
            ],
            "badge": {"trust": "faithful", "why": "it was measured", "measures": []},
        }
    ],
}
ANSWER = Answer(json.dumps(VALUES), json.dumps({**VALUES, "fragments": {"where": "<p>there</p>"}}), "<!doctype html>")


def scripted(script=lambda _: ANSWER, **kwargs):
    return ScriptedExplainer(script, **kwargs)


def serving(explainer, **settings):
    return served(None, explainer=explainer, model=None, **settings)


@pytest.fixture(scope="module")
def shared():
    """A service for tests that only look at answers: its address and its explainer."""
    explainer = scripted()
    with serving(explainer) as url:
        yield url, explainer


def ask(url, body=None, **headers):
    return httpx.post(f"{url}/v1/explanations", json=BODY if body is None else body, headers=headers, timeout=30)


def test_an_explanation_as_json_with_pictures_and_as_report(shared):
    url, _ = shared
    plain, pictured, page = ask(url), ask(url, {**BODY, "pictures": True}), ask(url, Accept="text/html")
    assert plain.json() == VALUES
    ExplanationOut.model_validate(plain.json())
    assert pictured.json()["fragments"] == {"where": "<p>there</p>"}
    assert (page.text, page.headers["content-type"]) == ("<!doctype html>", "text/html; charset=utf-8")


def test_the_same_is_computed_once_also_where_neutral_changes_are_spelled_out(shared):
    url, explainer = shared
    first = ask(url)
    before = len(explainer.asked)
    neutral = {
        "adapter_scale": 1, "layers_off": [], "heads_off": [], "neurons": [], "edits": [], "temperature": None,
        "top_p": None, "beams": None,
    }  # fmt: skip
    assert ask(url, {**BODY, "interventions": neutral}).content == first.content
    assert len(explainer.asked) == before
    ask(url, {**BODY, "interventions": {"layers_off": [1]}})
    ask(url, {**BODY, "error": "NameError: name 'y' is not defined"})
    ask(url, {**BODY, "target": {"line": 1}})
    assert len(explainer.asked) == before + 3
    assert ExplanationIn.model_validate_json(explainer.asked[-3]).interventions.layers_off == [1]


EDIT = {"path": "mean.py", "span": {"start_line": 2, "end_line": 2, "end_column": 5}, "text": "    "}


def without(*names, **more):
    return {**{name: value for name, value in BODY.items() if name not in names}, **more}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (without("files"), "files"),
        ({**BODY, "why": True}, "why"),
        ({**BODY, "parts": ["where", "everything"]}, "parts.1"),
        ({**BODY, "parts": []}, "parts"),
        ({**BODY, "methods": ["random"]}, "methods.0"),
        ({**BODY, "target": {"kind": "truth"}}, "target.kind"),
        ({**BODY, "target": {"line": 0}}, "target.line"),
        ({**BODY, "layer": -1}, "layer"),
        ({**BODY, "seconds": 0}, "seconds"),
        ({**BODY, "proposals": 99}, "proposals"),
        ({**BODY, "budget": {"seconds": 5}}, "budget"),
        ({**BODY, "options": {"model": "gpt"}}, "options.model"),
        ({**BODY, "options": {"adapter": "ours"}}, "options.adapter"),
        ({**BODY, "patch": "no diff"}, "patch"),
        ({**BODY, "patch": BODY["patch"].replace("mean.py", "other.py")}, "patch"),
        ({**BODY, "patch": BODY["patch"].replace("len(x)\n", "len(y)\n", 1)}, "patch"),
        (without("patch", edits=[{**EDIT, "path": "x.py"}]), "edits.0.path"),
        (without("patch", edits=[{**EDIT, "span": {"start_line": 9, "end_line": 9}}]), "edits.0.span"),
        (without("patch", edits=[{**EDIT, "span": {"start_line": 2, "end_line": 1}}]), "edits.0.span"),
        (without("patch", edits=[{**EDIT, "span": {**EDIT["span"], "end_column": 99}}]), "edits.0.span"),
        (without("patch", edits=[EDIT, EDIT]), "edits"),
        (without("patch", edits=[EDIT]), "edits"),
        ({**BODY, "interventions": {"adapter_scale": 5}}, "interventions.adapter_scale"),
        ({**BODY, "interventions": {"heads_off": [[1]]}}, "interventions.heads_off.0"),
        ({**BODY, "interventions": {"neurons": [{"layer": 0}]}}, "interventions.neurons.0.neuron"),
        ({**BODY, "interventions": {"edits": [{"kind": "line", "number": 1}]}}, "interventions.edits.0.kind"),
        ({**BODY, "interventions": {"top_p": 0}}, "interventions.top_p"),
        ({**BODY, "interventions": {"beams": 33}}, "interventions.beams"),
    ],
)
def test_bad_fields_are_named(shared, body, field):
    url, explainer = shared
    before = len(explainer.asked)
    answer = ask(url, body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert len(explainer.asked) == before


def test_patch_and_edits_are_not_given_both(shared):
    answer = ask(shared[0], {**BODY, "edits": [EDIT]})
    assert answer.status_code == 422
    assert "not as both" in answer.json()["detail"]


def raises(error):
    def script(_):
        raise error

    return scripted(script)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BusyError("all places for explanations are taken, come again"), 429),
        (WorkerLost("the process that explained this died"), 503),
        (Refused(problems.problem(422, "there is no head 9", kind="bad-input")), 422),
    ],
)
def test_failures_are_problems(error, status):
    with serving(raises(error)) as url:
        answer = ask(url)
        numbers = httpx.get(f"{url}/metrics").text
    assert (answer.status_code, answer.json()["detail"]) == (status, str(error))
    assert ("retry-after" in answer.headers) == (status in (429, 503))
    outcome = "failed" if status == 503 else "refused"
    assert f'emend_explanations_total{{outcome="{outcome}"}} 1.0' in numbers


def test_without_a_model_or_switched_off():
    with served(None, explainer=scripted()) as url:
        assert ask(url).json()["errors"][0]["field"] == "options.model"
    with serving(None) as url:
        assert ask(url).status_code == 404


def test_work_ends_when_the_client_leaves():
    begun = threading.Event()

    class Waiting(ScriptedExplainer):
        async def explain(self, body, seconds):
            begun.set()
            return await ScriptedExplainer.explain(self, body, seconds)

    explainer = Waiting(lambda _: ANSWER, go=asyncio.Event())
    with serving(explainer) as url:
        body = json.dumps(BODY).encode()
        head = "POST /v1/explanations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as client:
            client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            assert begun.wait(20)
        wait_for(lambda: explainer.left == 1)
        wait_for(lambda: 'emend_explanations_total{outcome="left"} 1.0' in httpx.get(f"{url}/metrics").text)


# --- what is explained


def subject(body):
    read = ExplanationIn(**body)
    request = read.to_request(max_candidates=1, max_seconds=1)
    return asked_subject(read, request)


TWO = "def first(a):\n    return a - 1\n\n\ndef second(b):\n    c = b\n    return c * 2\n"


def test_the_view_is_the_one_that_the_model_was_shown():
    edit = {"path": "two.py", "span": {"start_line": 6, "end_line": 7}, "text": "    c = b + 1\n"}
    body = {"files": [{"path": "two.py", "text": TWO}], "error": 'File "two.py", line 7, in second\nTypeError: no'}
    found, notes = subject({**body, "edits": [edit]})
    assert (found.view.first_line, found.view.last_line, notes) == (5, 7, ())
    assert [(hunk.first, hunk.last, hunk.text) for hunk in found.hunks] == [(6, 6, "    c = b + 1")]
    assert found.view.frames == (7,)
    bare, _ = subject(body)
    assert (bare.view, bare.hunks) == (found.view, ())


def test_a_change_over_two_functions_has_a_view_of_its_own():
    edits = [
        {"path": "two.py", "span": {"start_line": 2, "start_column": 16, "end_line": 2, "end_column": 17}, "text": "2"},
        {"path": "two.py", "span": {"start_line": 8, "end_line": 8}, "text": "# end\n"},
    ]
    found, _ = subject({"files": [{"path": "two.py", "text": TWO}], "edits": edits})
    assert (found.view.first_line, found.view.last_line) == (1, 7)
    assert [(h.first, h.last, h.text) for h in found.hunks] == [(2, 2, "    return a - 2"), (8, 7, "# end")]


def test_of_several_files_the_first_is_explained_and_it_is_said():
    files = [{"path": path, "text": "x = 1\n"} for path in ("a.py", "b.py")]
    edits = [{"path": path, "span": {"start_line": 1, "end_line": 2}, "text": "x = 2\n"} for path in ("b.py", "a.py")]
    found, notes = subject({"files": files, "edits": edits})
    assert found.view.path == "a.py"
    assert notes == ("only the change of a.py is explained: a model reads one file at a time",)


# --- what is kept


def test_the_cache_is_bounded_by_number_and_size():
    cache = Cache(most=2, most_bytes=100)
    for key in "abc":
        cache.put(key, Answer(key * 10, "", ""))
        assert cache.get("a") is None or key != "c" or cache.get("b") is None
    assert [cache.get(key) is None for key in "abc"] == [False, True, False]
    cache.put("d", Answer("d" * 95, "", ""))
    assert [cache.get(key) is None for key in "acd"] == [True, True, False]
    cache.put("e", Answer("e" * 101, "", ""))
    assert cache.get("e") is None


@dataclass
class Journal:
    """A journal with one entry, of the key `mine`."""

    kept: list = field(default_factory=list)

    def get(self, entry_id):
        return SimpleNamespace(key_id="mine") if entry_id == "rep_1" else None

    def add_summary(self, entry_id, kind, summary):
        self.kept.append((entry_id, kind, summary))
        return True


@pytest.mark.parametrize(
    ("key", "scopes", "entry", "kept"),
    [("mine", (), "rep_1", 1), ("other", (), "rep_1", 0), ("other", ("admin",), "rep_1", 1), ("mine", (), "rep_2", 0)],
)
def test_a_summary_is_kept_with_ones_own_repair(key, scopes, entry, kept):
    journal = Journal()
    keep(journal, SimpleNamespace(key_id=key, scopes=frozenset(scopes)), entry, ANSWER)
    assert len(journal.kept) == kept


def test_the_summary_has_no_code():
    assert summary_of(ANSWER) == {
        "model": "embedded",
        "sentence": "Changed line 2 because the error names x.",
        "trust": "faithful",
        "where": [{"line": 2, "probability": 0.8}, {"line": 1, "probability": 0.1}],
        "evidence": {
            "ablation": [{"kind": "error", "number": 1, "score": 2.5}, {"kind": "code", "number": 1, "score": 0.5}]
        },
    }
