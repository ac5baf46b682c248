"""SARIF out, checked by the official schema, and in; GitHub's workflow commands; the commands that use them."""

import json
import re
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repair.candidates import Candidate
from repair.defects import Budget, Diagnostic, Location
from repair.edits import Edit, FilePatch, Patch, Span
from repair.errors import InputError, NothingToRepair
from repair.sources import Source
from repair.verdicts import Judgement, Suspect, Verdict
from serve.alerts import alert_request, lines_of, read_alerts
from serve.commands import fix, locate
from serve.commands.given import Given
from serve.findings import Finding, findings_of, github_commands
from serve.sarif import FINGERPRINT, fingerprint, region, sarif_log

CODE = 'def f(x):\n    s = "𝟙é"; return x + 1\n\n\ndef g(x):\n    return x\n'
PATH = "dir with space/ü:%.py"
SOURCE = Source(PATH, CODE)
SOURCES = {PATH: SOURCE, "b.py": Source("b.py", "y = 1\n")}
SCHEMA_PACKAGE = "@microsoft/jest-sarif@1.0.0-beta.0"  # ships the schema, as published by OASIS


def at(text, source=SOURCE):
    start = source.text.index(text)
    return Span(start, start + len(text))


def judged(verdict, *files, score=-1.0):
    reason = "the tests pass" if verdict is Verdict.PLAUSIBLE else ""
    return Judgement(Candidate(Patch(files), "model", score), verdict, (), reason)


PLUS = FilePatch(PATH, (Edit(at("+"), "-"), Edit(Span(len(CODE), len(CODE)), "# 𝟙\n")))
PLAUSIBLE = judged(Verdict.PLAUSIBLE, PLUS, FilePatch("b.py", (Edit(Span(0, 1), ""),)))
UNDECIDED = judged(Verdict.UNDECIDED, FilePatch(PATH, (Edit(at("return x\n"), "return x, x\n"),)))
UNFIXED = judged(Verdict.UNFIXED, FilePatch("b.py", (Edit(Span(4, 5), "2"),)))
SUSPECTS = (
    Suspect(PATH, at("return x + 1"), 2, 0.61234, ("in the traceback", "named")),
    Suspect("b.py", Span(0, 5), 1, 0.1),
)
FINDINGS = findings_of(SUSPECTS, (PLAUSIBLE, UNDECIDED, UNFIXED), SOURCES)


@pytest.fixture(scope="session")
def schema(tmp_path_factory):
    """The official schema, out of a package of npm's registry."""
    folder = tmp_path_factory.mktemp("schema")
    command = ["npm", "pack", "--silent", "--fetch-retries=0", "--fetch-timeout=20000", SCHEMA_PACKAGE]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"npm cannot fetch the schema: {error}")
    if done.returncode:
        pytest.skip(f"the registry does not answer: {done.stderr[-300:]}")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        content = archive.extractfile("package/lib/schemas/sarif-2.1.0-rtm.5.json").read()
    return json.loads(content)


def check_schema(log, schema):
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft4Validator(schema, format_checker=jsonschema.Draft4Validator.FORMAT_CHECKER)
    assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(log)] == []


def test_a_log_is_valid(schema):
    log = sarif_log(FINDINGS, SOURCES, notes=("a note",))
    check_schema(json.loads(json.dumps(log)), schema)
    check_schema(sarif_log((), {}), schema)
    broken = sarif_log(FINDINGS, SOURCES)
    broken["runs"][0]["results"][0]["fixes"][0]["artifactChanges"][0]["replacements"][0].pop("deletedRegion")
    with pytest.raises(AssertionError, match="deletedRegion"):
        check_schema(broken, schema)


def test_findings_put_patches_to_their_place():
    assert [(f.rule, f.path, f.level, f.share) for f in FINDINGS] == [
        ("plausible-patch", PATH, "error", 0.61234),
        ("undecided-patch", PATH, "warning", None),
        ("suspect", "b.py", "note", 0.1),
    ]
    assert FINDINGS[0].patches == (PLAUSIBLE,)


def results():
    return sarif_log(FINDINGS, SOURCES)["runs"][0]["results"]


