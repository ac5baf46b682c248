"""The report in a real browser: light, dark, on a phone; tabs without a script; axe finds nothing."""

from pathlib import Path

import pytest

from serve.explaining.report import report
from tests.serve.explaining import samples

CHROMIUM = "/usr/bin/chromium"
TABS = ("evidence", "tokens", "attention", "lens", "activations", "patching", "anomalies", "live")


@pytest.fixture(scope="module")
def browser():
    if not Path(CHROMIUM).exists():
        pytest.skip("there is no Chromium here (Debian's package chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        opened = started.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield opened
        opened.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 400)])
def test_a_browser_shows_it_well(browser, tmp_path, scheme, width):
    from axe_playwright_python.sync_playwright import Axe

    place = tmp_path / "report.html"
    place.write_text(report(samples.full()), encoding="utf-8")
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: said.append(request.url))
    page.goto(place.as_uri())
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(246, 245, 241)", "dark": "rgb(18, 21, 26)"}[scheme]
    for name in TABS:
        page.locator(f"label[for=tab-{name}]").click()
        assert [one for one in TABS if page.locator(f"#panel-{one}").is_visible()] == [name]
        assert page.evaluate("document.documentElement.scrollWidth") == width, name
    page.locator("#tab-evidence").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#panel-tokens").is_visible()
    page.add_style_tag(content=".tabs > .panel { display: block !important }")
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    found = Axe().run(page).response["violations"]
    assert [(one["id"], [node["html"][:200] for node in one["nodes"]][:3]) for one in found] == []
    assert said == [place.as_uri()]
    context.close()
