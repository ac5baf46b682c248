"""Markdown that shows what a repository says and does nothing else; pull requests and the scripts beside them."""

import json
import re
import shlex
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from serve.batch.branches import Branch
from serve.batch.markdown import markdown_report
from serve.batch.markup import NOTHING, code, fence, folded, prose, table
from serve.batch.pullrequests import LARGEST, pull_requests
from serve.batch.report import RunInfo
from tests.serve.batch.outcomes import HOSTILE, RUN, everything, hostile, repaired

PARSER = MarkdownIt("gfm-like", {"html": True, "linkify": False})
TEXTS = st.text(alphabet="`|\\<>[]()*_#@:/ -+1.)\n\r\t~&!a\u202e\x1b", max_size=30)
COMMIT = "a" * 40


def tokens(markdown):
    found = []
    for token in PARSER.parse(markdown):
        found += [token, *(token.children or ())]
    return found


def spans(markdown):
    return [t.content for t in tokens(markdown) if t.type == "code_inline"]


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_a_code_span_holds_the_whole_text(text):
    shown = code(text)
    if shown != NOTHING:
        for where in (f"## x {shown} y\n", f"- {shown}\n", table(("a", "b"), [(shown, "c")])):
            (content,) = spans(where)
            assert content.split() == shown.strip("`").split()
        assert [t.type for t in tokens(f"- {shown}")].count("code_inline") == 1


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_prose_is_only_text(text):
    shown = prose(text)
    for where in (f"{shown}\n", f"- {shown}\n", table(("a", "b"), [(shown, "c")])):
        kinds = {t.type for t in tokens(where)}
        allowed = {"text", "text_special", "inline", "code_inline", "paragraph_open", "paragraph_close"}
        about = {"bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close"}
        assert {k for k in kinds - allowed - about if not re.match("(table|thead|tbody|tr|th|td)_", k)} == set()
        assert sum(t.type == "list_item_open" for t in tokens(where)) == where.startswith("- ")
        assert sum(t.type == "td_open" for t in tokens(where)) in (0, 2)
    told = [t for t in tokens(f"{shown}\n") if t.type in ("text", "text_special", "code_inline")]
    outside = "".join("□" if t.type == "code_inline" else t.content for t in told)
    assert not re.search("[@#]|://", outside)


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_a_fence_holds_the_whole_text(text):
    shown = fence(text, "diff")
    if shown:
        assert [t.type for t in PARSER.parse(f"a\n\n{shown}\nb\n")].count("fence") == 1
        assert [t.type for t in PARSER.parse(f"a\n\n{shown}\nb\n")][-3:] == [
            "paragraph_open",
            "inline",
            "paragraph_close",
        ]


def test_a_long_block_says_what_is_left_out():
    assert fence("a\n" * 1000, "", 2) == "```\na\na\n… 998 lines left out\n```\n"
    assert "(600 characters more)" in fence("x" * 1000)


def html_of(markdown):
    return [t.content for t in tokens(markdown) if t.type in ("html_block", "html_inline")]


@pytest.fixture(scope="module")
def report():
    return markdown_report(everything("/srv/h", COMMIT), RUN)


def test_the_report_has_no_html_but_ours(report):
    bare = re.sub(
        r"</?details>|<summary>(The test|\d+ other candidates? that passed the same tests)</summary>",
        "",
        "".join(html_of(report)),
    )
    assert bare.strip() == ""
    assert not {t.type for t in tokens(report)} & {"link_open", "image"}
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", report)


def test_the_report_tells_of_every_repository_and_fault(report):
    rows = [line for line in report.split("\n") if line.startswith("| `r-")]
    assert len(rows) == 2 * 13
    assert "| `humanize` | partly repaired | 700 | 13 | 12 | 6 + 1 proposed | 12 | 30 |" in report
    assert report.count("\n### Fault ") == 14
    assert "No patch: no candidate passed" in report
    assert "| `r-04` | no tests | No test was found in tests/" in report
    assert not re.search(r"\b(proved|proven|guaranteed)\b", report)


def test_the_report_is_bounded(monkeypatch):
    many = [repaired("/srv/h", COMMIT, f"n{n:04}") for n in range(300)]
    monkeypatch.setattr("serve.batch.markdown.LARGEST", 200_000)
    report = markdown_report(many, RUN)
    assert len(report) < 201_000
    assert "repositories with faults left out to keep this file small" in report
    assert report.count("| partly repaired |") == 300


