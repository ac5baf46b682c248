"""The service around an engine that does as it is told, over real connections."""

import asyncio
import json
import socket
import threading
from urllib.parse import urlsplit

import httpx
import pytest

from repair.defects import RepairRequest
from repair.edits import Span
from repair.errors import NothingToRepair, OracleError, SandboxError
from repair.pipeline import Finished, SuspectsFound
from repair.sources import Source
from repair.verdicts import RepairResult, Suspect
from serve import problems
from serve.pool import Refused
from serve.telling import Telling, Told
from tests.serve.served import served, wait_for

SOURCE = Source("f.py", "x = 1\n")
BODY = {"files": [{"path": "f.py", "text": "x = 1\n"}]}
SUSPECTS = (Suspect("f.py", Span(0, 5), 1, 0.5, ("because",)),)


class Fake:
    """Finds one suspect, waits for `go`, finishes. Notes whether it was closed early."""

    def __init__(self, error=None):
        self.error = error
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)
        self.ended_early = threading.Event()
        self.places = threading.Semaphore(3)
        self.tasks = []

    async def run(self, task, *, urgent=True):
        self.tasks.append(task)
        telling = Telling(task.id, "fake", {"f.py": SOURCE})
        found = SuspectsFound(SUSPECTS, 0.1)
        if self.error:
            raise Refused(problems.of_error(self.error))
        if not self.places.acquire(blocking=False):
            raise problems.BusyError("all places are taken, come again")
        try:
            if task.kind == "localization":
                yield Told("localization", telling.localization(found).model_dump_json())
                return
            yield telling.tell(found)
            self.begun.release()
            while not self.go.is_set():
                await asyncio.sleep(0.02)
            yield telling.tell(Finished(RepairResult(RepairRequest((SOURCE,)), SUSPECTS)))
        except (GeneratorExit, asyncio.CancelledError):
            self.ended_early.set()
            raise
        finally:
            self.places.release()


def started(**kwargs):
    fake = Fake(**kwargs)
    fake.go.set()
    return fake


def test_repair_as_json():
    with served(started()) as url:
        answer = httpx.post(f"{url}/v1/repairs", json=BODY)
    assert answer.status_code == 200
    assert answer.json()["id"].startswith("rep_")
    assert answer.json()["model"] == "fake"
    assert answer.json()["fault"][0]["reasons"] == ["because"]


def test_repair_as_events():
    with served(started()) as url:
        answer = httpx.post(f"{url}/v1/repairs", json=BODY, headers={"Accept": "text/event-stream"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [dict(line.split(": ", 1) for line in block.split("\n")) for block in answer.text.strip().split("\n\n")]
    assert [event["event"] for event in events] == ["suspects", "result"]
    assert json.loads(events[0]["data"])["id"] == json.loads(events[1]["data"])["id"]


def test_localization():
    with served(Fake()) as url:
        answer = httpx.post(f"{url}/v1/localizations", json=BODY).json()
    assert answer["no_fault"] == 0.1
    assert answer["fault"][0]["span"] == {"start_line": 1, "start_column": 1, "end_line": 1, "end_column": 6}


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (NothingToRepair("the tests pass"), 409, "nothing-to-repair"),
        (OracleError("no such command"), 422, "tests-unusable"),
        (SandboxError("no sandbox"), 503, "no-sandbox"),
    ],
)
@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_refusals_are_problems(error, status, kind, accept):
    with served(started(error=error)) as url:
        answer = httpx.post(f"{url}/v1/repairs", json=BODY, headers={"Accept": accept})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["type"], answer.json()["detail"]) == (f"urn:emend:{kind}", str(error))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "files"),
        ({**BODY, "tests": 1}, "tests"),
        ({"files": [{"path": "f.py"}]}, "files.0.text"),
        ({"files": [{"path": "/f.py", "text": ""}]}, "files.0.path"),
        ({**BODY, "budget": {"seconds": -1}}, "budget.seconds"),
        ({**BODY, "test": {}}, "test"),
    ],
)
def test_bad_fields_are_named(body, field):
    with served(started()) as url:
        answer = httpx.post(f"{url}/v1/repairs", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_what_is_not_json():
    with served(started()) as url:
        answer = httpx.post(f"{url}/v1/repairs", content=b"{", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:emend:not-json")


def test_a_page_elsewhere_cannot_post_a_form():
    with served(started()) as url:
        answer = httpx.post(f"{url}/v1/repairs", content=json.dumps(BODY), headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415


def test_large_bodies_are_refused():
    with served(started(), max_body_bytes=1000) as url:
        answer = httpx.post(f"{url}/v1/repairs", json={"files": [{"path": "f.py", "text": "x" * 2000}]})
    assert answer.status_code == 413


def test_unknown_routes_are_problems():
    with served(started()) as url:
        assert httpx.get(f"{url}/v2").json()["status"] == 404
        assert httpx.get(f"{url}/v1/repairs").json()["status"] == 405


def test_health_is_told_while_repairs_run():
    fake = Fake()
    with served(fake) as url, httpx.Client(base_url=url, timeout=60) as client:
        given = {"json": BODY, "timeout": 60}
        asking = threading.Thread(target=httpx.post, args=(f"{url}/v1/repairs",), kwargs=given)
        asking.start()
        assert fake.begun.acquire(timeout=60)
        assert client.get("/healthz").json() == {"status": "ok"}
        fake.go.set()
        asking.join(60)


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_work_ends_when_the_client_leaves(accept):
    fake = Fake()
    body = json.dumps(BODY)
    with served(fake) as url:
        at = urlsplit(url)
        with socket.create_connection((at.hostname, at.port)) as client:
            client.sendall(
                f"POST /v1/repairs HTTP/1.1\r\nHost: {at.netloc}\r\nAccept: {accept}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            assert fake.begun.acquire(timeout=60)
            assert not fake.ended_early.wait(0.2)
        assert fake.ended_early.wait(60)


def test_more_than_fits_is_refused_and_nothing_is_lost():
    fake = Fake()
    with served(fake) as url:
        answers = []

        def ask():
            answers.append(httpx.post(f"{url}/v1/repairs", json=BODY, timeout=90))

        asking = [threading.Thread(target=ask) for _ in range(5)]
        for thread in asking:
            thread.start()
        wait_for(lambda: len(answers) == 2)
        assert {answer.status_code for answer in answers} == {429}
        assert answers[0].headers["retry-after"] == "5"
        fake.go.set()
        for thread in asking:
            thread.join(90)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 429, 429]


def test_a_place_is_free_again_after_a_failure():
    with served(started(error=OracleError("no"))) as url:
        assert [httpx.post(f"{url}/v1/repairs", json=BODY).status_code for _ in range(3)] == [422, 422, 422]


def test_host_of_another_name_is_refused():
    with served(started()) as url:
        answer = httpx.post(f"{url}/v1/repairs", json=BODY, headers={"Host": "evil.example"})
    assert answer.status_code == 403
