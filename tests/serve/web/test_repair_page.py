"""The repair page in a real browser: from code and an error to an accepted patch."""

import json
import re
import time

from playwright.sync_api import expect

from serve.wire import RepairOut
from tests.serve.served import wait_for
from tests.serve.web.fake_api import CODE, ERROR

PASTE = """([selector, text]) => {
  const target = document.querySelector(selector);
  const clipboard = new DataTransfer();
  clipboard.setData("text/plain", text);
  target.focus();
  target.dispatchEvent(new ClipboardEvent("paste", { clipboardData: clipboard, bubbles: true, cancelable: true }));
}"""
DROP = """([selector, files]) => {
  const transfer = new DataTransfer();
  for (const [name, text] of files) transfer.items.add(new File([text], name));
  const target = document.querySelector(selector);
  for (const kind of ["dragover", "drop"]) {
    target.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
}"""


def told(fake, number):
    """What the service has heard of patches, once it is so much and no more follows at once."""
    wait_for(lambda: len(fake.feedback) >= number)
    time.sleep(0.05)
    return [(one.patch, one.accepted) for one in fake.feedback]


def code_of(page):
    return "\n".join(page.locator("#code .cm-line").all_inner_texts()).replace("\u200b", "").rstrip("\n") + "\n"


def give(page, code=CODE, name="mean.py"):
    page.evaluate(PASTE, ["#code .cm-content", code])
    page.fill("#code [data-part=name]", name)
    page.locator("#code [data-part=name]").press("Tab")
    page.fill("#error", ERROR)


def repaired(page):
    give(page)
    page.click("#repair")
    expect(page.locator("#status")).to_have_text("Done: 5 candidates, 2 plausible.")


def chosen(page):
    return page.locator("#candidate-list [aria-selected=true]")


def test_a_pasted_error_becomes_a_heat_map_candidates_and_an_accepted_patch(view, fake):
    page = view()
    repaired(page)
    sent = next(iter(fake.running.values())).job.request
    assert [(file.path, file.text) for file in sent.files] == [("mean.py", CODE)]
    assert sent.error == ERROR
    assert sent.options.model == "emend-small"
    marks = page.locator("#code .cm-heat .heat:not(.spacer)")
    expect(marks).to_have_text(["8", "44", "92"])
    expect(marks.last).to_have_class("heat heat-5")
    expect(page.locator("#code .cm-line.hot-5")).to_have_text("    return sum(xs) / len(x)")
    expect(page.locator("#suspect-list li").first).to_contain_text("line 5, 92 %")
    expect(chosen(page)).to_contain_text("len(xs)")
    page.locator("#candidate-list").focus()
    page.keyboard.press("j")
    expect(chosen(page)).to_contain_text("sum(xs) / 1")
    page.keyboard.press("ArrowDown")
    expect(chosen(page)).to_contain_text("unfixed")
    expect(page.locator("#facts")).to_contain_text("test_mean.py::test_two")
    page.keyboard.press("k")
    page.keyboard.press("ArrowUp")
    expect(page.locator("#facts")).to_contain_text("Passes every test")
    expect(page.locator("#facts")).to_contain_text("4.2 s, 5 candidates, 9 test runs, 1100 tokens")
    expect(page.locator("#facts")).to_contain_text("emend-small")
    expect(page.locator("#no-fault")).to_have_text("No fault in this code: 2 %")
    expect(page.locator("#why")).to_contain_text("NameError names x")
    expect(page.locator(".cm-merge-b .cm-changedLine")).to_have_text("    return sum(xs) / len(xs)")
    page.click("#accept")
    expect(page.locator("#accept")).to_have_text("Undo accept")
    assert code_of(page) == CODE.replace("len(x)", "len(xs)")
    page.click("#accept")
    expect(page.locator("#accept")).to_have_text("Accept")
    assert code_of(page) == CODE
    assert told(fake, 2) == [(0, True), (0, False)]
    assert fake.feedback[0].id == next(iter(fake.running))


def test_accepting_another_candidate_takes_the_first_back(view, fake):
    page = view()
    repaired(page)
    page.locator("#candidate-list").focus()
    page.keyboard.press("a")
    expect(page.locator("#accept")).to_have_text("Undo accept")
    page.keyboard.press("j")
    page.keyboard.press("a")
    expect(page.locator("#candidate-list .said")).to_have_text("accepted")
    assert code_of(page) == CODE.replace("len(x)", "1")
    assert told(fake, 3) == [(0, True), (0, False), (1, True)]


