"""Keys and journal against the real store: by HTTP and by the commands."""

import asyncio
import json
import re
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from fastapi import FastAPI

from data.sources.feedback import feedback_records
from repair.diffs import render_diff
from repair.edits import Patch, file_patch_between
from repair.errors import InputError
from repair.sources import Source
from serve.commands import journal as journal_commands
from serve.commands import keys as key_commands
from serve.journal.asking import asked
from serve.observe.metrics import Metrics
from serve.routes.journal import journal_router
from serve.routes.keys import keys_router
from serve.routes.session import session_router
from serve.security.callers import Authority
from serve.security.install import install
from serve.security.redaction import redact_json
from serve.settings import Settings
from serve.store import Store

BEFORE = "def mean(xs):\n    return sum(xs) / (len(xs) + 1)\n"
AFTER = "def mean(xs):\n    return sum(xs) / len(xs)\n"
REPAIR = "rep_" + "0" * 32


@pytest.fixture
def settings(tmp_path):
    return Settings(database=f"sqlite:///{tmp_path / 'emend.db'}")


@pytest.fixture
def store(settings):
    opened = Store.open(settings.database)
    yield opened
    opened.close()


class Service:
    """The routes over a store, and a way to ask them all in one event loop."""

    def __init__(self, settings, store):
        self.app = FastAPI(docs_url=None, redoc_url=None)
        self.authority = Authority(store.keys, store.sessions, settings)
        for router in (keys_router(self.authority), journal_router(store), session_router(self.authority)):
            self.app.include_router(router)
        install(self.app, settings, self.authority, Metrics())

    def ask(self, *requests, token):
        async def all_of_them():
            transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
            headers = {"Authorization": f"Bearer {token}"}
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
                return [await client.request(method, path, **more) for method, path, more in requests]

        return asyncio.run(all_of_them())


def test_a_key_from_making_to_revoking(settings, store):
    service = Service(settings, store)
    _, admin = store.keys.create("root", ("admin",))
    asked = {"name": "ci", "scopes": ["repair", "repair"], "days": 2, "rate_per_minute": 5}
    (made,) = service.ask(("POST", "/v1/keys", {"json": asked}), token=admin)
    assert made.status_code == 201
    key = made.json()
    assert re.fullmatch(r"emend_[0-9a-f]+_[\w-]{43}", key["key"])
    assert (key["scopes"], key["rate_per_minute"], key["revoked"]) == (["repair"], 5, False)
    assert key["expires"] > key["created"]
    listed, refused = service.ask(
        ("GET", "/v1/keys", {}), ("POST", "/v1/keys", {"json": {"name": "a\x1b[2Jb"}}), token=admin
    )
    assert [k["name"] for k in listed.json()["keys"]] == ["root", "ci"]
    assert key["key"] not in listed.text
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "name")
    (forbidden,) = service.ask(("GET", "/v1/keys", {}), token=key["key"])
    assert forbidden.status_code == 403
    path = f"/v1/keys/{key['id']}"
    gone, again = service.ask(("DELETE", path, {}), ("DELETE", path, {}), token=admin)
    assert (gone.status_code, again.status_code) == (204, 404)
    (late,) = service.ask(("GET", "/v1/keys", {}), token=key["key"])
    assert late.status_code == 401  # in the same process at once


