"""The scripted oracle keeps the Protocol."""

from __future__ import annotations

import pytest

from repair.errors import NothingToRepair
from repair.oracle import Bench, Oracle
from repair.oracles.parses import ParsesOracle
from repair.oracles.scripted import ScriptedOracle
from repair.oracles.scripts import ScriptOracle
from repair.oracles.tests import TestOracle
from repair.sources import Source
from repair.verdicts import Verdict

SOURCE = Source("f.py", "x = 1\n")


def test_answers_as_told(rewrite):
    oracle = ScriptedOracle((SOURCE,), lambda texts: texts["f.py"] == "x = 2\n")
    with oracle.open() as bench:
        assert bench.baseline().failing
        assert bench.judge(rewrite("f.py", SOURCE.text, "x = 2\n"), thorough=True).verdict is Verdict.PLAUSIBLE
        assert bench.judge(rewrite("f.py", SOURCE.text, "x = 3\n")).verdict is Verdict.UNFIXED
        assert bench.judge(rewrite("f.py", SOURCE.text, "x = (\n")).verdict is Verdict.BROKEN
        assert bench.runs == 5
        assert len(bench.judged) == 3


def test_verdicts_and_trouble(rewrite):
    with ScriptedOracle((SOURCE,), lambda _: Verdict.REGRESSED, trouble=NothingToRepair("fine")).open() as bench:
        assert bench.judge(rewrite("f.py", SOURCE.text, "x = 2\n")).verdict is Verdict.REGRESSED
        with pytest.raises(NothingToRepair):
            bench.baseline()


def test_all_oracles_have_the_protocols_shape(sandbox, tmp_path):
    """Checked by pyright through these annotations, and by opening them."""
    oracles: list[Oracle] = [
        ScriptedOracle((SOURCE,), lambda _: True),
        ParsesOracle((SOURCE,)),
        ScriptOracle(SOURCE, "assert x == 2", sandbox),
        TestOracle(tmp_path, (SOURCE,), sandbox, "true"),
    ]
    for oracle in oracles:
        with oracle.open() as bench:
            ready: Bench = bench
            assert ready.runs == 0
