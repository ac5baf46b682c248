"""ParsesOracle: never more than UNDECIDED."""

from __future__ import annotations

from repair.defects import Diagnostic
from repair.oracles.parses import ParsesOracle
from repair.sources import Source
from repair.verdicts import Verdict


def test_verdicts(rewrite):
    before = "def f():\n    return 1\n"
    with ParsesOracle((Source("f.py", before),)).open() as bench:
        told = bench.baseline()
        assert not told.failing
        assert told.observation.passed
        assert bench.judge(rewrite("f.py", before, "x = 2\n")).verdict is Verdict.UNDECIDED
        assert bench.judge(rewrite("f.py", before, "x = (\n")).verdict is Verdict.BROKEN
        assert bench.judge(rewrite("g.py", "", "x = 2\n")).verdict is Verdict.INAPPLICABLE
        assert bench.judge(rewrite("f.py", before + "longer", "x")).verdict is Verdict.INAPPLICABLE
        assert bench.runs == 0


def test_a_source_that_does_not_parse_is_evidence():
    with ParsesOracle((Source("f.py", "x = 1\ndef f(:\n"), Source("g.js", "let a = 1;\n"))).open() as bench:
        told = bench.baseline()
    (found,) = told.evidence
    assert isinstance(found, Diagnostic)
    assert (found.path, found.line) == ("f.py", 2)
