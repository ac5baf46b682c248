import asyncio
import re
import time

import httpx
import pytest
import uvicorn

from serve.security.callers import CACHE_SECONDS, csrf_token
from serve.security.table import ROUTES
from tests.serve.security.apps import HOST, small

BODY = {"text": "a"}


def run(coroutine):
    return asyncio.run(coroutine)


def ask(app, method, path, **more):
    async def one():
        async with app.client() as client:
            return await client.request(method, path, **more)

    return run(one())


def test_every_route_needs_a_key_but_the_open_ones():
    app = small()

    async def statuses():
        async with app.client() as client:
            return {
                (method, path): (await client.request(method, re.sub(r"{[^}]*}", "x", path))).status_code
                for method, path in ROUTES
            }

    found = run(statuses())
    refused = {route for route, status in found.items() if status == 401}
    assert refused == {route for route, need in ROUTES.items() if need != "open"}


def test_a_route_that_the_table_does_not_know_is_never_reached():
    app = small()
    _, admin = app.key("admin")
    assert ask(app, "GET", "/v1/forgotten").status_code == 401
    assert ask(app, "GET", "/v1/forgotten", headers=admin).status_code == 404
    assert ask(app, "POST", "/v1/models", headers=admin).status_code == 405
    assert app.seen == []


def test_a_key_opens_what_its_scopes_say():
    app = small()
    row, repair = app.key("repair")
    _, jobs = app.key("jobs")
    _, admin = app.key("admin")
    answer = ask(app, "POST", "/v1/repairs", headers=repair, json=BODY)
    assert (answer.status_code, app.seen) == (200, [row.id])
    refused = ask(app, "POST", "/v1/repairs", headers=jobs, json=BODY)
    assert (refused.status_code, refused.json()["detail"]) == (403, "this needs a key with the scope repair")
    assert ask(app, "POST", "/v1/repairs", headers=admin, json=BODY).status_code == 200
    assert ask(app, "GET", "/metrics", headers=repair).status_code == 403


def test_wrong_keys_cannot_be_told_apart():
    app = small()
    clock = app.clock
    _, expired = app.key(expires=int((clock.now - 1) * 1e6))
    row, revoked = app.key()
    app.keys.revoke(row.id)
    _, good = app.key()
    wrong = {"Authorization": good["Authorization"][:-3] + "xyz"}
    shown = [expired, revoked, wrong, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic eDp5"}, {}]
    answers = [ask(app, "GET", "/v1/models", headers=headers) for headers in shown]
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.headers["www-authenticate"] for answer in answers} == {"Bearer"}
    assert len({answer.json()["detail"] for answer in answers}) == 1


