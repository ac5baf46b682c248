"""A browser, a fake service and a page that fails on any error of the console or the policy."""

import socket
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn

from tests.serve.web.fake_api import Fake, fake_app

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="module")
def browser():
    if not Path(CHROMIUM).exists():
        pytest.skip("there is no Chromium here (Debian's package chromium)")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=60_000)
    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


@contextmanager
def served(fake, store=None):
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(fake_app(fake, store), log_level="critical", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(60)


@pytest.fixture(scope="module")
def fake():
    return Fake()


@pytest.fixture(scope="module")
def url(fake):
    with served(fake) as address:
        yield address


@pytest.fixture(autouse=True)
def fresh(request):
    """Tests share one server: each begins with what a new Fake has."""
    if "fake" in request.fixturenames:
        shared = request.getfixturevalue("fake")
        shared.__init__(tasks=shared.tasks)


@pytest.fixture
def troubles():
    """What the console and the policy said; a test that provokes an error clears it."""
    return []


@pytest.fixture
def view(browser, url, troubles):
    """Opens a page; console errors, page errors and CSP violations fail the test."""
    contexts = []

    def opened(path="/", *, width=1280, height=900, scheme="light", **options):
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, base_url=url, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda said: troubles.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.add_init_script(
            "document.addEventListener('securitypolicyviolation', e => console.error('CSP', e.violatedDirective))"
        )
        page.goto(path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert troubles == []