def test_results_say_where_how_much_and_why():
    first, second, third = results()
    where = first["locations"][0]["physicalLocation"]
    assert where["artifactLocation"] == {"uri": "dir%20with%20space/%C3%BC%3A%25.py", "uriBaseId": "SRCROOT"}
    assert unquote(where["artifactLocation"]["uri"]) == PATH
    assert first["rank"] == 61.234
    assert "in the traceback; named" in first["message"]["text"]
    assert "the tests pass" in first["message"]["text"]
    assert "rank" not in second
    assert "fixes" not in third
    rules = sarif_log((), {})["runs"][0]["tool"]["driver"]["rules"]
    assert [rules[r["ruleIndex"]]["id"] for r in results()] == [r["ruleId"] for r in results()]


def applied(text, replacements):
    """Apply SARIF replacements the way a viewer does that counts UTF-16 code units."""
    lines = text.split("\n")

    def offset(line, column):
        before = sum(len(x.encode("utf-16-le")) // 2 + 1 for x in lines[: line - 1])
        return 2 * (before + column - 1)

    units = text.encode("utf-16-le")
    for one in reversed(replacements):
        gone = one["deletedRegion"]
        start = offset(gone["startLine"], gone["startColumn"])
        end = offset(gone["endLine"], gone["endColumn"])
        units = units[:start] + one.get("insertedContent", {"text": ""})["text"].encode("utf-16-le") + units[end:]
    return units.decode("utf-16-le")


def test_fixes_do_what_the_patch_does():
    (fix_,) = results()[0]["fixes"]
    texts = {path: source.text for path, source in SOURCES.items()}
    changed = {
        unquote(change["artifactLocation"]["uri"]): applied(
            texts[unquote(change["artifactLocation"]["uri"])], change["replacements"]
        )
        for change in fix_["artifactChanges"]
    }
    assert changed == PLAUSIBLE.candidate.patch.apply(texts)
    assert "insertedContent" not in fix_["artifactChanges"][0]["replacements"][0]  # b.py: only deleted


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="a𝟙é\n", max_size=30), st.data())
def test_any_edit_survives_the_way_through_sarif(text, data):
    start = data.draw(st.integers(0, len(text)))
    edit = Edit(Span(start, data.draw(st.integers(start, len(text)))), data.draw(st.text(alphabet="b𝟚\n", max_size=5)))
    source = Source("a.py", text)
    replacement = {"deletedRegion": region(source, edit.span), "insertedContent": {"text": edit.text}}
    assert applied(text, [replacement]) == FilePatch("a.py", (edit,)).apply(text)


def test_fingerprints_outlive_moves():
    moved = Source("a.py", "import os\n\n" + "x = 1\nx = 1\n")
    before = Source("a.py", "x = 1\nx  =  1\n")
    assert fingerprint(before, 1) == fingerprint(moved, 3)
    assert fingerprint(before, 2) == fingerprint(moved, 4)
    assert fingerprint(before, 1) != fingerprint(before, 2)
    assert fingerprint(before, 1) != fingerprint(Source("b.py", before.text), 1)
    assert all(result["partialFingerprints"][FINGERPRINT] for result in results())


def test_github_commands_are_escaped():
    finding = Finding("a,b:c%.py", Span(0, 3), "50 %\r\nof: it", 0.5)
    (line,) = github_commands((finding,), {finding.path: Source(finding.path, "x=1\n")})
    assert line == ("::notice file=a%2Cb%3Ac%25.py,line=1,endLine=1,title=Suspect::50 %25%0D%0Aof: it")
    patched = next(iter(github_commands(FINDINGS, SOURCES)))
    assert patched.startswith("::error file=dir with space/")
    assert "%0A-    s = " in patched
    assert "\n" not in patched


def alert(uri="a.py", where=None, message=None, **result):
    physical = {"artifactLocation": {"uri": uri} if isinstance(uri, str) else uri, **(where or {})}
    told = message or {"text": "bad"}
    return {"message": told, "locations": [{"physicalLocation": physical}], **result}