def test_sessions_in_the_real_store(settings, store):
    service = Service(settings, store)
    row, admin = store.keys.create("root", ("admin",))
    login, wrong = service.ask(
        ("POST", "/login", {"json": {"key": admin}}), ("POST", "/login", {"json": {"key": admin[:-1]}}), token=admin
    )
    assert (login.status_code, wrong.status_code) == (204, 401)
    cookie = login.headers["set-cookie"].partition(";")[0]

    async def shown():
        transport = httpx.ASGITransport(app=service.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            before = await client.get("/v1/keys", headers={"Cookie": cookie})
            store.keys.revoke(row.id)
            service.authority.forget()
            after = await client.get("/v1/keys", headers={"Cookie": cookie})
            return before.status_code, after.status_code

    assert asyncio.run(shown()) == (200, 401)


def test_revoking_elsewhere_holds_within_five_seconds(settings, store):
    now = [100.0]
    authority = Authority(store.keys, store.sessions, settings, clock=lambda: now[0])
    row, token = store.keys.create("ci", ("repair",))
    asyncio.run(authority.check_key(token, "a"))
    other = Store.open(settings.database)
    other.keys.revoke(row.id)
    other.close()
    now[0] += 5
    with pytest.raises(Exception, match="give a valid key"):
        asyncio.run(authority.check_key(token, "a"))


def test_commands_for_keys(settings, store, capsys):
    assert key_commands.list_keys(settings) == 1
    assert key_commands.create(settings, "ci", ["repair", "metrics"], days=1.5, concurrent=2) == 0
    out, err = capsys.readouterr()
    token = out.strip()
    assert store.keys.find(token).scopes == ("repair", "metrics")
    assert token not in err
    assert "may do repair, metrics until 2" in err
    assert key_commands.create(settings, "all", as_json=True) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["scopes"], made["expires"]) == (["repair", "jobs"], None)
    assert key_commands.list_keys(settings) == 0
    out = capsys.readouterr().out
    assert "ci" in out
    assert token not in out
    assert key_commands.revoke(settings, made["id"]) == 0
    assert store.keys.find(made["key"]) is None
    capsys.readouterr()
    assert key_commands.list_keys(settings, as_json=True) == 0
    assert [key["revoked"] for key in json.loads(capsys.readouterr().out)["keys"]] == [False, True]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a", "scopes": ["root"]}, "scopes"),
        ({"name": "a", "days": -1}, "days"),
        ({"name": "a", "rate": 0}, "rate_per_minute"),
    ],
)
def test_unusable_keys_are_refused_by_name(settings, asked, field):
    with pytest.raises(InputError) as refused:
        key_commands.create(settings, **asked)
    assert refused.value.field == field


def test_revoking_what_is_not_there(settings):
    with pytest.raises(InputError, match="there is no key 'nobody'"):
        key_commands.revoke(settings, "nobody")


def diff_of(before, after):
    patch = Patch((file_patch_between("mean.py", before, after),))
    return render_diff(patch, {"mean.py": Source("mean.py", before, "python")})


def keep(store, repair_id=REPAIR, before=BEFORE, after=AFTER):
    """An entry as the service keeps it, with a second patch that removes a line."""
    request = {"files": [{"path": "mean.py", "text": before}], "error": "AssertionError: 1 != 2"}
    patches = [{"diff": diff_of(before, after)}, {"diff": diff_of(before, before.split("\n")[0] + "\n    pass\n")}]
    answer = {"id": repair_id, "patches": patches}
    store.journal.add(repair_id, "k1", redact_json(json.dumps(request)), redact_json(json.dumps(answer)))


def test_the_journal_by_http(settings, store):
    service = Service(settings, store)
    _, admin = store.keys.create("root", ("admin",))
    _, weak = store.keys.create("ci", ("repair", "jobs", "metrics"))
    for number in range(3):
        keep(store, f"rep_{number:032}")
    store.feedback.add("k1", f"rep_{0:032}", 0, True)
    path = f"/v1/journal/rep_{0:032}"
    (refused,) = service.ask(("GET", path, {}), token=weak)
    assert refused.status_code == 403
    page, one, bad = service.ask(
        ("GET", "/v1/journal?limit=2", {}), ("GET", path, {}), ("GET", "/v1/journal?before=x", {}), token=admin
    )
    assert [entry["id"][-1] for entry in page.json()["entries"]] == ["2", "1"]
    assert page.json()["entries"][0]["request"] is None
    (rest,) = service.ask(("GET", "/v1/journal", {"params": {"before": page.json()["next"]}}), token=admin)
    assert [(e["id"][-1], e["feedback"]) for e in rest.json()["entries"]] == [("0", {"0": True})]
    assert one.json()["request"]["files"][0]["text"] == BEFORE
    assert (one.json()["key"], one.json()["feedback"]) == ("k1", {"0": True})
    assert (bad.status_code, bad.json()["errors"][0]["field"]) == (422, "before")
    gone, again, missing = service.ask(("DELETE", path, {}), ("DELETE", path, {}), ("GET", path, {}), token=admin)
    assert [answer.status_code for answer in (gone, again, missing)] == [204, 404, 404]
    assert store.feedback.of(f"rep_{0:032}") == []


