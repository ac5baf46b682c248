"""`emend serve` as it starts by default: keys, jobs, replies, and what people send by mistake or on purpose."""

import base64
import io
import json
import re
import socket
import subprocess
import sys
import tarfile
import time
from urllib.parse import urlsplit

import httpx
import pytest

from tests.serve.served import ROOT, serving_over

CODE = {"path": "mean.py", "text": "def mean(a, b):\n    return (a - b) / 2\n"}
BODY = {"files": [CODE], "error": "AssertionError", "budget": {"candidates": 5}}
TEST = "from mean import mean\n\n\ndef test_mean():\n    assert mean(1, 3) == 2\n"
OPTIONS = ("--model", "none", "--sandbox-minimum", "C", "--python", sys.executable, "--seconds", "100")


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """Address, key, state folder, process and what the first start said."""
    state = tmp_path_factory.mktemp("state")
    environment = {"XDG_STATE_HOME": str(state), "EMEND_JOURNAL": "true", "EMEND_JOB_WORKERS": "2"}
    with serving_over(*OPTIONS, auth="keys", **environment) as (url, told, process):
        yield url, re.search(r"emend_\w+_[\w-]+", told)[0], state, process, told


@pytest.fixture
def client(first):
    url, key, *_ = first
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=300) as client:
        yield client


def keys(state, *argv):
    done = subprocess.run(
        [sys.executable, "-m", "serve", "keys", *argv], capture_output=True, text=True, check=True, timeout=300,
        env={"PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(state), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    return done.stdout.strip()


def events(text):
    blocks = [block.split("\n") for block in text.strip().split("\n\n") if not block.startswith((":", "retry"))]
    return [{name: value for name, _, value in (line.partition(": ") for line in block)} for block in blocks]


def ended(client, job, seconds=100):
    deadline = time.monotonic() + seconds
    while (found := client.get(f"/v1/jobs/{job['id']}").json())["state"] in ("queued", "running"):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def test_the_first_start_makes_one_key_and_tells_how_to_use_it(first):
    url, key, state, _, told = first
    assert told.count(key) == 3  # alone, in the link, in the curl line
    assert f"{url}/login#key={key}" in told
    listed = json.loads(keys(state, "list", "--json"))["keys"]
    assert [row["name"] for row in listed if row["name"] == "first"] == ["first"]
    assert key not in (state / "emend" / "emend.db").read_bytes().decode("latin-1")


def test_without_a_key_nothing_but_health_answers(first):
    url = first[0]
    with httpx.Client(base_url=url, timeout=300) as nobody:
        assert nobody.get("/healthz").status_code == 200
        assert nobody.get("/readyz").json()["status"] == "ready"
        assert "/v1/repairs" in nobody.get("/openapi.json").json()["paths"]
        for method, path in (("POST", "/v1/repairs"), ("GET", "/v1/jobs"), ("GET", "/metrics"), ("GET", "/v1/none")):
            answer = nobody.request(method, path, json=BODY if method == "POST" else None)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), path
        page = nobody.get("/", headers={"Accept": "text/html"})
        assert (page.status_code, page.headers["location"]) == (303, "/login")


def test_keys_are_made_limited_and_revoked(first, client):
    url, _, state, *_ = first
    token = keys(state, "create", "ci", "--scope", "repair")
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=300) as ci:
        assert ci.get("/v1/models").status_code == 200
        assert ci.get("/v1/jobs").status_code == 403
        keys(state, "revoke", token.split("_")[1])
        deadline = time.monotonic() + 60
        while ci.get("/v1/models").status_code != 401:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_job_from_submission_to_removal(client):
    test = {"files": [{"path": "test_mean.py", "text": TEST}]}
    answer = client.post("/v1/jobs", json={"request": {"files": [CODE], "test": test}, "label": "mean"})
    assert (answer.status_code, answer.headers["location"]) == (202, f"/v1/jobs/{answer.json()['id']}")
    told = events(client.get(f"{answer.headers['location']}/events").text)
    assert [event["event"] for event in told][:3] == ["state", "state", "suspects"]
    assert json.loads(told[-1]["data"])["state"] == "succeeded"
    half = len(told) // 2
    again = client.get(f"{answer.headers['location']}/events", headers={"Last-Event-ID": told[half]["id"]}).text
    assert events(again) == told[half + 1 :]
    job = ended(client, answer.json())
    assert job["result"]["patches"][job["result"]["chosen"]]["tests"]["status"] == "passed"
    assert job["progress"]["candidates"] == job["result"]["cost"]["candidates"]
    assert "result" not in [name for row in client.get("/v1/jobs").json()["jobs"] for name in row if row[name]]
    assert client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert client.get(f"/v1/jobs/{job['id']}").status_code == 404


def test_a_running_job_is_cancelled(client):
    slow = {
        "files": [{"path": "test_mean.py", "text": "import time\n\n\ndef test():\n    time.sleep(60)\n    assert 0\n"}]
    }
    job = client.post("/v1/jobs", json={"request": {**BODY, "test": slow}}).json()
    deadline = time.monotonic() + 100
    while client.get(f"/v1/jobs/{job['id']}").json()["state"] != "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert client.delete(f"/v1/jobs/{job['id']}").status_code == 202
    assert ended(client, job)["state"] == "cancelled"


def test_the_same_job_is_accepted_once(client):
    headers = {"Idempotency-Key": "one"}
    made = [client.post("/v1/jobs", json={"request": BODY}, headers=headers).json()["id"] for _ in range(2)]
    assert made[0] == made[1]
    other = client.post("/v1/jobs", json={"request": {**BODY, "error": "other"}}, headers=headers)
    assert (other.status_code, other.json()["errors"][0]["field"]) == (422, "Idempotency-Key")