def log(*found, **run):
    tool = {"driver": {"name": "lint", "rules": run.pop("rules", [])}}
    return json.dumps({"version": "2.1.0", "runs": [{"tool": tool, "results": list(found), **run}]})


def paths(text, **options):
    return [one.path for one in read_alerts(text, **options)]


def test_alerts_are_read():
    rules = [
        {"id": "R1", "messageStrings": {"m": {"text": "{0} is no {1}"}}, "defaultConfiguration": {"level": "error"}}
    ]
    place = {"region": {"startLine": 2, "startColumn": 3}}
    message = {"id": "m", "arguments": ["x", "int"]}
    first, second = read_alerts(
        log(alert(where=place, ruleId="R1", ruleIndex=0, message=message), alert("b.py", level="note"), rules=rules)
    )
    assert (first.path, first.rule, first.level, first.message) == ("a.py", "R1", "error", "x is no int")
    assert (first.tool, first.place, first.region.startLine) == ("lint", "run 0, result 0", 2)
    assert (second.level, second.rule, second.place) == ("note", "", "run 0, result 1")


def test_alerts_of_several_runs_each_once():
    one, two = json.loads(log(alert(), alert())), json.loads(log(alert("b.py")))
    found = read_alerts(json.dumps({"version": "2.1.0", "runs": [*one["runs"], *two["runs"]]}))
    assert [(a.path, a.place) for a in found] == [("a.py", "run 0, result 1"), ("b.py", "run 1, result 0")]


@pytest.mark.parametrize(
    "result", [{"kind": "pass"}, {"suppressions": [{"kind": "inSource"}]}, {"baselineState": "absent"}]
)
def test_what_complains_of_nothing_is_left_out(result):
    assert read_alerts(log(alert(**result))) == ()


BASES = {
    "ROOT": {"uri": "file:///ci/build/"},
    "SRC": {"uri": "src/my%20lib/", "uriBaseId": "ROOT"},
    "HERE": {"uri": "src/"},
    "TOP": {"description": {"text": "the root"}},
}


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("src/%C3%BC%20x.py", "src/ü x.py"),
        ("./src/a.py", "src/a.py"),
        ({"uri": "a.py", "uriBaseId": "SRC"}, "src/my lib/a.py"),
        ({"uri": "a.py", "uriBaseId": "HERE"}, "src/a.py"),
        ({"uri": "a.py", "uriBaseId": "TOP"}, "a.py"),
        ({"uri": "a.py", "uriBaseId": "UNKNOWN"}, "a.py"),
        ({"uri": "file:///ci/build/x/a.py", "uriBaseId": "ROOT"}, "x/a.py"),
        ("file:///home/me/project/lib/a.py", "lib/a.py"),
        ({"index": 0}, "deep/er/a.py"),
        ("a%2525.py", "a%25.py"),
    ],
)
def test_locations_become_paths_of_the_project(location, path, tmp_path):
    text = log(alert(location), originalUriBaseIds=BASES, artifacts=[{"location": {"uri": "deep/er/a.py"}}])
    assert paths(text, root=Path("/home/me/project")) == [path]


