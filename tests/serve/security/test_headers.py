import asyncio
import re

from tests.serve.security.apps import small


def ask(app, method, path, **more):
    async def one():
        async with app.client() as client:
            return await client.request(method, path, **more)

    return asyncio.run(one())


def test_pages_carry_the_policy_with_a_fresh_nonce():
    app = small(auth="off")
    first, second = ask(app, "GET", "/"), ask(app, "GET", "/")
    nonce = first.json()["nonce"]
    assert nonce != second.json()["nonce"]
    assert first.headers["content-security-policy"] == (
        f"default-src 'none'; script-src 'nonce-{nonce}' 'self'; style-src 'self' 'nonce-{nonce}'; "
        "img-src 'self' data:; connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    assert re.fullmatch(r"[A-Za-z0-9_-]{24}", nonce)


def test_answers_of_all_kinds_carry_the_headers():
    app = small(auth="off")
    answers = [
        ask(app, "GET", "/healthz"),
        ask(app, "GET", "/nowhere"),
        ask(app, "POST", "/v1/repairs", content=b"{"),
        ask(app, "POST", "/v1/repairs", json={"text": "boom"}),
    ]
    assert [answer.status_code for answer in answers] == [200, 404, 415, 500]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["cache-control"] == "no-store"
        assert "strict-transport-security" not in answer.headers
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


def test_an_error_that_nobody_foresaw_tells_its_kind_only():
    answer = ask(small(auth="off"), "POST", "/v1/repairs", json={"text": "boom"})
    body = answer.json()
    assert (answer.status_code, body["detail"]) == (500, "internal error (RuntimeError)")
    assert body["request_id"] == answer.headers["x-request-id"]
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


def test_no_other_origin_by_default():
    app = small(auth="off")
    preflight = {"Origin": "https://ide.example", "Access-Control-Request-Method": "POST"}
    refused = ask(app, "OPTIONS", "/v1/repairs", headers=preflight)
    assert refused.status_code == 405
    assert not [name for name in refused.headers if name.startswith("access-control")]


def test_a_named_origin_without_credentials():
    app = small(cors_origins=("https://ide.example",))
    _, good = app.key()
    preflight = {
        "Origin": "https://ide.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    allowed = ask(app, "OPTIONS", "/v1/repairs", headers=preflight)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "https://ide.example")
    assert "access-control-allow-credentials" not in allowed.headers
    answer = ask(app, "POST", "/v1/repairs", json={"text": "a"}, headers={**good, "Origin": "https://ide.example"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "https://ide.example")
    other = ask(app, "OPTIONS", "/v1/repairs", headers={**preflight, "Origin": "https://evil.example"})
    assert other.status_code == 400
    assert "access-control-allow-origin" not in other.headers


def test_request_ids_are_taken_over_when_they_are_plain():
    app = small(auth="off")
    assert ask(app, "GET", "/healthz", headers={"X-Request-ID": "ci-42.a"}).headers["x-request-id"] == "ci-42.a"
    bad = ask(app, "GET", "/healthz", headers={"X-Request-ID": "a b<script>"}).headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{32}", bad)
    assert ask(app, "POST", "/v1/repairs", json={"text": "a"}, headers={"X-Request-ID": "n1"}).json()["id"] == "n1"
