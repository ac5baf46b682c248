"""The pages "Why?" and "Model" in a real browser, over an explanation made by hand."""

import json

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from serve.wire import RepairOut
from tests.serve.web.fake_api import CODE, ERROR
from tests.serve.web.test_repair_page import give

DIFF = """--- a/mean.py
+++ b/mean.py
@@ -4,2 +4,3 @@
         raise ValueError("no numbers")
-    return sum(xs) / len(x)
+    count = len(xs)
+    return sum(xs) / count
"""


def explained_from_the_list(view, fake):
    """The page "Why?" of the best candidate of a repair."""
    page = view()
    give(page)
    page.click("#repair")
    expect(page.locator("#status")).to_contain_text("Done")
    page.click("#why-link")
    page.wait_for_url("**/why?job=*")
    expect(page.locator("#status")).to_contain_text("Explained by embedded")
    return page


def hand(page, diff=DIFF, link="/why"):
    """Hand a patch over, as the candidates do."""
    request = {"files": [{"path": "mean.py", "text": CODE}], "error": ERROR, "budget": {"seconds": 3}}
    given = json.dumps({"link": link, "request": request, "diff": diff})
    page.evaluate("given => sessionStorage.setItem('emend-why', given)", given)
    page.goto(link)


def findings(page):
    found = Axe().run(page).response["violations"]
    return [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found]


def test_a_candidate_is_explained_the_cheap_parts_first(view, fake):
    page = explained_from_the_list(view, fake)
    expect(page.locator("#sentence")).to_contain_text("Changed line 13 because line 10 says")
    expect(page.locator("#badge")).to_have_text("faithful")
    expect(page.locator("#diff tr.plus")).to_contain_text("per_kilo")
    expect(page.locator("#tests-said")).to_contain_text("3 passed, 0 failed in 2 runs")
    expect(page.locator("#suspected-lines")).to_contain_text("Most suspected: line 13 (48 %)")
    expect(page.locator("#tabs [role=tab]")).to_have_text(["Tokens", "Attention", "Lens", "Activations"])
    headings = page.locator("main h2").all_inner_texts()
    assert headings == ["The change and its evidence", "Tests", "Where the fault is believed to be", "Inside the model"]
    (job,) = fake.running
    asked = fake.glass.asked
    assert [one.parts for one in asked] == [["where", "evidence"], ["tokens", "attention", "lens", "activations"]]
    assert {one.journal for one in asked} == {job}
    assert "+    return sum(xs) / len(xs)" in asked[0].patch
    assert asked[0].files[0].text == CODE


def test_a_shared_link_finds_the_patch_by_its_number(view, fake):
    page = explained_from_the_list(view, fake)
    (one,) = fake.running.values()
    result = json.loads(next(data for name, data in one.events if name == "result"))
    one.out = one.out.model_copy(update={"result": RepairOut.model_validate(result)})
    fake.glass.asked.clear()
    other = view(page.url.replace("patch=0", "patch=1"))
    expect(other.locator("#sentence")).to_contain_text("Changed line 13")
    assert fake.glass.asked[0].patch == result["patches"][1]["diff"]
    other.goto(page.url.replace("patch=0", "patch=77"))
    expect(other.get_by_role("alert")).to_contain_text("The job has no candidate 78")


def test_a_new_line_is_explained_alone(view, fake):
    page = view("/why")
    expect(page.locator("#status")).to_contain_text("There is no patch here yet")
    hand(page)
    expect(page.locator("#status")).to_contain_text("Explained by")
    expect(page.locator("#tests-said")).to_contain_text("No test was run")
    page.get_by_label("return sum(xs) / count").check()
    expect(page.locator("#sentence")).to_contain_text("[2]")
    page.keyboard.press("ArrowUp")
    expect(page.locator("#sentence")).to_contain_text("[1]")
    assert [(one.parts, one.target.line) for one in fake.glass.asked[2:]] == [(["evidence"], 2), (["evidence"], 1)]


def test_what_failed_is_not_shown_as_a_reason(view, fake):
    fake.glass.trust = "failed"
    page = view("/why")
    hand(page)
    expect(page.locator("#badge")).to_have_text("no reliable explanation")
    expect(page.locator("#sentence")).to_have_text("No reliable explanation was found for this patch.")


def test_tabs_work_by_keyboard(view, fake):
    page = view("/why")
    hand(page)
    page.get_by_role("tab", name="Tokens").click()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("tab", name="Activations")).to_be_focused()
    expect(page.get_by_role("tabpanel")).to_have_count(1)
    expect(page.get_by_role("tabpanel")).to_contain_text("layer")
    page.keyboard.press("Home")
    expect(page.get_by_role("tab", name="Tokens")).to_have_attribute("aria-selected", "true")


def asked_model(view, fake):
    page = view("/model")
    page.fill("#path", "mean.py")
    page.fill("#code", CODE)
    page.fill("#error", ERROR)
    page.fill("#patch", DIFF)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#status")).to_have_text("embedded has answered.")
    return page


def last(fake):
    return fake.glass.asked[-1]