def test_malformed_and_wrong_keys_take_the_same_way():
    app = small()
    asked = []
    find = app.keys.find
    app.authority.keys = type("Counted", (), {"find": lambda _, token: (asked.append(token), find(token))[1]})()
    for token in ("nonsense", "emend_0123_" + "a" * 40):
        assert ask(app, "GET", "/v1/models", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    assert len(asked) == 2


def test_keys_in_queries_are_no_keys():
    app = small()
    _, good = app.key("admin")
    token = good["Authorization"].removeprefix("Bearer ")
    for name in ("key", "api_key", "token", "access_token"):
        assert ask(app, "GET", f"/v1/models?{name}={token}").status_code == 401


def test_too_many_wrong_keys_must_wait_but_known_ones_need_not():
    app = small()
    _, good = app.key()
    assert ask(app, "GET", "/v1/models", headers=good).status_code == 200
    statuses = [
        ask(app, "GET", "/v1/models", headers={"Authorization": f"Bearer emend_ab_{n:040}"}).status_code
        for n in range(12)
    ]
    assert statuses == [401] * 10 + [429] * 2
    login = ask(app, "POST", "/login", json={"key": "x"})
    assert (login.status_code, login.headers["retry-after"]) == (429, "60")
    app.clock.now += CACHE_SECONDS + 1  # asks the store again, in spite of the others
    assert ask(app, "GET", "/v1/models", headers=good).status_code == 200
    app.clock.now += 60
    assert ask(app, "POST", "/login", json={"key": "x"}).status_code == 401


def test_a_revoked_key_ends_within_the_cache_time():
    app = small()
    row, good = app.key()
    assert CACHE_SECONDS <= 5
    assert ask(app, "GET", "/v1/models", headers=good).status_code == 200
    app.keys.revoke(row.id)
    app.clock.now += CACHE_SECONDS
    assert ask(app, "GET", "/v1/models", headers=good).status_code == 401


def test_a_cached_key_asks_the_store_once():
    app = small()
    _, good = app.key()
    asked = []
    find = app.keys.find
    counted = {"find": lambda _, token: (asked.append(token), find(token))[1], "touch": lambda _, key: None}
    app.authority.keys = type("Counted", (), counted)()

    async def many():
        async with app.client(headers=good) as client:
            return [(await client.get("/v1/models")).status_code for _ in range(20)]

    assert run(many()) == [200] * 20
    assert len(asked) == 1


def test_use_of_a_key_is_noted():
    app = small()
    row, good = app.key()

    async def used():
        async with app.client(headers=good) as client:
            await client.get("/v1/models")
        deadline = time.monotonic() + 90
        while app.keys.get(row.id).last_used is None:  # nobody waits for the note
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)

    run(used())
    assert app.keys.get(row.id).last_used == int(app.clock.now * 1e6)


def test_metrics_token():
    app = small(metrics_token="scrape-me")
    scrape = {"Authorization": "Bearer scrape-me"}
    assert ask(app, "GET", "/metrics", headers=scrape).status_code == 200
    assert ask(app, "GET", "/v1/models", headers=scrape).status_code == 403
    assert ask(app, "POST", "/login", json={"key": "scrape-me"}).status_code == 401


