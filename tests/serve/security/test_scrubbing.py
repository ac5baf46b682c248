import json
import sys
import tempfile

import pytest

from serve.security.scrubbing import machine_roots, scrub, scrub_all, scrub_answer, scrub_told
from serve.telling import Told

ROOTS = ("/home/ann", "/tmp", "/opt/py/lib/python3.11/site-packages", "/srv/emend work")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot read /home/ann/projects/x/mean.py", "cannot read …/mean.py"),
        ('File "/tmp/emend-ab12/src/a.py", line 3', 'File "…/a.py", line 3'),
        ("in /home/ann", "in …"),
        ("see /tmp/a.log, /tmp/b.log.", "see …/a.log, …/b.log."),
        ("(/opt/py/lib/python3.11/site-packages/torch/nn/x.py:7)", "(…/x.py:7)"),
        ("sqlite:////home/ann/.local/emend.db is locked", "sqlite:///…/emend.db is locked"),
        ("/srv/emend work/a.py", "…/a.py"),
        ("/home/anne/x.py", "/home/anne/x.py"),
        ("src/tmp/x.py and work/home/ann/y", "src/tmp/x.py and work/home/ann/y"),
        ("1/2 and a / b", "1/2 and a / b"),
        ("/usr/bin/python3", "/usr/bin/python3"),
    ],
)
def test_paths_below_roots(text, shown):
    assert scrub(text, ROOTS) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/srv/models/big/config.json is missing", "…/config.json is missing"),
        ("the store sqlite:////var/lib/emend/emend.db is locked", "the store …/emend.db is locked"),
        ("no socket at '/run/emend/host.sock'", "no socket at '…/host.sock'"),
        ("http://127.0.0.1:8000/v1/models answered 500", "http://127.0.0.1:8000/v1/models answered 500"),
        ("1/2 of a/b/c", "1/2 of a/b/c"),
    ],
)
def test_all_paths_of_sentences_about_us(text, shown):
    assert scrub_all(text) == shown
    assert scrub_all(shown) == shown


def test_scrubbing_twice_changes_nothing_more():
    once = scrub("/tmp/a/b.py /home/ann", ROOTS)
    assert scrub(once, ROOTS) == once


def test_this_machine_is_known():
    roots = machine_roots()
    assert tempfile.gettempdir() in roots
    assert sys.prefix in roots
    assert scrub(f"{sys.prefix}/bin/python broke") == "…/python broke"
    assert "/" not in roots


def test_what_tests_and_notes_say_is_scrubbed_and_code_is_not():
    tests = {"status": "failed", "reason": "no\n/tmp/s/x.py", "failing": ["/tmp/s/test_a.py::test_b"]}
    patch = {"diff": "+open('/tmp/data.csv')", "edits": [], "verdict": "unfixed", "tests": tests}
    answer = {
        "patches": [patch], "notes": ["left /home/ann/x"],
        "fault": [{"path": "a.py", "reasons": ["in /tmp/q/a.py"]}],
    }  # fmt: skip
    found = scrub_answer(answer, ROOTS)
    assert found["patches"][0]["tests"]["reason"] == "no\n…/x.py"
    assert found["patches"][0]["tests"]["failing"] == ["…/test_a.py::test_b"]
    assert found["patches"][0]["diff"] == patch["diff"]
    assert found["notes"] == ["left …/x"]
    assert found["fault"][0]["reasons"] == ["in …/a.py"]


def test_events_keep_their_value_when_there_is_nothing_to_hide():
    told = Told("candidate", '{"tests":{"reason":"","failing":[]}}')
    assert scrub_told(told, ROOTS) is told
    hidden = scrub_told(Told("candidate", '{"tests":{"reason":"no\\n/tmp/x/y","failing":[]}}'), ROOTS)
    assert json.loads(hidden.data) == {"tests": {"reason": "no\n…/y", "failing": []}}