@pytest.mark.parametrize(
    "location",
    [
        "../a.py", "%2e%2e/a.py", "a/..%2f..%2fb.py", "/etc/passwd", "//host/a.py", "file:///etc/passwd", "https://h/a.py",
        "file://host/ci/build/a.py", "a%00.py", "a%5cb.py", "%ff.py", "C:/a.py", "file:///C:/a.py", "", ".",
        {"uri": "../../../etc/passwd", "uriBaseId": "ROOT"}, {"uri": "..%2f..%2fa.py", "uriBaseId": "HERE"},
        {"uri": "a.py", "uriBaseId": "LOOP"}, {"index": 1}, {},
    ],
)  # fmt: skip
def test_places_outside_of_the_project_are_refused(location):
    bases = {**BASES, "LOOP": {"uri": "x/", "uriBaseId": "LOOP"}}
    text = log(alert(), alert(location), originalUriBaseIds=bases, artifacts=[{}, {"parentIndex": 0}])
    with pytest.raises(InputError, match="run 0, result 1: ") as caught:
        read_alerts(text)
    assert caught.value.field == "sarif.runs.0.results.1"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", "sarif"),
        ("[]", "sarif"),
        ('{"version": "2.0.0", "runs": []}', "sarif.version"),
        ('{"version": "2.1.0"}', "sarif.runs"),
        (log(alert(where={"region": {"startLine": 0}})), "sarif.runs.0.results.0.locations.0.physicalLocation"),
        (log({"message": {"text": "x"}}), "sarif.runs.0.results.0"),
        ("[" * 100_000, "sarif"),
        ('{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "\ud800"}}}]}', "sarif"),
    ],
)
def test_what_is_no_sarif_is_refused(text, field):
    with pytest.raises(InputError) as caught:
        read_alerts(text)
    assert caught.value.field.startswith(field)


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_nothing_else_is_raised(data):
    tree = json.loads(log(alert(where={"region": {"startLine": 1}}, rule={"index": 0}), originalUriBaseIds=BASES))
    at_ = tree
    while True:
        key = data.draw(st.sampled_from(sorted(at_) if isinstance(at_, dict) else range(len(at_))))
        if isinstance(at_[key], dict | list) and at_[key] and data.draw(st.booleans()):
            at_ = at_[key]
            continue
        at_[key] = data.draw(VALUES)
        break
    try:
        for one in read_alerts(json.dumps(tree)):
            lines_of(one, SOURCE)
    except InputError as error:
        assert error.field.startswith("sarif")


@pytest.mark.parametrize(
    ("where", "lines"),
    [
        ({"startLine": 2}, (2, 2)),
        ({"startLine": 1, "endLine": 3, "endColumn": 1}, (1, 2)),
        ({"startLine": 5, "endLine": 99}, (5, 6)),
        ({"startLine": 99}, None),
        ({}, None),
        ({"charOffset": CODE.index("def g") + 1, "charLength": 5}, (5, 5)),  # one more unit for the 𝟙 before
    ],
)
def test_lines_of_an_alert(where, lines):
    (one,) = read_alerts(log(alert(where={"region": where}), columnKind="utf16CodeUnits"))
    assert lines_of(one, SOURCE) == lines


def test_an_alert_becomes_evidence_with_its_place():
    column = CODE.split("\n")[1].index("return") + 1
    place = {"region": {"startLine": 2, "startColumn": column + 1}}
    (one,) = read_alerts(log(alert(PATH.replace(":", "%3A").replace("%.", "%25."), place, ruleId="W1"),
                             columnKind="utf16CodeUnits"))  # fmt: skip
    request = alert_request(one, SOURCE, Budget(5, 5))
    assert request.location == Location(PATH, 2, 2)
    assert request.defect.evidence == (Diagnostic(PATH, 2, "bad", column, "W1", "lint", "warning"),)


def test_what_we_write_we_read():
    found = read_alerts(json.dumps(sarif_log(FINDINGS, SOURCES)))
    assert [(a.path, a.rule, lines_of(a, SOURCES[a.path])) for a in found] == [
        (PATH, "plausible-patch", (2, 2)),
        (PATH, "undecided-patch", (6, 6)),
        ("b.py", "suspect", (1, 1)),
    ]


CALC = "def add(a, b):\n    return a - b\n\n\ndef mean(xs):\n    return sum(xs) / len(x)\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "calc.py").write_text(CALC)
    (tmp_path / "test_calc.py").write_text("from calc import add\n\n\ndef test_add():\n    assert add(2, 3) == 5\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asked(*names, **fields):
    base = {"error": None, "test": None, "candidates": 8, "seconds": 60.0, "model": "none", "adapter": None,
            "python": Path(sys.executable), "sandbox_minimum": "C", "unsafe_no_sandbox": False}  # fmt: skip
    return Given(tuple(map(Path, names)), **{**base, **fields})


NAME_ERROR = (
    "Traceback (most recent call last):\n  File \"calc.py\", line 6, in mean\nNameError: name 'x' is not defined"
)


def test_fix_tells_in_sarif(project, capfd, schema):
    assert fix.run(asked("calc.py", error=NAME_ERROR), output="sarif") == 0
    told = json.loads(capfd.readouterr().out)
    check_schema(told, schema)
    found = told["runs"][0]["results"]
    texts = [applied(CALC, f["artifactChanges"][0]["replacements"]) for r in found for f in r.get("fixes", [])]
    assert CALC.replace("len(x)", "len(xs)") in texts
    assert str(project) not in json.dumps(told)


def test_fix_tells_github(project, capfd):
    assert (
        fix.run(
            asked("calc.py", test="PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest -q test_calc.py"), output="github"
        )
        == 0
    )
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].startswith("::error file=calc.py,line=2,endLine=2,title=Patch by Emend::Plausible patch")
    assert all(re.match(r"::(error|warning|notice) file=calc\.py,", line) for line in lines)


