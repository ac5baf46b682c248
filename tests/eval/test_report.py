import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from math import sqrt

import pytest

from eval.measurement import Status
from eval.report.diffs import diff_html
from eval.report.harness import harness_results, harness_samples, sanitized, standard_error
from eval.report.html import render_report
from eval.report.leaderboard import leaderboard
from eval.report.runs import read_runs
from eval.results import open_results
from eval.stats import Share
from repair.errors import InputError
from tests.eval.measured import CONDITIONS, diff, failed, mixed, run_of, solved, wrong

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u202e\x00\"'&"


class Page(HTMLParser):
    """Tags, their attributes and whether they nest."""

    VOID = frozenset({"meta", "input", "br", "line", "rect", "circle", "path", "polyline"})

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def of(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def page():
    return render_report([run_of(*mixed(40), failed("left", status=Status.LEFT_OUT, reason="the reference fails"))])


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(page):
    parsed = Page(page)
    assert parsed.open == []
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?\s*(?:https?:)?//", page)
    assert not re.search(r"@import|url\(", page)
    assert {tag for tag, _ in parsed.tags}.isdisjoint({"img", "link", "iframe", "object"})
    ids = [attrs["id"] for _, attrs in parsed.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [attrs["href"][1:] for attrs in parsed.of("a")]
    assert set(links) <= set(ids)


def test_settings_stand_before_any_figure(page):
    told = page[: page.index('class="tiles')]
    for words in ("location", "not given", "tests", "given to the repair", "60 (until 24 after", "6 a task", "small"):
        assert words in told
    assert "0123456789ab" in told
    assert "tier A" in told
    assert "%</b>" not in told.partition("<body>")[2].replace(" ", "")


def test_all_that_a_report_needs_is_there(page):
    for title in ("Within k candidates", "Fault located", "Calibration", "Seconds a task", "Test runs a task",
                  "Failure patterns", "Slices", "Chosen patch", "Reference"):  # fmt: skip
        assert title in page
    text = Page(page).text
    assert "20 of 40 [35.2, 64.8]" in text
    assert "% of scored tasks" in text
    assert "left-out: the reference fails" in text


def test_each_task_has_a_row_that_the_filter_can_find(page):
    rows = [attrs for attrs in Page(page).of("details") if attrs.get("class") == "task"]
    assert len(rows) == 41
    assert {row["data-status"] for row in rows} == {"repaired", "none-found", "left-out"}
    assert {"solved", "not-localized", "timed-out", "unreadable", "broken-row"} <= {r["data-pattern"] for r in rows}
    values = {attrs["value"] for attrs in Page(page).of("option")}
    assert {row["data-pattern"] for row in rows} <= values


def test_without_scripts_rows_are_open_to_all_and_the_filter_is_hidden(page):
    (form,) = Page(page).of("form")
    assert "hidden" in form
    assert not any("hidden" in attrs for attrs in Page(page).of("details"))


def test_hostile_results_stay_text():
    bad = run_of(
        solved(HOSTILE, diff=diff(after=HOSTILE), reference_diff=diff(after=HOSTILE), bug_type=HOSTILE),
        failed("f" + HOSTILE, bug_type=HOSTILE, reference_diff=HOSTILE, stop=HOSTILE, verdicts={HOSTILE: 3}),
        failed("g", status=Status.UNSCORED, reason=HOSTILE),
        suite=HOSTILE,
        model=HOSTILE,
        weights=HOSTILE,
    )
    page = render_report([bad], [[[HOSTILE] * 6]])
    parsed = Page(page)
    assert parsed.open == []
    assert len(parsed.of("script")) == 1
    assert not parsed.of("img")
    assert "alert(1)" not in page[page.index("<script>") :]
    assert not any(name.startswith("on") for _, attrs in parsed.tags for name in attrs)
    assert "\u202e" not in page
    assert "\x00" not in page


def test_only_our_script_may_run(page):
    import base64
    import hashlib

    script = re.search(r"<script>(.*?)</script>", page, re.S)[1]
    wanted = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(a["content"] for a in Page(page).of("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{wanted}'"


def test_five_hundred_tasks_with_long_diffs_stay_below_five_megabytes():
    long = diff("\n".join(["<&" * 120] * 200), "\n".join(["x = 1 if a < b else c"] * 200))
    rows = [replace(m, diff=long if m.diff else "", reference_diff=long) for m in mixed(500)]
    page = render_report([run_of(*rows)])
    assert len(page.encode()) < 5_000_000
    assert "more lines" in page


def test_several_runs_on_one_page():
    page = render_report([run_of(*mixed(6)), run_of(*mixed(6), suite="second", location="given")])
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert "given (perfect localization)" in page


def test_a_run_of_which_nothing_is_scored_is_a_page_too():
    page = render_report([run_of(failed("a", status=Status.UNSCORED, reason="no sandbox"))])
    assert "no sandbox" in page
    assert Page(page).open == []


def test_an_empty_diff_and_one_without_a_head():
    assert diff_html("", 1000, "No patch.") == '<p class="soft">No patch.</p>'
    assert '<span class="plus">+ x</span>' in diff_html("+x", 1000, "")


def test_leaderboard_is_sorted_and_marks_what_cannot_be_told_apart():
    rows = mixed(40, good=0.7)
    nearly = (*rows[:-1], solved("t39"))
    text = leaderboard(
        [
            run_of(*mixed(40, good=0.1), model="weak"),
            run_of(*rows, model="good"),
            run_of(*nearly, model="a|b <i>"),
        ]
    )
    lines = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in text.split("\n") if "| " in line]
    head, _, *rows = lines
    assert {len(row) for row in lines} == {len(head)}
    assert [row[0] for row in rows] == ["a\\|b &lt;i&gt;", "good", "weak"]
    assert [row[6] for row in rows] == ["", "=", ""]
    assert rows[1][5] == "70.0 % [54.6, 81.9]"


def test_leaderboard_without_common_tasks_looks_at_intervals():
    other = [solved("x"), failed("y"), failed("z")]
    text = leaderboard([run_of(solved("a"), solved("b")), run_of(*other)])
    assert "| ~ |" in text


def test_leaderboard_has_a_section_for_each_suite():
    text = leaderboard([run_of(solved("a")), run_of(solved("a"), suite="b")])
    assert text.count("\n## ") == 2


def test_harness_layout():
    run = run_of(*mixed(40), failed("left", status=Status.LEFT_OUT), suite="my suite")
    told = json.loads(json.dumps(harness_results([run], date=12.5)))
    (task,) = told["results"]
    assert task == "my__suite"
    metrics = told["results"][task]
    assert metrics["alias"] == task
    assert metrics["correct,none"] == 0.5
    assert metrics["correct_stderr,none"] == pytest.approx(sqrt(0.25 / 39))
    assert told["n-samples"][task] == {"original": 41, "effective": 40}
    assert told["higher_is_better"][task]["plausible"] is True
    assert told["versions"][task] == 1
    assert told["n-shot"][task] == 0
    assert told["configs"][task]["metadata"]["location"] == "not given"
    assert told["configs"][task]["metadata"]["wilson95"]["correct"] == pytest.approx([0.352, 0.648], abs=1e-3)
    assert told["model_name"] == "small"
    samples = list(harness_samples(run))
    assert len(samples) == 40
    assert sum(s["correct"] for s in samples) == 20
    assert samples[0]["filtered_resps"] == [diff()]
    assert len(samples[0]["doc_hash"]) == 64


def test_harness_files_are_of_one_configuration():
    with pytest.raises(InputError, match="one configuration"):
        harness_results([run_of(solved()), run_of(solved(), suite="b", seed=7)], 0.0)
    with pytest.raises(InputError, match="same suite"):
        harness_results([run_of(solved()), run_of(solved())], 0.0)


def test_standard_error_of_few():
    assert standard_error(Share(1, 1)) == "N/A"
    assert standard_error(Share(0, 10)) == 0.0


def test_names_of_files_cannot_leave_their_folder():
    assert sanitized("../../etc/pass wd") == "__..__etc__pass__wd"
    assert sanitized("..") == "model"


@pytest.fixture
def results(tmp_path):
    path = tmp_path / "out.jsonl"
    with open_results(path, CONDITIONS) as file:
        for row in (solved("a"), wrong("b")):
            file.add("suite", row)
    return path


def test_results_are_read_as_runs(results):
    summary = [{"suite": "suite", "sha256": "abc"}]
    results.with_suffix(".summary.json").write_text(json.dumps(summary))
    (run,) = read_runs(results)
    assert (run.suite, run.sha256, run.conditions) == ("suite", "abc", CONDITIONS)
    assert run.measurements == (solved("a"), wrong("b"))


def test_the_last_row_of_a_task_counts_and_a_torn_one_does_not(results):
    with open_results(results, CONDITIONS) as file:
        file.add("suite", solved("b"))
    with results.open("a") as stream:
        stream.write('{"suite": "suite", "id": "c"')
    (run,) = read_runs(results)
    assert run.measurements == (solved("a"), solved("b"))


def test_json_with_tasks_is_read(results, tmp_path):
    rows = [json.loads(line) for line in results.read_text().split("\n") if line]
    bare = [{k: v for k, v in row.items() if k not in ("suite", "conditions")} for row in rows]
    for n, content in enumerate(
        (rows, {"suite": "suite", "conditions": rows[0]["conditions"], "tasks": bare}, [{"tasks": rows}])
    ):
        path = tmp_path / f"{n}.json"
        path.write_text(json.dumps(content))
        assert [r.measurements for r in read_runs(path)] == [(solved("a"), wrong("b"))]


def test_sandbox_tiers_may_differ_other_conditions_may_not(results):
    with open_results(results, replace(CONDITIONS, tier="B")) as file:
        file.add("suite", solved("c"))
    assert read_runs(results)[0].conditions.tier == "A, B"
    with open_results(results, replace(CONDITIONS, seed=4)) as file:
        file.add("suite", solved("d"))
    with pytest.raises(InputError, match=r"out.jsonl: line 4 was measured with seed 4, line 1 with 0; keep"):
        read_runs(results)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.jsonl", "", "has no results"),
        ("a.jsonl", "\n\n", "has no results"),
        ("a.jsonl", "hello\n", "line 1 is no JSON"),
        ("a.jsonl", "3\n", "line 1 is no result"),
        ("a.jsonl", '{"id": "x"}\n', "line 1 is no result of `emend eval run` .it has no field 'suite'"),
        ("a.jsonl", '{"suite": "s", "conditions": {}, "id": "x", "status": "great"}\n', "line 1 .*'great'"),
        ("a.jsonl", '{"suite": "s", "conditions": {}, "id": "x", "status": "repaired", "fault_rank": 0}\n', "no rank"),
        ("a.jsonl", '{"suite": "s", "conditions": {}, "id": 5, "status": "repaired"}\n', "id is no text"),
        ("a.jsonl", '{"suite": "s", "conditions": {"tests": "?"}, "id": "", "status": "repaired"}\n', "tests is"),
        ("a.json", "[]", "has no results"),
        ("a.json", "{", "is no JSON"),
        ("a.json", '[{"suite": "s", "plausible": {"count": 3}}]', "is a summary, without the tasks"),
        ("a.json", '{"tasks": [7]}', "task 1 is no result"),
        ("a.jsonl", b"\xff\xfe\n", "not utf-8"),
    ],
)  # fmt: skip
def test_what_is_no_results_file_is_named(tmp_path, name, content, told):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=told) as caught:
        read_runs(path)
    assert str(path) in str(caught.value)
    assert caught.value.field == "results"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.jsonl: cannot be read"):
        read_runs(tmp_path / "nowhere.jsonl")
