"""Alerts of a SARIF file as faults: places and keys, what is left out, what is no SARIF file."""

import json

import pytest

from repair.defects import Diagnostic
from repair.projects.values import Refusal, Standing
from serve.batch.alerts import alert_faults


def sarif(*alerts):
    results = [
        {
            "ruleId": rule,
            "message": {"text": message},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": path}, "region": {"startLine": line}}}],
        }
        for path, line, rule, message in alerts
    ]
    return json.dumps({"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "lint"}}, "results": results}]})


@pytest.fixture
def root(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\ny = 2\n")
    (tmp_path / "b.bin").write_bytes(b"\0\1\2")
    return tmp_path


def test_each_alert_is_a_fault_at_its_line(root):
    faults, notes = alert_faults(sarif(("a.py", 2, "E1", "bad y"), ("a.py", 1, "", "bad x")), root)
    assert [(f.title, f.tests, f.lines[0].first, f.files[0].path) for f in faults] == [
        ("E1: bad y", (), 2, "a.py"),
        ("bad x", (), 1, "a.py"),
    ]
    assert notes == () and faults[0].lines[0].reasons == ("lint says so",)
    (told,) = faults[0].evidence
    assert isinstance(told, Diagnostic) and (told.line, told.message, told.code) == (2, "bad y", "E1")


def test_an_alert_that_is_told_twice_is_one_fault_with_the_same_key_every_time(root):
    text = sarif(("a.py", 2, "E1", "bad y"), ("a.py", 2, "E1", "bad y"))
    (fault,), _ = alert_faults(text, root)
    assert alert_faults(text, root)[0] == (fault,)
    assert alert_faults(sarif(("a.py", 1, "E1", "bad y")), root)[0][0].key != fault.key


def test_what_cannot_be_repaired_is_named_and_the_others_stay(root):
    faults, notes = alert_faults(
        sarif(("gone.py", 1, "E1", "m"), ("b.bin", 1, "E1", "m"), ("a.py", 1, "E2", "m")), root
    )
    assert [fault.title for fault in faults] == ["E2: m"]
    assert len(notes) == 2 and all("is left out" in note for note in notes)
    assert "gone.py" in notes[0] and "b.bin" in notes[1]


def test_no_sarif_is_a_refusal(root):
    with pytest.raises(Refusal, match="the SARIF file cannot be read") as caught:
        alert_faults("{", root)
    assert caught.value.standing is Standing.UNREADABLE