def test_the_same_request_is_answered_once(client):
    headers = {"Idempotency-Key": "two"}
    answers = [client.post("/v1/repairs", json=BODY, headers=headers).json() for _ in range(2)]
    assert answers[0] == answers[1]
    other = client.post("/v1/repairs", json={**BODY, "error": "other"}, headers=headers)
    assert (other.status_code, other.json()["errors"][0]["field"]) == (422, "Idempotency-Key")


def test_a_project_as_an_archive(client):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, text in (("p/mean.py", CODE["text"]), ("p/test_mean.py", TEST), ("p/notes.bin", "\x00\x01")):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    body = {
        "archive": base64.b64encode(content.getvalue()).decode(),
        "test": {"command": "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest -q"},
    }
    found = client.post("/v1/repairs", json=body).json()
    assert found["patches"][found["chosen"]]["verdict"] == "plausible"


def test_feedback_and_journal(client):
    found = client.post("/v1/repairs", json={**BODY, "error": "password = 'hunter2-correct-horse'"}).json()
    comment = "token = 'hunter2-correct-horse'"
    said = client.post("/v1/feedback", json={"id": found["id"], "patch": 0, "accepted": True, "comment": comment})
    assert said.status_code == 204
    kept = client.get(f"/v1/journal/{found['id']}").json()
    assert kept["feedback"] == {"0": True}
    assert kept["request"]["files"] == [CODE]
    assert (kept["language"], kept["verdict"], kept["model"], kept["key_name"]) == (
        "python",
        "undecided",
        "none",
        "first",
    )
    assert set(kept["timing"]) == {"queue", "suspects", "first_candidate", "repair"}
    assert sum(kept["summaries"]["repair"]["verdicts"].values()) == found["cost"]["candidates"]
    assert client.put(f"/v1/journal/{found['id']}/labels/odd").json() == {"labels": ["odd"]}
    page = client.get("/v1/journal", params={"label": "odd", "decision": "accepted"}).json()
    assert [entry["id"] for entry in page["entries"]] == [found["id"]]
    assert len(client.get("/v1/journal/export?label=odd").text.splitlines()) == 1
    assert "hunter2" not in json.dumps(kept)
    assert kept["comments"] == {"0": "token = '[redacted]'"}
    assert client.delete(f"/v1/journal/{found['id']}").status_code == 204
    assert client.get(f"/v1/journal/{found['id']}").status_code == 404


def test_streams_and_jobs_are_kept_and_measured_too(client):
    stream = client.post("/v1/repairs", json=BODY, headers={"Accept": "text/event-stream", "X-Request-ID": "mine"}).text
    streamed = json.loads(events(stream)[-1]["data"])["id"]
    job = ended(client, client.post("/v1/jobs", json={"request": BODY}).json())
    deadline = time.monotonic() + 30
    while (kept := client.get(f"/v1/journal/{job['id']}")).status_code == 404:  # written after the job's end
        assert time.monotonic() < deadline
        time.sleep(0.05)
    first = client.get(f"/v1/journal/{streamed}").json()
    assert (first["request_id"], first["kind"]) == ("mine", "repair")
    for entry in (first, kept.json()):
        assert set(entry["timing"]) == {"queue", "suspects", "first_candidate", "repair"}
        assert entry["answer"]["patches"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"options": {"model": "unheard"}}, "options.model"),
        ({"options": {"adapter": "../../etc"}}, "options.adapter"),
        ({"files": [{"path": "../mean.py", "text": ""}]}, "files.0.path"),
        ({"files": [{"path": "mean.py", "text": "\x00\x01"}]}, "files.0.text"),
        ({"language": "cobol"}, "language"),
        ({"budget": {"candidates": 10**9}}, "budget.candidates"),
        ({"archive": "!!!"}, "archive"),
    ],
)
def test_mistakes_are_named(client, change, field):
    for path, body, prefix in (
        ("/v1/repairs", {**BODY, **change}, ""), ("/v1/jobs", {"request": {**BODY, **change}}, "request."),
    ):  # fmt: skip
        answer = client.post(path, json=body)
        if path == "/v1/jobs" and field.startswith("options."):
            continue  # names of models are looked up when the job begins
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["field"] == prefix + field
        assert "Traceback" not in answer.text


def test_a_deadline_that_cannot_be_met(client):
    answer = client.post("/v1/repairs", json={**BODY, "budget": {"deadline": 0.001}})
    assert (answer.status_code, answer.json()["type"]) == (504, "urn:emend:deadline")


def test_fifty_megabytes_are_refused_before_they_are_read(first, client):
    url, key, *_ = first
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=300) as raw:
        raw.sendall(
            f"POST /v1/repairs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {50 * 2**20}\r\n\r\n".encode()
        )
        assert b" 413 " in raw.recv(4096).split(b"\r\n")[0]


def test_nothing_told_names_a_path_of_the_server(first, client):
    _, _, state, *_ = first
    test = {
        "files": [{"path": "test_mean.py", "text": TEST}],
        "command": "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest -q nowhere.py",
    }
    for answer in (client.post("/v1/repairs", json={**BODY, "test": test}), client.get("/readyz")):
        assert not re.search(rf"/tmp/emend|{state}|{ROOT}|site-packages", answer.text), answer.text


def test_metrics_count_what_was_done(client):
    text = client.get("/metrics").text
    assert float(re.search(r'emend_verdicts_total{verdict="plausible"} (\S+)', text)[1]) >= 1
    assert float(re.search(r"^emend_test_runs_total (\S+)", text, re.M)[1]) > 0
    assert 'emend_jobs{state="succeeded"}' in text
    assert re.search(r"emend_workers 2", text)


def test_answers_are_compressed_for_who_can_read_it(client):
    answer = client.post("/v1/repairs", json=BODY, headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
