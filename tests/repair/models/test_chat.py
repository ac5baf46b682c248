import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from repair.errors import ModelError
from repair.model import Decoding, Model, Usage
from repair.models.chat import ChatModel, Patience, connect
from repair.prompts import chat_messages
from repair.replies import Change, parse_reply
from repair.views import Hunk, View

QUICK = Patience(connect=5, read=1.0, attempts=3, backoff=0.01, longest=0.05)
ONE = Decoding(candidates=1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen([sys.executable, str(Path(__file__).with_name("chat_server.py")), str(port)])
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                httpx.get(f"{address}/asked")
                break
            except httpx.TransportError:
                assert process.poll() is None
                time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMEND_API_KEY", "sesame")


def model_of(server: str, name: str) -> ChatModel:
    return connect(f"{server}/v1#{name}", patience=QUICK)


def asked(server: str, name: str) -> int:
    return httpx.get(f"{server}/asked").json().get(name, 0)


@pytest.mark.parametrize("name", ["good", "whole"])
def test_an_answer_streamed_or_whole(server: str, name: str, view: View) -> None:
    model: Model = model_of(server, name)
    (completion,) = model.propose(view, ONE)
    change = Change((Hunk(11, 11, "    return box.width * box.height"),))
    assert parse_reply(completion.text, view) == change
    assert completion.tokens == 12
    assert model.usage == Usage(50, 12)
    assert model.name == f"{server}/v1#{name}"


def test_a_chat_gives_no_probabilities(server: str, view: View) -> None:
    model = model_of(server, "good")
    assert model.locate(view) is None
    assert model.score(view, [()]) is None


def test_the_request_says_what_is_wanted(server: str, view: View) -> None:
    (completion,) = model_of(server, "echo").propose(view, Decoding(candidates=1, max_tokens=900, seed=5))
    request = json.loads(completion.text)
    assert request["messages"] == list(chat_messages(view))
    assert request["max_tokens"] == 900
    assert request["seed"] == 5
    assert request["temperature"] == 0.0


def test_a_narrower_nucleus_is_passed_on_with_samples_alone(server: str, view: View) -> None:
    def sent(top_p: float) -> list[object]:
        found = model_of(server, "echo").propose(view, Decoding(candidates=2, top_p=top_p))
        return [json.loads(one.text).get("top_p") for one in found]

    assert sorted(map(str, sent(0.7))) == ["0.7", "None"]
    assert sent(1.0) == [None, None]


def test_samples_come_from_several_requests(server: str, view: View) -> None:
    found = {c.text for c in model_of(server, "diverse").propose(view, Decoding(candidates=5, temperature=0.6, seed=3))}
    assert found == {"@@ 8-8\n    # seed 3 at 0.0\n", *(f"@@ 8-8\n    # seed {n} at 0.6\n" for n in range(4, 8))}
    assert len(list(model_of(server, "good").propose(view, Decoding(candidates=5)))) == 1
    assert not list(model_of(server, "good").propose(view, Decoding(candidates=0)))


def test_it_asks_again_when_the_server_is_busy_or_the_line_drops(server: str, view: View) -> None:
    assert len(list(model_of(server, "busy").propose(view, ONE))) == 1
    assert asked(server, "busy") == 3
    assert len(list(model_of(server, "dropped").propose(view, ONE))) == 1
    assert asked(server, "dropped") == 2


@pytest.mark.parametrize(
    ("name", "message", "requests"),
    [
        ("down", r"status 503 .*no GPU left.*\(3 attempts\)", 3),
        ("denied", "EMEND_API_KEY is missing or not accepted", 1),
        ("broken-json", r"not JSON.*\(3 attempts\)", 3),
        ("slow", r"no answer in time.*\(3 attempts\)", 3),
        ("fails-late", "failed while answering.*lost", 3),
        ("endless", "more than 1000000 bytes", 1),
        ("not-openai", "is it an OpenAI-compatible server", 3),
    ],
)
def test_failures_say_what_to_do(server: str, view: View, name: str, message: str, requests: int) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        list(model_of(server, name).propose(view, ONE))
    assert asked(server, name) == requests
    assert "sesame" not in str(caught.value)


def test_one_failed_sample_does_not_cost_the_others(server: str, view: View) -> None:
    assert len(list(model_of(server, "shaky").propose(view, Decoding(candidates=4)))) == 1


def test_the_key_comes_from_the_environment_only(server: str, view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EMEND_API_KEY")
    with pytest.raises(ModelError, match="EMEND_API_KEY"):
        list(model_of(server, "good").propose(view, ONE))
    with pytest.raises(ModelError, match="set EMEND_API_KEY instead") as caught:
        connect("http://user:hunter2@localhost:1/v1#m")
    assert "hunter2" not in str(caught.value)


def test_without_a_name_the_first_listed_model_is_taken(server: str) -> None:
    assert connect(f"{server}/v1/").name == f"{server}/v1#first"
    with pytest.raises(ModelError, match="lists no models"):
        connect(f"{server}/empty")
    with pytest.raises(ModelError, match="no such model or path"):
        connect(f"{server}/nowhere")


def test_a_server_that_is_not_there(view: View) -> None:
    address = f"http://127.0.0.1:{free_port()}/v1"
    with pytest.raises(ModelError, match="is the server running there"):
        connect(address, patience=QUICK)
    with pytest.raises(ModelError, match=r"is the server running there\? \(3 attempts\)"):
        list(connect(f"{address}#m", patience=QUICK).propose(view, ONE))
    with pytest.raises(ModelError, match="not the address"):
        connect("ftp://host/v1#m")


def test_a_reader_that_has_enough_stops_the_asking(server: str, view: View) -> None:
    before = asked(server, "good")
    answers = model_of(server, "good").propose(view, Decoding(candidates=16))
    next(answers)
    answers.close()
    assert asked(server, "good") - before <= 16
