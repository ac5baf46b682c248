"""Jobs, keys, login and themes in a real browser; axe on every page."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from serve.wire import FileIn, RepairIn
from serve.wire_jobs import JobIn
from tests.serve.web.fake_api import CODE, ERROR

FETCH_JOB = """body => fetch("/v1/jobs", {method: "POST", body, headers:
    {"Content-Type": "application/json", "X-CSRF-Token": "token"}})"""


def submit(page, label):
    request = RepairIn(files=[FileIn(path="mean.py", text=CODE)], error=ERROR)
    page.evaluate(FETCH_JOB, JobIn(request=request, label=label).model_dump_json())


def test_the_list_follows_jobs_filters_and_deletes(view, fake):
    page = view("/jobs")
    expect(page.locator("#jobs")).to_contain_text("No jobs")
    fake.most = 3
    submit(page, "nightly")
    row = page.locator("#jobs tr", has_text="nightly")
    expect(row).to_contain_text("running")
    fake.most = 1000
    expect(row).to_contain_text("done")
    expect(row).to_contain_text("5 candidates, 2 plausible")
    page.get_by_role("link", name="failed").click()
    expect(page.locator("#jobs")).to_contain_text("No jobs that are failed")
    page.get_by_role("link", name="done").click()
    row.get_by_role("button", name="Delete nightly").click()
    page.get_by_role("button", name="Keep").click()
    assert len(fake.running) == 1
    row.get_by_role("button", name="Delete nightly").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator("#jobs")).to_contain_text("No jobs")
    assert fake.running == {}


def test_a_job_that_is_not_there(view, troubles):
    page = view("/jobs/job_none")
    expect(page.get_by_role("heading")).to_have_text("There is no such job")
    assert all("404" in text for text in troubles)
    troubles.clear()


def test_a_key_is_made_shown_once_and_revoked(view, fake):
    page = view("/keys")
    page.fill("#key-name", "<b>ci</b>")
    page.get_by_label("metrics").check()
    page.get_by_role("button", name="Create key").click()
    secret = page.locator("#secret")
    expect(secret).to_be_focused()
    (made,) = fake.keys
    assert secret.input_value() == f"emend_{made.id}_secret"
    assert (made.name, made.scopes) == ("<b>ci</b>", ["repair", "jobs", "metrics"])
    page.get_by_role("button", name="Done").click()
    expect(secret).to_be_hidden()
    assert secret.input_value() == ""
    expect(page.locator("#key-rows th")).to_have_text("<b>ci</b>")
    page.get_by_role("button", name="Revoke <b>ci</b>").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.locator("#key-rows .state")).to_have_text("revoked")
    assert fake.keys[0].revoked


def test_login_by_hand_and_by_link(view, fake, troubles):
    fake.known = False
    page = view("/jobs")
    assert page.url.endswith("/login")
    page.fill("#key", "emend_wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("This key is not valid")
    page.fill("#key", " emend_good_key ")
    page.keyboard.press("Enter")
    expect(page.locator("#repair")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login")
    assert not fake.known
    page.goto("/login#key=emend_good_key")
    page.reload()  # a fragment alone loads nothing
    expect(page.locator("#repair")).to_be_visible()
    assert "#" not in page.url
    assert all("401" in text for text in troubles)
    troubles.clear()


def test_an_expired_session_keeps_what_was_typed(view, fake, troubles):
    page = view()
    page.fill("#error", ERROR)
    page.locator("#code .cm-content").click()
    page.keyboard.insert_text("x = 1")
    fake.known = False
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert").get_by_role("link", name="Log in again")).to_be_visible()
    assert page.input_value("#error") == ERROR
    assert all("401" in text for text in troubles)
    troubles.clear()


def test_the_theme_is_kept(view):
    page = view(scheme="light")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    page.locator("#theme").click()
    expect(page.locator("#theme")).to_have_text("Theme: light")
    page.locator("#theme").click()
    dark = page.evaluate(ground)
    page.goto("/keys")
    expect(page.locator("#theme")).to_have_text("Theme: dark")
    assert page.evaluate(ground) == dark != light


def findings(page):
    found = Axe().run(page).response["violations"]
    return [
        (one["id"], one["impact"], [(node["html"][:200], node["failureSummary"][:300]) for node in one["nodes"]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(view, fake, scheme):
    page = view(scheme=scheme)
    assert findings(page) == []
    page.select_option("#example", label="Python: a name that does not exist (traceback)")
    page.click("#repair")
    expect(page.locator("#status")).to_contain_text("Done")
    page.locator("#suspect-list button").first.click()
    assert findings(page) == []
    page.set_viewport_size({"width": 360, "height": 740})
    expect(page.locator("#comparison .cm-deletedChunk")).to_be_visible()
    assert findings(page) == []
    for path in ("/jobs", "/keys", "/login"):
        page.goto(path)
        if path == "/keys":
            page.fill("#key-name", "ci")
            page.get_by_role("button", name="Create key").click()
            expect(page.locator("#key-rows tr")).to_have_count(1)
        assert findings(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") == 360, path