def test_labels_filters_and_export_by_http(settings, store):
    service = Service(settings, store)
    _, admin = store.keys.create("root", ("admin",))
    _, weak = store.keys.create("ci", ("repair", "jobs", "metrics"))
    ids = [f"rep_{number:032}" for number in range(3)]
    for number, identity in enumerate(ids):
        keep(
            store,
            identity,
            before=BEFORE.replace("mean", f"mean{number}"),
            after=AFTER.replace("mean", f"mean{number}"),
        )
        store.feedback.add("k1", identity, 0, number != 1)
    path = f"/v1/journal/{ids[0]}/labels"
    refused, closed = service.ask(("PUT", f"{path}/odd", {}), ("GET", "/v1/journal/export", {}), token=weak)
    assert (refused.status_code, closed.status_code) == (403, 403)
    put, again, other, bad, gone, none = service.ask(
        ("PUT", f"{path}/odd", {}), ("PUT", f"{path}/odd", {}), ("PUT", f"{path}/from-review", {}),
        ("PUT", f"{path}/Odd", {}), ("DELETE", f"{path}/from-review", {}),
        ("PUT", "/v1/journal/rep_none/labels/odd", {}), token=admin,
    )  # fmt: skip
    assert [answer.json() for answer in (put, again, gone)] == [{"labels": ["odd"]}] * 3
    assert other.json() == {"labels": ["from-review", "odd"]}
    assert (bad.status_code, none.status_code) == (422, 404)
    queries = (
        "label=odd",
        "decision=rejected",
        "text=def%20mean2",
        "since=2999-01-01",
        "until=1980-01-01",
        "verdict=none",
    )
    answers = service.ask(*(("GET", f"/v1/journal?{query}", {}) for query in queries), token=admin)
    told = [[int(entry["id"][-1]) for entry in answer.json()["entries"]] for answer in answers]
    assert told == [[0], [1], [2], [], [], []]
    wrong = ("verdict=good", "decision=maybe", "since=soon", "language=cobol", "label=A%20B")
    for query, answer in zip(
        wrong, service.ask(*(("GET", f"/v1/journal/export?{query}", {}) for query in wrong), token=admin), strict=True
    ):
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, query.partition("=")[0])
    whole, some = service.ask(
        ("GET", "/v1/journal/export", {}), ("GET", "/v1/journal/export?label=odd", {}), token=admin
    )
    assert whole.headers["content-type"].startswith("application/x-ndjson")
    assert "attachment" in whole.headers["content-disposition"]
    rows = [json.loads(line) for line in whole.text.splitlines()]
    assert [row["accepted"] for row in rows] == [True, False, True]
    assert [json.loads(line) for line in some.text.splitlines()] == rows[2:]
    assert rows[2]["labels"] == ["odd"]
    (nothing,) = service.ask(("GET", "/v1/journal/export?since=2999-01-01", {}), token=admin)
    assert (nothing.status_code, nothing.text) == (200, "")


def test_labels_and_filters_by_command(settings, store, tmp_path, capsys):
    keep(store)
    keep(store, "rep_" + "1" * 32)
    store.feedback.add("k1", REPAIR, 0, True)
    assert journal_commands.label(settings, REPAIR, ["odd", "old"]) == 0
    assert "odd, old" in capsys.readouterr().err
    assert journal_commands.label(settings, REPAIR, ["old"], remove=True) == 0
    capsys.readouterr()
    assert journal_commands.list_entries(settings, asked=asked(label="odd")) == 0
    out = capsys.readouterr().out
    assert REPAIR in out
    assert "rep_1" not in out
    assert journal_commands.list_entries(settings, asked=asked(label="old")) == 1
    assert "no entry has all of that" in capsys.readouterr().err
    assert journal_commands.export(settings, tmp_path / "x.jsonl", asked(decision="accepted", text="mean")) == 0
    assert journal_commands.export(settings, tmp_path / "x.jsonl", asked(decision="rejected")) == 1
    with pytest.raises(InputError, match="there is no entry"):
        journal_commands.label(settings, "rep_none", ["odd"])
    with pytest.raises(InputError) as refused:
        asked(verdict="good")
    assert refused.value.field == "verdict"
    assert "plausible" in str(refused.value)