def test_the_model_is_changed_live(view, fake):
    page = asked_model(view, fake)
    assert [one.parts[0] for one in fake.glass.asked] == ["where", "evidence"]
    assert last(fake).methods == ["gradient"]
    expect(page.locator("#comparison")).to_contain_text("What was changed")
    expect(page.locator("#head-grid input")).to_have_count(6 * 9)
    page.locator("#adapter_scale").press("ArrowLeft")
    page.get_by_label("layer 2, head 1 off").check()
    page.get_by_label("layer 4 off").check()
    page.fill("#neurons", "2.17, 3.4*0.5")
    expect(page.locator("#status")).to_contain_text("Changed")
    page.wait_for_function("!document.body.classList.contains('live')")
    changes = last(fake).interventions
    assert (changes.adapter_scale, changes.heads_off, changes.layers_off) == (0.95, [[2, 1]], [4])
    assert [(one.layer, one.neuron, one.scale) for one in changes.neurons] == [(2, 17, 0), (3, 4, 0.5)]
    assert last(fake).parts == ["where", "live"]


def settled(page, fake, condition):
    """Wait until the last question is as it should be."""
    for _ in range(200):
        if fake.glass.asked and condition(last(fake)):
            return
        page.wait_for_timeout(25)
    raise AssertionError(last(fake))


def test_lines_of_the_prompt_are_edited_and_taken_out(view, fake):
    page = asked_model(view, fake)
    page.locator("#context > summary").click()
    page.get_by_label("Take line 8 out or back").click()
    page.get_by_label("error of the prompt").fill("KeyError: 1")
    settled(page, fake, lambda one: len(one.interventions.edits) == 2)
    edits = last(fake).interventions.edits
    assert {(one.kind, one.number, one.text) for one in edits} == {("code", 8, ""), ("error", 1, "KeyError: 1")}
    page.get_by_label("Take line 8 out or back").click()
    settled(page, fake, lambda one: len(one.interventions.edits) == 1)


def test_state_is_in_the_address_and_reset_is_neutral(view, fake):
    page = asked_model(view, fake)
    page.locator("#top_p").press("ArrowLeft")
    page.get_by_label("layer 1, head 0 off").check()
    settled(page, fake, lambda one: one.interventions.heads_off == [[1, 0]])
    other = view(page.url)
    expect(other.locator("#status")).to_have_text("embedded has answered.")
    assert other.input_value("#code") == CODE
    assert other.input_value("#top_p") == "0.95"
    assert other.get_by_label("layer 1, head 0 off").is_checked()
    live = next(one for one in reversed(fake.glass.asked) if "live" in one.parts)
    assert (live.interventions.top_p, live.interventions.heads_off) == (0.95, [[1, 0]])
    other.click("#reset")
    settled(other, fake, lambda one: "live" in one.parts and not one.interventions.value().inside)
    assert not other.get_by_label("layer 1, head 0 off").is_checked()
    assert last(fake).interventions == type(last(fake).interventions)()


def test_the_head_grid_is_one_stop_and_moves_by_arrows(view, fake):
    page = asked_model(view, fake)
    page.get_by_label("layer 0 off").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_label("layer 1, head 0 off")).to_be_focused()
    page.keyboard.press("Space")
    settled(page, fake, lambda one: one.interventions.heads_off == [[1, 0]])
    assert page.locator("#head-grid input[tabindex='0']").count() == 1


def test_layer_head_and_method_are_looked_at(view, fake):
    page = asked_model(view, fake)
    page.select_option("#layer", "3")
    page.select_option("#head", "5")
    settled(page, fake, lambda one: (one.parts, one.layer, one.head) == (["attention"], 3, 5))
    page.select_option("#method", "ablation")
    settled(page, fake, lambda one: (one.parts, one.methods) == (["evidence"], ["ablation"]))


def test_a_refusal_and_a_wrong_neuron_are_said(view, fake, troubles):
    page = asked_model(view, fake)
    page.fill("#neurons", "two")
    expect(page.get_by_role("alert")).to_contain_text("“two” is no neuron")
    fake.glass.refuse = "there is no head 9"
    page.fill("#neurons", "")
    expect(page.get_by_role("alert")).to_contain_text("There is no head 9")
    assert all("422" in text for text in troubles)
    troubles.clear()


def test_a_patch_is_taken_over_from_why(view, fake):
    page = view("/why")
    hand(page)
    expect(page.locator("#status")).to_contain_text("Explained by")
    page.click("#to-model")
    expect(page.locator("#status")).to_have_text("embedded has answered.")
    assert page.input_value("#patch") == DIFF
    assert page.input_value("#error") == ERROR


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_a_phone_needs_no_sideways_scrolling(view, fake, scheme):
    page = view("/why", scheme=scheme)
    hand(page)
    expect(page.locator("#status")).to_contain_text("Explained by")
    pages = [page, asked_model(lambda path: view(path, scheme=scheme), fake)]
    pages[1].locator("#context > summary").click()
    for one in pages:
        one.evaluate("document.querySelectorAll('[role=tabpanel]').forEach(panel => { panel.hidden = false; })")
        one.set_viewport_size({"width": 400, "height": 800})
        assert findings(one) == []
        assert one.evaluate("document.documentElement.scrollWidth") == 400
