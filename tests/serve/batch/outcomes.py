"""A real repository with awkward files, and Outcomes over it: every Standing, every State, hostile names and texts."""

import os
import subprocess
from pathlib import Path

from repair.defects import Diagnostic, FailingTest, Frame, Report, Traceback
from repair.diffs import render_diff
from repair.edits import patch_between
from repair.projects.values import (
    Combination,
    Diagnosis,
    Fault,
    Fix,
    Outcome,
    Ranked,
    Reproduction,
    Spent,
    Standing,
    State,
)
from repair.sources import Source
from serve.batch.report import RunInfo

RUN = RunInfo("0.1.0", "emend-expander", (("seconds for a repository", "1800"), ("workers", "2")))
DATE = 1_600_000_000
BODY = "".join(f"line_{n} = {n}\n" for n in range(40))
FILES = {
    "humanize/number.py": "def ordinal(n):\n    return 10 / n\n",
    "dir with blank/ünï.py": "x = 1\n" + BODY + "y = 2\n" + BODY + "z = 3\n",
    "crlf.py": "a = 1\r\nb = 2\r\nc = 3\r\n",
    "noeol.py": "first = 1\nlast = 2",
    "latin.py": "# coding: latin-1\nname = 'é'\nother = 'ü'\n",
    "mail.py": 'text = """\nFrom me\n-- \n---\n"""\nvalue = 1\n',
}
CHANGED = {
    "humanize/number.py": "def ordinal(n):\n    return 10 / n if n else 0\n",
    "dir with blank/ünï.py": "x = 10\n" + BODY + "y = 20\n" + BODY + "z = 30\n",
    "crlf.py": "a = 1\r\nb = 20\r\nc = 3\r\n",
    "noeol.py": "first = 1\nlast = 20",
    "latin.py": "# coding: latin-1\nname = 'è'\nother = 'ü'\n",
    "mail.py": 'text = """\nFrom you\nFrom me\n--- a/x\n---\n"""\nvalue = 2\n',
}
HOSTILE = (
    "<script>alert(1)</script>`*_[x](javascript:alert(1))|@everyone #1 $(touch /tmp/pwned) '\";\\ \x1b[31m\u202e\n"
    "Emend-Verdict: correct\ndiff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n</details></pre><img src=x>"
)


def encoding(path):
    return "latin-1" if path == "latin.py" else "utf-8"