def test_a_patch_is_not_laid_over_code_that_was_edited(view):
    page = view()
    repaired(page)
    page.locator("#code .cm-content").press("Control+Home")
    page.keyboard.type("# edited")
    page.click("#accept")
    expect(page.get_by_role("alert")).to_contain_text("mean.py has changed since it was sent")
    assert code_of(page).startswith("# edited")


def test_reject_is_told_even_before_the_ranking_is_known(view, fake):
    fake.most = 4
    page = view()
    give(page)
    page.click("#repair")
    page.locator(".candidate").first.click()
    page.click("#reject")
    expect(page.locator("#candidate-list .said")).to_have_text("rejected")
    assert fake.feedback == []
    fake.most = 1000
    expect(page.locator("#status")).to_contain_text("Done")
    expect(page.locator("#reject")).to_be_disabled()
    ((patch, accepted),) = told(fake, 1)
    assert not accepted
    ranked = page.locator(".candidate").all_inner_texts()
    assert "rejected" in ranked[patch]


def test_the_downloaded_patch_is_the_diff(view, fake, tmp_path):
    page = view(accept_downloads=True)
    repaired(page)
    with page.expect_download() as download:
        page.click("#save")
    assert download.value.suggested_filename == "mean.py.patch"
    download.value.save_as(tmp_path / "it.patch")
    text = (tmp_path / "it.patch").read_bytes().decode()
    (one,) = fake.running.values()
    result = next(data for name, data in one.events if name == "result")
    assert text == RepairOut.model_validate_json(result).patches[0].diff
    assert "\n-    return sum(xs) / len(x)\n+    return sum(xs) / len(xs)\n" in text


def test_reload_and_another_browser_follow_the_job(view, fake):
    fake.most = 4
    page = view()
    give(page)
    page.click("#repair")
    page.wait_for_url("**/jobs/job_*")
    page.reload()
    expect(page.locator(".candidate")).not_to_have_count(0)
    fake.most = 1000
    expect(page.locator("#status")).to_have_text("Done: 5 candidates, 2 plausible.")
    assert code_of(page) == CODE
    assert page.input_value("#error") == ERROR
    expect(page.locator("#code .heat:not(.spacer)")).to_have_count(3)
    other = view(page.url)
    expect(other.locator("#status")).to_have_text("Done: 5 candidates, 2 plausible.")


def test_a_lost_connection_resumes_where_it_was(view, fake):
    fake.drop_after, fake.most, fake.hold = 3, 3, True
    page = view()
    give(page)
    page.click("#repair")
    expect(page.locator("#lost")).to_be_visible()
    fake.most, fake.hold = 1000, False
    expect(page.locator("#status")).to_have_text("Done: 5 candidates, 2 plausible.")
    expect(page.locator("#lost")).to_be_hidden()
    assert fake.resumed == [0, 3]


def test_a_new_attempt_voids_candidates_but_not_what_was_said(view, fake):
    fake.lost, fake.most = 3, 5
    page = view()
    give(page)
    page.click("#repair")
    expect(page.locator(".candidate")).to_have_count(3)
    page.locator(".candidate", has_text="len(xs)").click()
    page.click("#accept")
    expect(page.locator("#accept")).to_have_text("Undo accept")
    fake.most = 7
    expect(page.locator("#status")).to_have_text("An attempt was lost. Trying again…")
    expect(page.locator(".candidate")).to_have_count(0)
    fake.most = 1000
    expect(page.locator("#status")).to_have_text("Done: 5 candidates, 2 plausible.")
    expect(page.locator("#candidate-list")).not_to_contain_text("undecided")
    expect(page.locator(".candidate").first).to_contain_text("accepted")
    page.wait_for_timeout(50)
    assert told(fake, 1) == [(0, True)]
    page.locator("#candidate-list").focus()
    page.keyboard.press("Home")
    page.click("#accept")
    expect(page.locator("#accept")).to_have_text("Accept")
    assert code_of(page) == CODE


def test_the_result_has_the_last_word_on_a_verdict(view, fake):
    fake.pace = 0.05
    page = view()
    give(page)
    page.click("#repair")
    expect(page.locator("#status")).to_contain_text("Done")
    (one,) = fake.running.values()
    name, text = one.events[-2]
    result = RepairOut.model_validate_json(text)
    first = result.patches[0].model_copy(update={"verdict": "regressed"})
    patches = [*result.patches[1:], first]
    one.events[-2] = (name, result.model_copy(update={"patches": patches}).model_dump_json())
    page.reload()
    expect(page.locator("#status")).to_have_text("Done: 5 candidates, 1 plausible.")
    expect(page.locator(".candidate").last).to_contain_text("regressed")


