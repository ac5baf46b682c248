"""Pages and static files without a browser."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.serve.web.fake_api import Fake, fake_app

WEB = Path(__file__).resolve().parents[3] / "serve" / "web"


@pytest.fixture
def fake():
    return Fake()


@pytest.fixture
def client(fake):
    with TestClient(fake_app(fake), follow_redirects=False) as started:
        yield started


@pytest.mark.parametrize("path", ["/", "/jobs", "/jobs/job_1", "/keys"])
def test_who_is_not_known_is_sent_to_login(client, fake, path):
    fake.known = False
    answer = client.get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


@pytest.mark.parametrize("path", ["/", "/jobs", "/keys", "/login"])
def test_a_page_obeys_its_policy(client, path):
    answer = client.get(path)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    nonce = re.search(r"'nonce-([^']+)'", answer.headers["content-security-policy"])[1]
    scripts = re.findall(r"<script([^>]*)>", answer.text)
    assert scripts
    assert all(f'nonce="{nonce}"' in attributes for attributes in scripts)
    assert not re.search(r"<[^>]+\s(?:style|on\w+|hx-on[^=]*)=", answer.text)
    assert "<style" not in answer.text


def test_static_files_are_typed_cached_and_checked(client):
    names = re.findall(r'"(/static/[^"]+)"', client.get("/").text)
    types = {name.split("?")[0]: client.get(name).headers["content-type"] for name in names}
    assert types == {
        "/static/icon.svg": "image/svg+xml",
        "/static/page.css": "text/css; charset=utf-8",
        "/static/page.js": "text/javascript; charset=utf-8",
        "/static/repair.js": "text/javascript; charset=utf-8",
    }
    for name in names:
        assert client.get(name).headers["cache-control"] == "public, max-age=31536000, immutable"
    plain = client.get("/static/page.css", headers={"Accept-Encoding": "identity"})
    packed = client.get("/static/page.css", headers={"Accept-Encoding": "gzip"})
    assert "must-revalidate" in plain.headers["cache-control"]
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.content == packed.content == (WEB / "static" / "page.css").read_bytes()
    assert plain.headers["etag"] != packed.headers["etag"]
    same = {"Accept-Encoding": "gzip", "If-None-Match": f'"other", W/{packed.headers["etag"]}'}
    again = client.get("/static/page.css", headers=same)
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["missing.js", "..%2fpages.py", "%2e%2e/pages.py", "templates"])
def test_nothing_but_static_files_is_served(client, name):
    assert client.get(f"/static/{name}").status_code == 404


def test_data_of_a_job_cannot_end_its_block(client, fake):
    attack = "</script><script>alert(1)</script><!--"
    body = {"request": {"files": [{"path": "a.py", "text": attack}]}, "label": attack}
    job = client.post("/v1/jobs", json=body, headers={"X-CSRF-Token": "token"}).json()["id"]
    for path in (f"/jobs/{job}", "/jobs"):
        text = client.get(path).text
        assert "alert(1)" in text
        assert attack not in text
    assert client.get("/jobs/job_none").status_code == 404
    assert list(fake.running) == [job]


def test_htmx_gets_only_the_rows(client):
    answer = client.get("/jobs?state=failed", headers={"HX-Request": "true"})
    assert "<html" not in answer.text
    assert "No jobs that are failed." in answer.text
    assert answer.headers["vary"] == "HX-Request"
    assert client.get("/jobs?state=unknown").status_code == 422


def test_bundles_are_what_the_sources_build():
    frontend = WEB / "frontend"
    if not (frontend / "node_modules").is_dir() or shutil.which("node") is None:
        pytest.skip("needs node, and `npm ci --ignore-scripts` in serve/web/frontend")
    checked = subprocess.run(
        ["node", "build.mjs", "--check"], cwd=frontend, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_what_is_bundled_has_its_licence():
    text = (WEB / "static" / "THIRD_PARTY_LICENSES.txt").read_text()
    for name in ("htmx.org 2.", "@codemirror/view 6.", "@codemirror/merge 6.", "@lezer/python 1."):
        assert f"\n{name}" in text
    assert not set(re.findall(r"^\S+ [\d.]+ \((.+)\)$", text, re.M)) - {"MIT", "0BSD"}