def test_the_export_is_what_the_data_pipeline_reads(settings, store, tmp_path, capsys):
    keep(store)
    keep(store, "rep_" + "1" * 32)  # nobody said a word
    store.feedback.add("k1", REPAIR, 0, True)
    store.feedback.add("k1", REPAIR, 1, False)
    store.feedback.add("k1", REPAIR, 7, True)  # there is no such patch
    out = tmp_path / "feedback.jsonl"
    assert journal_commands.export(settings, out) == 0
    assert "2 rows; 1 patches left out" in capsys.readouterr().err
    records = list(feedback_records(out, licence="MIT", repository="ours"))
    assert [(r.buggy, r.fixed, r.accepted) for r in records] == [
        (BEFORE, AFTER, True),
        (BEFORE, "def mean(xs):\n    pass\n", False),
    ]
    assert (records[0].error, records[0].error_type) == ("AssertionError: 1 != 2", "AssertionError")
    assert records[0].authored[:4] >= "2024"
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_secrets_leave_the_export_whole(settings, store, capsys):
    secret = "AKIA" + "IOSFODNN7EXAMPLE"
    before = f'KEY = "{secret}"\nTEXT = """\n' + "-----BEGIN " + 'PRIVATE KEY-----\nMIIE\n"""\n\n\n' + BEFORE
    keep(store, before=before, after=before.replace(" + 1", ""))
    store.feedback.add("k1", REPAIR, 0, True)
    journal_commands.export(settings)
    out, err = capsys.readouterr()
    assert secret not in out
    assert "MIIE" not in out
    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) + ("left out" in err) == 1  # exact, or not at all
    for row in rows:
        assert row["text_after"] == row["text_before"].replace(" + 1", "")


def test_commands_for_the_journal(settings, store, capsys):
    assert journal_commands.list_entries(settings) == 1
    assert "journal = true" in capsys.readouterr().err
    keep(store)
    store.feedback.add("k1", REPAIR, 1, False)
    assert journal_commands.list_entries(settings) == 0
    assert REPAIR[:10] in capsys.readouterr().out
    assert journal_commands.list_entries(settings, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["entries"][0]["feedback"] == {"1": False}
    assert journal_commands.show(settings, REPAIR) == 0
    assert json.loads(capsys.readouterr().out)["request"]["error"] == "AssertionError: 1 != 2"
    assert journal_commands.delete(settings, REPAIR) == 0
    for command in (journal_commands.show, journal_commands.delete):
        with pytest.raises(InputError, match="there is no entry"):
            command(settings, REPAIR)


def test_an_empty_export(settings, store, tmp_path):
    assert journal_commands.export(settings, tmp_path / "x.jsonl") == 1
    with pytest.raises(InputError) as refused:
        journal_commands.export(settings, tmp_path / "none" / "x.jsonl")
    assert refused.value.field == "output"


class Counting(ThreadPoolExecutor):
    """Threads that know how often they were asked."""

    asked = 0

    def submit(self, *given, **named):
        self.asked += 1
        return super().submit(*given, **named)


def test_cached_keys_cost_no_thread(settings, store):
    authority = Authority(store.keys, store.sessions, settings, clock=lambda: 100.0)
    _, token = store.keys.create("ci", ("repair",))

    async def many():
        await authority.check_key(token, "a")
        await asyncio.sleep(0)  # for the thread that notes the use of the key
        threads = Counting()
        asyncio.get_running_loop().set_default_executor(threads)
        for _ in range(100):
            await authority.check_key(token, "a")
        return threads.asked

    assert asyncio.run(many()) == 0
