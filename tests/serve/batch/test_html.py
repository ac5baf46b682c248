"""The page: everything escaped, nothing from elsewhere, bounded, readable in a real browser in light and dark."""

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from serve.batch.html import LARGEST, diff_lines, html_report, text_lines
from serve.batch.report import RunInfo
from tests.serve.batch.outcomes import HOSTILE, HUGE, RUN, everything, hostile, repaired

COMMIT = "a" * 40
CHROMIUM = "/usr/bin/chromium"


class Elements(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = Counter(), Counter(), "", []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes.update(name for name, _ in attrs)
        if tag not in ("meta", "!doctype", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def page():
    return html_report(everything("/srv/h", COMMIT), RUN)


def test_no_text_becomes_markup(page):
    found = Elements(page)
    assert found.open == []
    assert not {"script", "img", "iframe", "link", "object", "form", "svg"} & found.tags.keys()
    assert set(found.attributes) <= {
        "lang", "charset", "name", "content", "http-equiv", "class", "aria-labelledby", "aria-label", "id", "href",
        "scope", "tabindex", "role", "style", "open",
    }  # fmt: skip
    assert "<script>alert(1)</script>" in found.text
    assert "\\u202e" in found.text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", page)


def test_names_of_any_kind_are_escaped():
    name = '"><b>x\u202e'
    run = RunInfo(name, name, ((name, name),), started=name)
    found = Elements(html_report((hostile(name=name),), run))
    assert found.tags["b"] == 6  # the tiles
    assert found.text.count('"><b>x\\u202e') >= 6
    assert "\u202e" not in found.text


def test_nothing_is_fetched(page):
    assert not re.search(r"""(?:src|href|url\()\s*=?\s*["']?(?!#)(?:https?:|//|data:)""", page)
    assert set(re.findall(r'href="([^"]*)"', page)) == {"#r1", "#r2", "#r16"}
    assert all(f'id="{one}"' in page for one in ("r1", "r2", "r16"))
    assert "default-src 'none'; style-src 'unsafe-inline'" in page


def test_the_page_tells_of_every_repository_and_fault(page):
    text = " ".join(Elements(page).text.split())
    for wanted in (
        "No test was found in tests/", "6 + 1 proposed", "With this patch 2 failing tests pass; 688 tests",
        "last line of the traceback; changed two commits ago", "1 flaky test, left out of every verdict",
        "300 seconds are over", "the project's own .venv", "A test was written that fails with the reported error",
        "left out: k6: does not fit with k1", "No test of the project could judge this patch.",
        "+ return 10 / n if n else 0", "1 other candidate that passed the same tests",
    ):  # fmt: skip
        assert wanted in text, wanted
    assert page.count("<article") == 14
    assert 'style="width:70%"' in page
    assert not re.search(r"\b(proved|proven|guaranteed)\b", text)


def test_diffs_and_texts_are_cut_and_say_so():
    shown = diff_lines(f"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -0,0 +1,5000 @@\n{HUGE}")
    assert len(shown) == 201
    assert shown[-1].text == "… 4,804 lines left out"
    assert [line.kind for line in shown[:6]] == ["gap", "gap", "gap", "gap", "plus", "plus"]
    assert len(diff_lines(HUGE, alternative=True)) == 61
    assert text_lines("x\n" * 40)[-1].text == "… 10 lines left out"
    assert text_lines("  \n") == ()
    assert len(text_lines("y" * 100_000)[0].text) < 500


def test_a_removed_line_that_looks_like_a_files_name_is_a_removed_line():
    shown = diff_lines("--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n--- \n+++ b\n x\n")
    assert [line.kind for line in shown] == ["gap", "gap", "gap", "minus", "plus", "same"]


def test_a_thousand_repositories_stay_below_ten_megabytes(monkeypatch):
    """Overview of all, sections in full as far as there is room, then short ones: what is beside them is below 2 MB."""
    assert LARGEST == 8_000_000
    monkeypatch.setattr("serve.batch.html.LARGEST", 500_000)
    page = html_report([repaired("/srv/h", COMMIT, f"n{n:04}") for n in range(1000)], RUN)
    assert len(page.encode()) < 500_000 + 2_000_000
    assert page.count('<th scope="row">') == 1000
    assert page.count("<h2 id=") == 1001
    assert "Left out here to keep this page small" in page
    assert 100 < page.count("<article") < 1000


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
def test_a_browser_shows_it_well(browser, page, tmp_path, scheme, width):
    from axe_playwright_python.sync_playwright import Axe

    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    shown = context.new_page()
    said = []
    shown.on("console", lambda message: said.append(message.text))
    shown.on("request", lambda request: said.append(request.url))
    shown.goto((tmp_path / "report.html").as_uri())
    ground = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(246, 245, 241)", "dark": "rgb(18, 21, 26)"}[scheme]
    shown.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert shown.evaluate("document.documentElement.scrollWidth") == width
    found = Axe().run(shown).response["violations"]
    assert [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found] == []
    assert said == [(tmp_path / "report.html").as_uri()]
    assert shown.get_by_text(HOSTILE.split("\n")[1]).count() > 0
    context.close()