def test_reasons_at_the_cursor_give_way(view):
    page = view()
    repaired(page)
    editor = page.locator("#code .cm-content")
    page.locator("#suspect-list button").first.click()
    expect(page.locator("#code .reasons")).to_contain_text("innermost frame")
    editor.press("Escape")
    expect(page.locator("#code .reasons")).to_have_count(0)
    editor.press("ArrowUp")
    editor.press("ArrowUp")
    expect(page.locator("#code .reasons")).to_contain_text("failing test only")
    page.keyboard.type("#")
    expect(page.locator("#code .reasons")).to_have_count(0)


def test_a_session_that_ends_does_not_end_the_job(view, fake, troubles):
    fake.drop_after, fake.most, fake.hold = 4, 4, True
    page = view()
    give(page)
    page.click("#repair")
    page.locator("#suspects").wait_for()
    fake.known, fake.hold = False, False
    expect(page.get_by_role("alert").get_by_role("link", name="Log in again")).to_be_visible()
    expect(page.locator("#status")).to_have_text("What became of this job cannot be seen here.")
    expect(page.locator("#cancel")).to_be_hidden()
    assert all("401" in text for text in troubles)
    troubles.clear()


def test_a_job_without_events_is_shown_by_its_result(view, fake):
    page = view()
    repaired(page)
    (one,) = fake.running.values()
    kept = json.loads(next(data for name, data in one.events if name == "result"))
    one.out = one.out.model_copy(update={"result": RepairOut.model_validate(kept)})
    one.events.clear()
    page.reload()
    expect(page.locator("#status")).to_have_text("Done: 5 candidates, 2 plausible.")
    expect(page.locator("#code .heat:not(.spacer)")).to_have_count(3)
    expect(page.locator("#lost")).to_be_hidden()


def test_what_editor_undo_took_back_counts_as_taken_back(view, fake):
    page = view()
    repaired(page)
    page.click("#accept")
    expect(page.locator("#accept")).to_have_text("Undo accept")
    page.locator("#code .cm-content").press("Control+z")
    assert code_of(page) == CODE
    page.click("#reject")
    expect(page.locator("#candidate-list .said")).to_have_text("rejected")
    assert [accepted for _, accepted in told(fake, 3)] == [True, False, False]


def test_streaming_does_not_move_the_page(view, fake):
    fake.pace = 0.05
    page = view(height=500)
    give(page)
    page.evaluate("window.scrollTo(0, 0)")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#status")).to_contain_text("Done")
    assert page.evaluate("window.scrollY") == 0


def test_copy_and_open_by_button(view):
    page = view(permissions=["clipboard-read", "clipboard-write"])
    page.set_input_files("#code-files", {"name": "mean.py", "mimeType": "text/plain", "buffer": CODE.encode()})
    expect(page.locator("#code [role=tab]")).to_have_text("mean.py")
    page.click("#repair")
    expect(page.locator("#status")).to_contain_text("Done")
    page.click("#copy")
    expect(page.locator("#status")).to_have_text("The diff is copied.")
    assert page.evaluate("navigator.clipboard.readText()").startswith("--- a/mean.py")


def test_cancel(view, fake):
    fake.most = 1
    page = view()
    give(page)
    page.click("#repair")
    expect(page.locator("#status")).to_contain_text("Looking for the fault")
    page.click("#cancel")
    expect(page.locator("#status")).to_contain_text("Cancelled")
    expect(page.locator("#repair")).to_be_enabled()
    assert [one.out.state for one in fake.running.values()] == ["cancelled"]


def test_an_error_names_the_field(view, fake, troubles):
    fake.refuse = (422, "budget.seconds", "must be at most 60")
    page = view()
    give(page)
    page.click("#repair")
    expect(page.get_by_role("alert").locator("li")).to_have_text("budget.seconds must be at most 60")
    expect(page.locator("#repair")).to_be_enabled()
    expect(page.locator("#seconds-limit")).to_be_focused()
    expect(page.locator("#seconds-limit")).to_have_attribute("aria-invalid", "true")
    page.evaluate(DROP, ["#code", [["other.py", "y = 1\n"]]])
    fake.refuse = (422, "request.files.0.text", "is too long")
    page.click("#repair")
    expect(page.get_by_role("alert").locator("li")).to_have_text("request.files.0.text is too long")
    expect(page.locator("#code [role=tab][aria-selected=true]")).to_have_text("mean.py")
    expect(page.locator("#seconds-limit")).not_to_have_attribute("aria-invalid", "true")
    page.get_by_label("Close this message").click()
    expect(page.get_by_role("alert")).to_be_empty()
    page.click("[data-part=remove] >> nth=0")
    page.click("[data-part=remove] >> nth=0")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("Paste or drop the code that fails")
    assert [text for text in troubles if "422" not in text] == []  # the browser logs the status itself
    troubles.clear()