def test_locate_tells_in_sarif(project, capfd, schema):
    assert locate.run(asked("calc.py", error=NAME_ERROR), output="sarif") == 0
    told = json.loads(capfd.readouterr().out)
    check_schema(told, schema)
    assert {r["ruleId"] for r in told["runs"][0]["results"]} == {"suspect"}


def write_alerts(project, *found):
    (project / "in.sarif").write_text(log(*found))
    return project / "in.sarif"


def test_every_alert_is_repaired(project, capfd):
    undefined = alert("calc.py", {"region": {"startLine": 6, "startColumn": 28}}, ruleId="F821",
                      message={"text": "undefined name `x`"})  # fmt: skip
    sarif = write_alerts(project, undefined)
    assert fix.run(asked(), sarif_in=sarif) == 0
    told = capfd.readouterr()
    assert "calc.py:6: F821: undefined name `x` (run 0, result 0)" in told.out
    assert "+++ b/calc.py" in told.out
    assert "-    return sum(xs) / len(x)" in told.out
    assert "1 of 1 alerts have a patch" in told.err


def test_alerts_and_their_patches_as_sarif_and_json(project, capfd, schema):
    sarif = write_alerts(project, alert("calc.py", {"region": {"startLine": 6}}, ruleId="F821"))
    assert fix.run(asked(), sarif_in=sarif, output="sarif") == 0
    told = json.loads(capfd.readouterr().out)
    check_schema(told, schema)
    (result,) = told["runs"][0]["results"]
    assert (result["message"]["text"], len(result["fixes"])) == ("F821: bad", 1)
    assert fix.run(asked("calc.py"), sarif_in=sarif, as_json=True) == 0
    (one,) = json.loads(capfd.readouterr().out)["alerts"]
    assert one["alert"]["line"] == 6
    assert one["repair"]["patches"][0]["verdict"] == "undecided"


def test_patches_of_alerts_are_judged_and_applied(project, capfd):
    sarif = write_alerts(project, alert("calc.py", {"region": {"startLine": 2}}, ruleId="X"))
    assert (
        fix.run(
            asked(test="PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest -q test_calc.py"), sarif_in=sarif, apply=True
        )
        == 0
    )
    assert "return a + b" in (project / "calc.py").read_text()


def test_tests_that_pass_may_end_well(project, capfd):
    given_ = asked("calc.py", test="PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest -q", passing_ok=True)
    (project / "calc.py").write_text(CALC.replace("a - b", "a + b"))
    assert fix.run(given_, output="sarif") == 0
    told = json.loads(capfd.readouterr().out)["runs"][0]
    assert told["results"] == []
    assert "pass as they are" in told["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]
    with pytest.raises(NothingToRepair):
        fix.run(replace(given_, passing_ok=False), output="sarif")


def test_unusable_alerts_name_the_result(project):
    with pytest.raises(InputError, match=r"run 0, result 0: .*none\.py: no such file"):
        fix.run(asked(), sarif_in=write_alerts(project, alert("none.py")))
    with pytest.raises(InputError, match="--error"):
        fix.run(asked(error="x"), sarif_in=write_alerts(project))
    with pytest.raises(InputError, match="No such file"):
        fix.run(asked(), sarif_in=project / "absent.sarif")
    with pytest.raises(InputError, match="--diff"):
        fix.run(asked("calc.py"), diff_only=True, output="sarif")
