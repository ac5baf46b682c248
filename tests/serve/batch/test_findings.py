"""The whole run as SARIF: valid by the official schema, with fixes that do what the patches do."""

import json
from urllib.parse import unquote

import pytest

from serve.batch.commits import GitCommits
from serve.batch.findings import sarif_text
from tests.serve.batch.outcomes import CHANGED, FILES, everything, make_repository, repaired
from tests.serve.test_sarif import applied, check_schema, schema  # noqa: F401 -- a fixture


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    root = tmp_path_factory.mktemp("origin") / "repo"
    return root, make_repository(root)


def log_of(origin, *, history):
    root, commit = origin
    commits = {"humanize": GitCommits(root / ".git")} if history else {}
    return json.loads(sarif_text(everything(root, commit), commits))


@pytest.fixture(scope="module", params=[True, False], ids=["with the history", "by the diffs"])
def log(origin, request):
    return log_of(origin, history=request.param)


def run_of(log, name):
    return next(run for run in log["runs"] if run["properties"]["repository"] == name)


def test_the_log_is_valid(log, schema):  # noqa: F811
    check_schema(log, schema)
    assert len({run["automationDetails"]["id"] for run in log["runs"]}) == len(log["runs"]) == 16


def test_a_log_of_nothing_is_valid(schema):  # noqa: F811
    check_schema(json.loads(sarif_text((), {})), schema)


def test_one_result_a_fault_at_its_top_line(log):
    run = run_of(log, "humanize")
    first = run["results"][0]
    where = first["locations"][0]["physicalLocation"]
    assert where["artifactLocation"]["uri"] == "humanize/number.py"
    assert where["region"]["startLine"] == 2
    assert first["rank"] == 70.0
    assert first["ruleId"] == "plausible-patch"
    assert "With this patch 2 failing tests pass" in first["message"]["text"]
    assert len(first["fixes"]) == 2  # and the alternative
    assert [r["ruleId"] for r in run["results"]].count("plausible-patch") == 6
    assert [r["ruleId"] for r in run["results"]].count("undecided-patch") == 1
    told = [note["message"]["text"] for note in run["invocations"][0]["toolExecutionNotifications"]]
    assert "A fault without a known place: Nothing was found for this one" in told
    assert len(run["results"]) + len(told) - 1 == 12


def test_fixes_do_what_the_patches_do(log):
    for result in run_of(log, "humanize")["results"]:
        for change in result["fixes"][0]["artifactChanges"]:
            path = unquote(change["artifactLocation"]["uri"])
            assert applied(FILES[path], change["replacements"]) == CHANGED[path], path


def test_refusals_are_notifications(log):
    (note,) = run_of(log, "r-04")["invocations"][0]["toolExecutionNotifications"]
    assert note["message"]["text"].startswith("no tests: No test was found")
    assert run_of(log, "r-04")["results"] == []


def test_a_history_gives_fingerprints_that_outlive_moves(origin):
    """With the file at hand it is the line's text that counts, not its number."""
    prints = [
        run_of(log_of(origin, history=known), "humanize")["results"][0]["partialFingerprints"]
        for known in (True, False)
    ]
    root, commit = origin
    same = json.loads(sarif_text((repaired(root, commit),), {"humanize": GitCommits(root / ".git")}))
    assert same["runs"][0]["results"][0]["partialFingerprints"] == prints[0]
