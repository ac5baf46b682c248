"""A real service with the embedded model: from a repair on the page to "Why?", and /v1/explanations itself."""

import json
import os
import re
import signal
import subprocess
import threading

import httpx
import pytest
from playwright.sync_api import expect

from serve.explaining.wire import EXPLANATIONS, ExplanationOut
from tests.serve.served import serving, wait_for
from tests.serve.web.test_repair_page import give

BODY = EXPLANATIONS["why"]["value"]


@pytest.fixture(scope="module")
def url():
    with serving("--sandbox-minimum", "C", EMEND_WORKERS="1") as address:
        yield address


def ask(url, **more):
    return httpx.post(f"{url}/v1/explanations", json={**BODY, **more}, timeout=120)


def untimed(answer):
    """An answer without what a clock says."""
    found = answer.json()
    found.pop("stages", None)
    for one in found["evidence"]:
        one.pop("seconds", None)
    return found


def explainers():
    """Processes that explain for a service of this run; others may run beside it."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [(int(pid), int(parent), args) for pid, parent, args in re.findall(r"^ *(\d+) +(\d+) (.*)$", listed, re.M)]
    parents = {pid: parent for pid, parent, _ in rows}

    def ours(pid):
        while pid in parents and pid != os.getpid():
            pid = parents[pid]
        return pid == os.getpid()

    return [pid for pid, _, args in rows if args.endswith("-m serve.explaining.worker") and ours(pid)]


def test_a_patch_of_the_page_is_explained(view):
    page = view()
    give(page)
    page.click("#repair")
    expect(page.locator("#status")).to_contain_text("Done", timeout=60_000)
    page.click("#why-link")
    expect(page.locator("#sentence")).to_contain_text(
        re.compile("Changed line|No reliable explanation"), timeout=60_000
    )
    expect(page.locator("#suspected-lines")).to_contain_text("Most suspected: line 5")
    expect(page.locator("#status")).to_contain_text("Explained by embedded", timeout=60_000)
    expect(page.get_by_role("tabpanel")).to_have_count(1)


def test_an_explanation_has_the_parts_that_were_asked_for(url):
    answer = ask(url, parts=["where", "evidence", "attention"], methods=["ablation"])
    assert answer.status_code == 200
    found = ExplanationOut.model_validate(answer.json())
    assert found.model == "embedded"
    assert max(found.where.lines, key=lambda line: line.calibrated).line == 2
    assert [one.method for one in found.evidence] == ["ablation"]
    assert found.attention is not None
    assert found.lens is None
    assert str(os.getcwd()) not in answer.text  # noqa: PTH109 - a text


def test_a_layer_that_is_not_there_is_named(url):
    answer = ask(url, parts=["attention"], layer=99)
    assert (answer.status_code, "99" in answer.json()["detail"]) == (422, True)


def test_who_loses_its_process_is_answered_by_another(url):
    ask(url, parts=["where"])
    before = explainers()
    answers = []
    body = {"parts": ["evidence"], "methods": ["ridge"], "error": "NameError: x"}
    asking = threading.Thread(target=lambda: answers.append(ask(url, **body)))
    asking.start()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    asking.join(120)
    assert answers[0].status_code == 200
    wait_for(lambda: explainers() and set(explainers()).isdisjoint(before))


def test_neutral_changes_change_nothing(url):
    asked = {"parts": ["where", "evidence"], "methods": ["gradient"]}
    neutral = {"adapter_scale": 1.0, "layers_off": [], "neurons": [{"layer": 0, "neuron": 3, "scale": 1.0}]}
    one, other = ask(url, **asked), ask(url, **asked, interventions=neutral)  # computed both times: keys differ
    assert json.dumps(untimed(one)) == json.dumps(untimed(other))
