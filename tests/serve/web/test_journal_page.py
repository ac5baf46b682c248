"""The journal in a real browser over its real routes and store."""

import json
import re

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import expect

from serve.journal.keeping import Keeper
from serve.journal.knowing import Noting
from serve.store import Store
from serve.telling import Told
from serve.wire import FileIn, RepairIn
from serve.wire_jobs import JobIn
from tests.serve.web.conftest import served
from tests.serve.web.fake_api import CODE, ERROR, Fake, fake_app, script
from tests.serve.web.test_other_pages import findings

TIMING = {"queue": 0.02, "suspects": 0.31, "first_candidate": 0.78, "repair": 4.21}
ATTACK = "</script><script>alert(1)</script>"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    opened = Store.open(f"sqlite:///{tmp_path_factory.mktemp('journal') / 'emend.db'}")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def url(fake, store):
    with served(fake, store) as address:
        yield address


@pytest.fixture(autouse=True)
def empty(store):
    """Each test begins with no entry."""
    yield
    for entry in store.journal.list(500)[0]:
        store.journal.remove(entry.id)


def keep(store, number=0, error=ERROR, code=CODE):
    """An entry as the service keeps it; its id."""
    request = RepairIn(files=[FileIn(path="mean.py", text=code)], error=error)
    noting = Noting(f"rep_{number:032x}", "k1", "repair", f"request-{number}", TIMING)
    for name, value in script(JobIn(request=request)):
        told = Told(name, json.dumps(value) if isinstance(value, dict) else value.model_dump_json())
        noting.observe(told)
        if name == "result":
            Keeper(store.journal, on=True).keep(noting, request.model_dump_json(), told.data)
    return noting.id


def test_entries_are_filtered_by_keyboard_and_deleted(view, store):
    for number in range(2):
        keep(store, number)
    other = keep(store, 2, error="Traceback (most recent call last):\n  File \"mean.py\", line 5\nKeyError: 'x'")
    store.feedback.add("k1", other, 0, True)
    store.journal.label(other, ["off-by-one"])
    page = view("/journal")
    rows = page.locator("#journal tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.first).to_contain_text("KeyError")
    expect(rows.first).to_contain_text("1 accepted")
    page.get_by_label("Label").focus()
    page.keyboard.type("off-by-one")
    page.keyboard.press("Escape")  # of the list of known labels
    page.keyboard.press("Enter")
    page.wait_for_url("**label=off-by-one**")
    expect(rows).to_have_count(1)
    assert "label=off-by-one" in page.locator("#export").get_attribute("href")
    with page.expect_download() as downloading:
        page.locator("#export").click()
    (row,) = downloading.value.path().read_text().splitlines()
    assert json.loads(row)["labels"] == ["off-by-one"]
    page.get_by_role("link", name="Clear").click()
    page.select_option("[name=decision]", "none")
    page.get_by_role("button", name="Filter").click()
    expect(rows).to_have_count(2)
    page.get_by_role("button", name="Delete NameError").first.click()
    page.get_by_role("button", name="Keep").click()
    assert len(store.journal.list()[0]) == 3
    page.get_by_role("button", name="Delete NameError").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(rows).to_have_count(1)
    assert len(store.journal.list()[0]) == 2


def test_an_entry_is_shown_labelled_and_deleted(view, store, troubles):
    identity = keep(store, error=f"{ERROR}\n{ATTACK}", code=f"{CODE}# {ATTACK}\n")
    store.feedback.add("k1", identity, 0, True, "as we fixed it")
    store.journal.add_summary(identity, "explanation-ablation", {"hit": 1, "lines": [{"line": 5, "drop": 0.7}]})
    page = view(f"/journal/{identity}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("NameError")
    for told in ("as we fixed it", "entropy of the location", "explanation-ablation", "request-0", "3.430 s", ATTACK):
        expect(page.locator("main")).to_contain_text(told)
    expect(page.locator(".suspect").first).to_contain_text("mean.py, line 5")
    expect(page.locator("#labels")).to_have_text("none")
    page.get_by_role("button", name="Add name-error").click()
    expect(page.locator("#labels .chip")).to_have_count(1)
    page.fill("#label", "off-by-one")
    page.keyboard.press("Enter")
    expect(page.locator("#labels .chip")).to_have_count(2)
    assert store.journal.get(identity).labels == ("name-error", "off-by-one")
    page.get_by_role("button", name="Remove the label name-error").click()
    expect(page.locator("#labels .chip")).to_have_count(1)
    expect(page.locator("#label")).to_be_focused()
    page.evaluate("document.getElementById('label').removeAttribute('pattern')")
    page.fill("#label", "NOT A LABEL")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("label")
    assert all("422" in text for text in troubles), troubles
    troubles.clear()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_url("**/journal")
    expect(page.locator("#journal")).to_contain_text("No entries yet")
    assert store.journal.get(identity) is None


def test_wrong_filters_and_missing_entries_are_told(view, troubles):
    page = view("/journal?since=soon")
    expect(page.get_by_role("alert").filter(has_text="since")).to_contain_text("give a day")
    page.goto("/journal/rep_none")
    expect(page.get_by_role("heading")).to_have_text("There is no such entry")
    assert all("422" in text or "404" in text for text in troubles)
    troubles.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(view, store, scheme):
    identity = keep(store)
    store.journal.label(identity, ["off-by-one", "from-review"])
    page = view("/journal", scheme=scheme)
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 740})
        for path in ("/journal", f"/journal/{identity}"):
            page.goto(path)
            assert findings(page) == [], path
            assert page.evaluate("document.documentElement.scrollWidth") == width, path


def test_htmx_gets_only_the_rows_and_pages_go_on(store):
    for number in range(51):
        store.journal.add(f"rep_{number:032x}", "k1", json.dumps({"error": ATTACK}), "{}")
    fake = Fake()
    with TestClient(fake_app(fake, store), follow_redirects=False) as client:
        rows = client.get("/journal?text=alert", headers={"HX-Request": "true"})
        assert "<html" not in rows.text
        assert rows.headers["vary"] == "HX-Request"
        assert rows.text.count("<tr>") == 51  # with the head
        (older,) = re.findall(r'href="(/journal\?[^"]+)">Older', rows.text)
        assert "text=alert" in older
        assert client.get(older.replace("&amp;", "&")).text.count("<tr>") == 2
        entry = client.get(f"/journal/rep_{0:032x}").text
        assert "alert(1)" in entry
        assert ATTACK not in entry
        fake.known = False
        for path in ("/journal", "/journal/rep_0"):
            assert client.get(path).headers["location"] == "/login"