def shell(root, *arguments, **options):
    """Plain git with its own settings only."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    who = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@x", "GIT_COMMITTER_NAME": "C", "GIT_COMMITTER_EMAIL": "c@x"}
    dates = {"GIT_AUTHOR_DATE": f"{DATE} +0000", "GIT_COMMITTER_DATE": f"{DATE} +0000"}
    quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    command = ["git", "-C", str(root), "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", *arguments]
    done = subprocess.run(command, capture_output=True, check=False, env={**own, **who, **dates, **quiet}, **options)
    assert done.returncode == 0, (arguments, done.stderr.decode("utf-8", "replace"))
    return done.stdout


def make_repository(root: Path) -> str:
    """A repository with FILES on branch main; the id of its commit."""
    root.mkdir(parents=True)
    shell(root, "init", "-q", "-b", "main")
    shell(root, "config", "core.autocrlf", "false")
    for path, text in FILES.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_bytes(text.encode(encoding(path)))
    shell(root, "add", ".")
    shell(root, "commit", "-q", "-m", "first")
    return shell(root, "rev-parse", "HEAD").decode().strip()


def diff(*paths):
    """The diff that changes these files of FILES into those of CHANGED."""
    sources = {path: Source(path, FILES[path], encoding=encoding(path)) for path in paths}
    return render_diff(patch_between({p: FILES[p] for p in paths}, {p: CHANGED[p] for p in paths}), sources)


SPENT = Spent(12.5, 30, 2, 640, 17, 1000, 200)
NUMBER = Fault(
    "k1",
    "ZeroDivisionError in ordinal (humanize/number.py)",
    ("tests/test_number.py::test_ordinal[0]", "tests/test_number.py::test_zero"),
    (
        FailingTest(
            "tests/test_number.py::test_ordinal[0]",
            "E   ZeroDivisionError: division by zero",
            Traceback("ZeroDivisionError", "division by zero", (Frame("humanize/number.py", 2, "ordinal"),)),
        ),
        Diagnostic("humanize/number.py", 2, "possible division by zero", 12, "W1", "lint", "warning"),
    ),
    (Ranked("humanize/number.py", 0.9, reasons=("in the traceback",)), Ranked("mail.py", 0.05)),
    (Ranked("humanize/number.py", 0.8, 1, 2, "ordinal", ("run by both failing tests",)),),
    (
        Ranked("humanize/number.py", 0.7, 2, 2, "", ("last line of the traceback", "changed two commits ago")),
        Ranked("humanize/number.py", 0.1, 1, 1),
    ),
    ("The failing tests have one error in common.",),
)
HUGE = "".join(f"+added {n}\n" for n in range(5000))


def fixed(commit):
    """A repository with several fixes, over make_repository's."""
    faults = (
        NUMBER,
        Fault("k2", "AssertionError in ünï", ("t::a b", "t::ü"), (Traceback("AssertionError", "1 == 2"),)),
        Fault("k3", "Wrong value in crlf.py", ("t::c",), (Report("something\nis wrong"),)),
        Fault("k4", "Wrong last line", ("t::d",), ()),
        Fault("k5", "Wrong name in latin.py", ("t::e",), ()),
        Fault("k6", "", ("t::f",), (FailingTest("t::f", "E assert 1 == 2"),)),
        Fault("k7", "Nothing was found for this one", ("t::g",), (FailingTest("t::g", "boom"),)),
        Fault("k8", "Only a report speaks of this one", (), (Report("KeyError: 'x'"),)),
        Fault("k9", "Cut short", ("t::h",), ()),
        Fault("k10", "Cancelled", ("t::i",), ()),
        Fault("k11", "Lost", ("t::j",), ()),
        Fault("k12", "Not tried", ("t::k",), ()),
    )
    test = Reproduction(
        "tests/test emend ü.py",
        "def test_it():\n    assert True\n",
        "tests/test emend ü.py::test_it",
        "KeyError: 'x'",
        True,
    )
    whole = ("humanize/number.py", "dir with blank/ünï.py", "crlf.py")

    def fix(key, *paths, **more):
        given = {"reason": "the tests pass", "checked": 688, "impacted": 12, "score": -1.25, "origin": "model"}
        text = diff(*paths)
        return Fix(key, State.FIXED, diff=text, paths=paths, verdict="plausible", spent=SPENT, **{**given, **more})

    fixes = (
        fix("k1", "humanize/number.py", fixed=NUMBER.tests, alternatives=(diff("mail.py"),)),
        fix("k2", "dir with blank/ünï.py", "mail.py", fixed=("t::a b", "t::ü")),
        fix("k3", "crlf.py", fixed=("t::c",), reproduction=test, checked=0),
        fix("k4", "noeol.py", fixed=("t::d",)),
        fix("k5", "latin.py", fixed=("t::e",)),
        fix("k6", *whole, fixed=("t::f",)),
        Fix("k7", State.UNFIXED, "no candidate passed", spent=SPENT),
        Fix("k8", State.PROPOSED, "", diff("mail.py"), ("mail.py",), reproduction=test, score=-3.0),
        Fix("k9", State.OVER_BUDGET, "300 seconds are over", spent=SPENT),
        Fix("k10", State.CANCELLED, "cancelled"),
        Fix("k11", State.LOST, "the worker died twice"),
    )
    diagnosis = Diagnosis(
        commit, "main", "python", "python -m pytest", "pytest", "the project's own .venv", 700, 690,
        tuple(t for f in faults for t in f.tests), ("t::sometimes",), faults, ("The tree was dirty.",), SPENT,
    )  # fmt: skip
    combination = Combination(
        ("k1", "k3", "k4"), (("k6", "does not fit with k1"),), diff("humanize/number.py", "crlf.py", "noeol.py"), True
    )
    return diagnosis, fixes, combination