def test_without_auth_everyone_is_the_local_admin_but_foreign_pages():
    app = small(auth="off")
    assert ask(app, "POST", "/v1/repairs", json=BODY).status_code == 200
    assert app.seen == ["local"]
    assert ask(app, "GET", "/openapi.json").status_code == 200
    foreign = {"Origin": "http://evil.example"}
    assert ask(app, "POST", "/v1/repairs", json=BODY, headers=foreign).status_code == 403
    assert ask(app, "POST", "/v1/repairs", json=BODY, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert ask(app, "GET", "/v1/models", headers={"Host": "evil.example"}).status_code == 403


def test_pages_send_browsers_to_the_login():
    app = small()
    answer = ask(app, "GET", "/", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert ask(app, "GET", "/").status_code == 401
    assert ask(app, "GET", "/v1/models", headers={"Accept": "text/html"}).status_code == 401


def test_session_of_a_browser():
    app = small()
    row, good = app.key("repair")
    token = good["Authorization"].removeprefix("Bearer ")

    async def course():
        async with app.client() as client:
            login = await client.post("/login", json={"key": token})
            assert login.status_code == 204
            cookie = login.headers["set-cookie"]
            assert cookie.startswith("emend_session=")
            assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(cookie.split("; "))
            assert token not in cookie
            csrf = (await client.get("/")).json()["csrf"]
            assert csrf == csrf_token(client.cookies["emend_session"])
            refused = [
                await client.post("/v1/repairs", json=BODY),
                await client.post("/v1/repairs", json=BODY, headers={"X-CSRF-Token": "0" * 64}),
                await client.post(
                    "/v1/repairs", json=BODY, headers={"X-CSRF-Token": csrf, "Origin": "https://evil.example"}
                ),
                await client.post(
                    "/v1/repairs", json=BODY, headers={"X-CSRF-Token": csrf, "Sec-Fetch-Site": "same-site"}
                ),
            ]
            assert [answer.status_code for answer in refused] == [403] * 4
            own = {"X-CSRF-Token": csrf, "Origin": f"http://{HOST}", "Sec-Fetch-Site": "same-origin"}
            assert (await client.post("/v1/repairs", json=BODY, headers=own)).status_code == 200
            assert app.seen == [row.id]
            session = client.cookies["emend_session"]
            assert (await client.post("/logout", headers=own)).status_code == 204
            return (await client.get("/v1/models", headers={"Cookie": f"emend_session={session}"})).status_code

    assert run(course()) == 401


def test_cookie_behind_tls():
    app = small(public_url="https://emend.example.org")
    _, good = app.key()
    answer = ask(app, "POST", "/login", json={"key": good["Authorization"].removeprefix("Bearer ")})
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-emend_session=")
    assert "Secure" in cookie.split("; ")
    assert answer.headers["strict-transport-security"].startswith("max-age=")
    assert ask(app, "GET", "/healthz", headers={"Host": "emend.example.org"}).status_code == 200


def test_a_sessions_key_that_is_revoked_ends_the_session():
    app = small()
    row, good = app.key()
    login = ask(app, "POST", "/login", json={"key": good["Authorization"].removeprefix("Bearer ")})
    cookie = {"Cookie": login.headers["set-cookie"].partition(";")[0]}
    assert ask(app, "GET", "/v1/models", headers=cookie).status_code == 200
    app.keys.revoke(row.id)
    app.authority.forget()
    assert ask(app, "GET", "/v1/models", headers=cookie).status_code == 401


def test_rate_of_a_key():
    app = small()
    _, good = app.key(rate=3)
    _, other = app.key()
    answers = [ask(app, "GET", "/v1/models", headers=good) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert (answers[3].headers["retry-after"], answers[3].headers["ratelimit-limit"]) == ("20", "3")
    assert answers[3].headers["content-type"] == "application/problem+json"
    assert ask(app, "GET", "/v1/models", headers=other).status_code == 200
    app.clock.now += 20
    assert ask(app, "GET", "/v1/models", headers=good).status_code == 200
    assert ask(app, "GET", "/healthz", headers=good).status_code == 200


@pytest.fixture
def listening():
    """A real server, for what only a real connection shows."""
    started = []

    async def start(app):
        config = uvicorn.Config(app.app, log_level="critical", port=0)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        started.append((server, task))
        port = server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    async def stop():
        for server, task in started:
            server.should_exit = True
            await task

    return start, stop


def test_places_of_a_key_are_held_until_the_stream_ends_or_its_client_leaves(listening):
    start, stop = listening

    async def course():
        app = small(clock=time.monotonic)
        _, good = app.key("repair", "jobs", concurrent=1)
        url = await start(app)
        async with httpx.AsyncClient(base_url=url, headers=good, timeout=90) as client:
            async with client.stream("GET", "/v1/jobs/1/events") as stream:
                assert await anext(stream.aiter_lines()) == "data: 1"
                refused = await client.get("/v1/models")
                assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
                assert (await client.get("/healthz")).status_code == 200
            deadline = time.monotonic() + 90  # the stream was left, not ended
            while (await client.get("/v1/models")).status_code == 429:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
            app.finish.set()
            assert (await client.get("/v1/jobs/2/events")).status_code == 200
            assert (await client.get("/v1/models")).status_code == 200
        await stop()

    run(course())


def test_a_body_is_not_read_for_strangers(listening):
    start, stop = listening

    async def course():
        app = small(clock=time.monotonic)
        _, good = app.key()
        url = await start(app)
        port = int(url.rsplit(":", 1)[1])
        answers = []
        for authorization in ("", f"Authorization: {good['Authorization']}\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head = f"POST /v1/repairs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 52428800\r\n{authorization}\r\n"
            writer.write(head.encode())
            answers.append((await asyncio.wait_for(reader.readline(), 90)).split()[1])
            writer.close()
        await stop()
        return answers

    assert run(course()) == [b"401", b"413"]


def test_web_sockets_are_refused():
    app = small()
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/v1/jobs/1/events", "headers": [], "query_string": b""}
    run(app.app(scope, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]
