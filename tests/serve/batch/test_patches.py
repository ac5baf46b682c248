"""Patch files go through real git: `git am --keep-cr` and `git apply`, whatever the files look like."""

import re

import pytest

from repair.diffs import parse_diff
from repair.sources import Source
from serve.batch.commits import GitCommits, KnownCommits, commits_at
from serve.batch.messages import fix_message
from serve.batch.patches import mail, patch_files
from serve.batch.report import RunInfo
from serve.batch.wording import SUBJECT, entries, subject
from tests.serve.batch.outcomes import CHANGED, DATE, FILES, RUN, encoding, hostile, make_repository, repaired, shell


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    root = tmp_path_factory.mktemp("origin") / "repo"
    return root, make_repository(root)


@pytest.fixture(scope="module")
def files(origin):
    root, commit = origin
    return {f.path: f for f in patch_files(repaired(root, commit), RUN, commits_at(str(root)))}


@pytest.fixture
def clone(origin, tmp_path):
    shell(tmp_path, "clone", "-q", str(origin[0]), "repo")
    return tmp_path / "repo"


NAMES = [
    "01-ordinal-in-humanize-number-py.patch", "02-assertionerror-in-uni.patch",
    "03-wrong-value-in-crlf-py.patch", "03-wrong-value-in-crlf-py.test.patch", "04-wrong-last-line.patch",
    "05-wrong-name-in-latin-py.patch", "06-k6.patch", "08-only-a-report-speaks-of-this-one.patch",
    "08-only-a-report-speaks-of-this-one.test.patch", "all.patch",
]  # fmt: skip


def test_each_patch_has_its_file(files):
    assert sorted(files) == [f"humanize/{name}" for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_git_takes_each_patch(files, clone, tmp_path, name):
    patch = tmp_path / name
    patch.write_bytes(files[f"humanize/{name}"].content)
    shell(clone, "apply", "--check", str(patch))
    shell(clone, "am", "--keep-cr", "-q", str(patch))
    changed = shell(clone, "diff", "--name-only", "-z", "HEAD^", "HEAD").decode().split("\0")[:-1]
    assert changed
    for path in changed:
        wanted = CHANGED.get(path, "def test_it():\n    assert True\n")
        assert (clone / path).read_bytes() == wanted.encode(encoding(path)), path
    assert shell(clone, "log", "-1", "--format=%an <%ae> %at").decode() == f"Emend <emend@localhost> {DATE}\n"


def test_the_commit_of_git_am_has_our_message(files, origin, clone, tmp_path):
    entry = entries(repaired(*origin))[1]  # its body holds letters that are no ASCII
    patch = tmp_path / "x.patch"
    patch.write_bytes(files[f"humanize/{entry.name}.patch"].content)
    shell(clone, "am", "--keep-cr", "-q", str(patch))
    message = shell(clone, "log", "-1", "--format=%B").decode().removesuffix("\n")
    assert message == fix_message(entry, RUN)
    assert message.startswith(
        "Fix AssertionError in ünï\n\nWhat failed:\n\n    t::a b\n    t::ü\n    AssertionError: 1 == 2\n"
    )


def test_the_message_says_what_is_known_and_not_more(origin):
    message = fix_message(entries(repaired(*origin))[0], RUN)
    assert message.startswith("Fix ordinal in humanize/number.py\n\n")
    assert "humanize/number.py:2 (0.70): last line of the traceback" in message
    assert "2 failing tests pass; 688 tests that passed before were run again" in message.replace("\n", " ")
    assert "review it before you merge" in message.replace("\n", " ")
    assert not re.search(r"\b(correct|proved|proven)\b", message)


def trailers(root, message):
    return shell(root, "interpret-trailers", "--parse", input=message.encode()).decode().split("\n")[:-1]


def test_trailers_are_gits(origin):
    assert trailers(origin[0], fix_message(entries(repaired(*origin))[0], RUN)) == [
        "Emend-Fault: k1",
        "Emend-Verdict: plausible",
        "Emend-Tests: tests/test_number.py::test_ordinal[0]",
        "Emend-Tests: tests/test_number.py::test_zero",
        "Emend-Regression-Tests: 688 run again, 0 fail",
        "Emend-Model: emend-expander",
        "Emend-Score: -1.2500",
        "Emend-Version: 0.1.0",
    ]


def test_nobody_can_write_a_trailer_or_a_diff_into_a_message(origin):
    (entry,) = entries(hostile())
    message = fix_message(entry, RUN)
    verdicts = [line for line in trailers(origin[0], message) if line.startswith("Emend-Verdict")]
    assert verdicts == ["Emend-Verdict: plausible"]
    assert not re.search(r"^(diff |--- |From |@@ )", message, re.MULTILINE)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", message)


def test_a_hostile_message_passes_git_am(clone, tmp_path, origin):
    (entry,) = entries(hostile())
    fine = repaired(*origin).fixes[0]
    patch = tmp_path / "x.patch"
    patch.write_bytes(mail(fix_message(entry, RUN), fine.diff.encode(), RUN, DATE))
    shell(clone, "am", "--keep-cr", "-q", str(patch))
    assert shell(clone, "diff", "--name-only", "HEAD^").decode() == "humanize/number.py\n"
    assert shell(clone, "log", "-1", "--format=%B").decode().removesuffix("\n") == fix_message(entry, RUN)


def test_our_own_parser_reads_them_too(files, origin):
    sources = {path: Source(path, text) for path, text in FILES.items()}
    text = files["humanize/04-wrong-last-line.patch"].content.decode()
    assert parse_diff(text, sources).apply(FILES)["noeol.py"] == CHANGED["noeol.py"]


def test_a_test_of_a_name_that_is_there_becomes_a_change(origin):
    outcome = repaired(*origin)
    files = {"tests/test emend ü.py": b"def test_it():\n    pass\n", "crlf.py": FILES["crlf.py"].encode()}
    (patch,) = (
        f
        for f in patch_files(outcome, RUN, KnownCommits(DATE, files))
        if f.path.endswith("03-wrong-value-in-crlf-py.test.patch")
    )
    assert b"-    pass\n+    assert True\n" in patch.content
    assert b"new file" not in patch.content


def test_without_a_history_dates_are_fixed():
    one, two = (patch_files(hostile(), RUN, KnownCommits()) for _ in range(2))
    assert one == two
    assert b"\nDate: Mon, 17 Sep 2001 00:00:00 +0000\n" in one[0].content


@pytest.mark.parametrize("author", ["Zoë Quell <z@example.org>", 'A. "B" (C), D <z@example.org>'])
def test_the_author_can_be_set(origin, clone, tmp_path, author):
    run = RunInfo("0.1.0", author=author)
    files = patch_files(repaired(*origin), run, GitCommits(origin[0] / ".git"))
    patch = tmp_path / "x.patch"
    patch.write_bytes(files[0].content)
    shell(clone, "am", "-q", str(patch))
    assert shell(clone, "log", "-1", "--format=%an <%ae>").decode() == f"{author}\n"


@pytest.mark.parametrize(
    ("title", "wanted"),
    [
        ("Fix it", "Fix it"),
        ("a\nb\tc", "Fix a b c"),
        ("x" * 100, "Fix " + "x" * 67 + "…"),
        ("word " * 30, "Fix " + "word " * 12 + "word…"),
        ("\x1b[0m\u202ex", "Fix \\u001b[0m\\u202ex"),
    ],
)
def test_subjects_are_short_and_harmless(title, wanted):
    assert subject(title) == wanted
    assert len(wanted) <= SUBJECT