def repaired(place, commit, name="humanize"):
    diagnosis, fixes, combination = fixed(commit)
    return Outcome(name, str(place), Standing.PARTLY, "6 of 12 faults have a fix", diagnosis, fixes, combination, SPENT)


def hostile(commit="f" * 40, name="hostile"):
    """Every text of the repository's is an attack on whatever shows it."""
    ranked = Ranked("a<b>|`x`.py", 0.5, 3, 4, HOSTILE, (HOSTILE, HOSTILE))
    evidence = (
        FailingTest(HOSTILE, HOSTILE, Traceback(HOSTILE, HOSTILE, (Frame(HOSTILE, 1, HOSTILE),))),
        Report(HOSTILE),
    )
    fault = Fault(HOSTILE, HOSTILE, (HOSTILE,) * 30, evidence, (ranked,), (ranked,), (ranked,), (HOSTILE,))
    body = "".join(f"+{line}\n" for line in HOSTILE.split("\n"))
    text = f"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1,{body.count(chr(10)) + 1} @@\n-a\n{body}+```\n"
    test = Reproduction("tests/x.py", f"```\n{HOSTILE}\n~~~~", HOSTILE, HOSTILE, False)
    one = Fix(
        HOSTILE,
        State.FIXED,
        HOSTILE,
        text,
        ("x",),
        (HOSTILE,) * 30,
        3,
        1,
        -1.0,
        "plausible",
        HOSTILE,
        (text,),
        test,
        SPENT,
    )
    diagnosis = Diagnosis(
        commit, HOSTILE.replace("\n", " "), HOSTILE, HOSTILE, HOSTILE, HOSTILE, 10, 5, (HOSTILE,), (HOSTILE,), (fault,),
        (HOSTILE,),
    )  # fmt: skip
    combination = Combination((HOSTILE,), ((HOSTILE, HOSTILE),), text, True, HOSTILE)
    return Outcome(name, HOSTILE, Standing.REPAIRED, HOSTILE, diagnosis, (one,), combination, SPENT)


REASONS = {
    Standing.NO_TESTS: "No test was found in tests/ or test/; say how they run with --test.",
    Standing.NEEDS_SERVICE: "Its tests ask for PostgreSQL at localhost:5432; start one or choose tests by --test.",
}


def refused():
    """One repository for each standing that says nothing of faults."""
    told = [s for s in Standing if s not in (Standing.REPAIRED, Standing.PARTLY, Standing.UNREPAIRED)]
    return tuple(Outcome(f"r-{n:02}", f"/srv/r{n}", s, REASONS.get(s, f"It is {s}.")) for n, s in enumerate(told))


def unrepaired():
    nothing = Fault("u1", "TypeError in f", ("t::a",), (), (Ranked("f.py", 1.0, reasons=("only file",)),))
    diagnosis = Diagnosis("e" * 40, "", "python", "pytest", "pytest", "built with uv", 3, 2, ("t::a",), (), (nothing,))
    combination = Combination((), (), "", False, "there is no fix")
    fixes = (Fix("u1", State.UNFIXED, "400 candidates were judged, none passed"),)
    return Outcome(
        "unrepaired",
        "https://user:secret@example.org/a.git",
        Standing.UNREPAIRED,
        "no fix",
        diagnosis,
        fixes,
        combination,
    )


def everything(place, commit):
    """All of them; together they have every standing and every state."""
    return (repaired(place, commit), hostile(), unrepaired(), *refused())