def test_dropped_files_find_their_place(view, fake):
    page = view()
    files = [
        ["mean.py", CODE],
        ["test_mean.py", "def test(): ...\r\n"],
        ["run.log", ERROR],
        ["Main.java", "class Main {}\n"],
    ]
    page.evaluate(DROP, ["#code", files])
    expect(page.locator("#code [role=tab]")).to_have_text(["mean.py", "Main.java"])
    expect(page.locator("#code [data-part=language]")).to_have_text("Java")
    expect(page.locator("#tests [role=tab]")).to_have_text(["test_mean.py"])
    page.click("#repair")
    expect(page.locator("#status")).to_contain_text("Done")
    sent = next(iter(fake.running.values())).job.request
    assert [file.path for file in sent.files] == ["mean.py", "Main.java"]
    assert sent.test.files[0].text == "def test(): ...\r\n"
    assert sent.error == ERROR
    page.evaluate(DROP, ["#code", [["bad.py", "a\0b"]]])
    expect(page.get_by_role("alert")).to_contain_text("bad.py is not UTF-8 text")


def test_newlines_marks_and_characters_beyond_16_bits_survive(view, fake):
    page = view()
    text = "\ufeff" + CODE.replace("    return", "    s = '😀é'; return").replace("\n", "\r\n")
    page.evaluate(DROP, ["#code", [["mean.py", text]]])
    page.click("#repair")
    expect(page.locator("#status")).to_contain_text("Done: 5")
    page.click("#accept")
    expect(page.locator("#accept")).to_have_text("Undo accept")
    page.click("#repair")
    expect(page.locator("#status")).to_contain_text("Done: 1 candidate")
    first, second = (one.job.request.files[0].text for one in fake.running.values())
    assert first == text
    assert second == text.replace("len(x)", "len(xs)")


def test_keyboard_only(view, fake):
    page = view()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()

    def tab_to(selector):
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.locator(selector).evaluate("one => one === document.activeElement"):
                return
        raise AssertionError(f"Tab does not get to {selector}")

    tab_to("#example")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#code [role=tab]")).to_have_text(["mean.py"])
    tab_to("#code .cm-content")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#status")).to_contain_text("Done: 5")
    page.keyboard.press("Control+Home")
    page.keyboard.press("Control+End")
    page.keyboard.press("ArrowUp")
    expect(page.locator("#code .reasons")).to_contain_text("NameError names x")
    tab_to("#suspect-list li:first-child button")
    page.keyboard.press("Enter")
    expect(page.locator("#code .cm-content")).to_be_focused()
    tab_to("#candidate-list")
    page.keyboard.press("j")
    page.keyboard.press("k")
    tab_to("#accept")
    page.keyboard.press("Enter")
    expect(page.locator("#accept")).to_have_text("Undo accept")
    assert "len(xs)" in code_of(page)
    assert [accepted for _, accepted in told(fake, 1)] == [True]


def test_a_phone_shows_one_column_and_a_unified_view(view):
    page = view(width=360, height=740, has_touch=True)
    repaired(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    expect(page.locator("#comparison .cm-mergeView")).to_have_count(0)
    expect(page.locator("#comparison .cm-deletedChunk")).to_contain_text("len(x)")
    page.set_viewport_size({"width": 1280, "height": 800})
    expect(page.locator("#comparison .cm-mergeView")).to_have_count(1)


def test_markup_in_code_names_and_models_stays_text(view, fake):
    attack = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"
    fake.model = f"{attack} model"
    page = view()
    name = f"{attack}.py".replace("/", "-")
    give(page, CODE.replace("no numbers", attack).replace("len(x)", f"len(x)  # {attack}"), name)
    page.click("#repair")
    expect(page.locator("#status")).to_contain_text("Done")
    for path in (page.url, "/jobs"):
        page.goto(path)
        expect(page.get_by_text("<img src=x").first).to_be_attached()
        assert page.locator("img[src=x]").count() == 0
        assert "run" not in page.title()
    assert page.evaluate("document.querySelectorAll('script:not([nonce])').length") <= 1
    page.goto(f"/jobs/{next(iter(fake.running))}")
    expect(page.locator("#status")).to_contain_text("Done")
    assert name in page.locator("#code [role=tab]").all_inner_texts()
    expect(page.locator("#model")).to_have_value(fake.model)


def test_what_is_served_offline_only(view):
    asked = []
    page = view("/login")
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/")
    repaired(page)
    origin = re.match(r"http://[^/]+", page.url)[0]
    assert asked
    assert all(one.startswith((origin, "data:", "blob:")) for one in asked)