def test_a_pull_request_has_what_a_reviewer_needs():
    requests = pull_requests(repaired("/srv/h", COMMIT), RUN)
    assert [r.number for r in requests] == [1, 2, 3, 4, 5, 6]  # 8 is only proposed
    first = requests[0]
    assert first.title == "Fix ordinal in humanize/number.py"
    assert (first.head, first.base) == ("emend/01-ordinal-in-humanize-number-py", "main")
    for wanted in (
        "- `tests/test_number.py::test_zero`", "ZeroDivisionError: division by zero", "+    return 10 / n if n else 0",
        "| passing tests that were run again | 688 |", "With this patch 2 failing tests pass;",
        "1 other candidate passed the same tests", "review it before you merge",
        "| `humanize/number.py:2` | 0.70 | last line of the traceback; changed two commits ago |",
    ):  # fmt: skip
        assert wanted in first.body, wanted
    assert "A test was written that fails" in requests[2].body
    assert not re.search(r"\b(correct|proved|proven)\b", first.body)


def test_a_written_branch_is_the_head():
    branches = (Branch("k1", "emend/x-2", "c" * 40), Branch("k2", "emend/y", "", reason="no"))
    first, second, *_ = pull_requests(repaired("/srv/h", COMMIT), RUN, branches)
    assert first.head == "emend/x-2"
    assert second.head == "emend/02-assertionerror-in-uni"


def test_nothing_gets_out_of_a_pull_request(tmp_path):
    (request,) = pull_requests(hostile(), RUN)
    assert set("".join(html_of(request.body)).replace("\n", "|").split("|")) <= {
        "<details>", "<summary>The test</summary>", "<summary>Show</summary>", "</details>", "",
    }  # fmt: skip
    assert not {t.type for t in tokens(request.body)} & {"link_open", "image"}
    files = request.files("hostile")
    assert sorted(files) == ["hostile/01.json", "hostile/01.md", "hostile/01.sh"]
    told = json.loads(files["hostile/01.json"])
    assert told["body"].encode() == files["hostile/01.md"]
    assert "\n" not in told["title"] and "\x1b" not in told["title"]


def test_the_script_says_what_it_means_to_a_real_shell(tmp_path):
    """git and gh are replaced by programs that print what they were given."""
    (request,) = pull_requests(hostile(), RUN)
    script = tmp_path / "it's here" / "01.sh"
    script.parent.mkdir()
    script.write_bytes(request.files("hostile")["hostile/01.sh"])
    for name in ("git", "gh"):
        (tmp_path / name).write_text('#!/bin/sh\nfor a; do printf "%s\\n" "$a"; done\n')
        (tmp_path / name).chmod(0o755)
    run = {"PATH": f"{tmp_path}:/usr/bin:/bin", "REMOTE": "mine"}
    done = subprocess.run(["/bin/sh", str(script)], capture_output=True, text=True, env=run, cwd=tmp_path, check=True)
    ref = f"refs/heads/{request.head}"
    assert done.stdout.split("\n") == [
        "push", "--", "mine", f"{ref}:{ref}", "pr", "create", f"--head={request.head}", f"--base={request.base}",
        f"--title={request.title}", f"--body-file={script.parent}/01.md", "",
    ]  # fmt: skip
    assert shlex.quote(f"--title={request.title}") in script.read_text()
    assert HOSTILE.split("\n")[0] not in script.read_text()


def test_a_huge_diff_does_not_make_a_huge_body():
    outcome = repaired("/srv/h", COMMIT)
    fix = outcome.fixes[0]
    long = fix.diff + "".join(f"+{'x' * 350}{n}\n" for n in range(5000))
    from dataclasses import replace

    one = replace(outcome, fixes=(replace(fix, diff=long, alternatives=(long,) * 9),))
    (request,) = pull_requests(one, RunInfo("1"))
    assert len(request.body) < LARGEST
    assert "lines left out" in request.body


def test_folding_keeps_blocks_apart():
    assert [t.type for t in PARSER.parse(folded("x", fence("a")))] == ["html_block", "fence", "html_block"]
