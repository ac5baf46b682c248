"""One run over repositories that cannot be worked on, each for a reason of its own, and some that can."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from repair.projects.values import Bounds, Order, Standing
from repair.sandbox import Tier
from repair.sandboxes.select import probe
from serve.batch.orders import Asked
from serve.commands.batch import Given, run
from tests.repair.projects.conftest import fingerprint
from tests.serve.batch.bad_repositories import ODD_BRANCH, Case, cases, make

# attacks run only where a sandbox holds them
SAFE = any(report.holds and report.tier <= Tier.B for report in probe())
BOUNDS = Bounds(candidates=30, fault_seconds=120, seconds=240)


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    known: dict[str, Case]
    told: dict[str, dict[str, Any]]
    before: dict[str, str]
    after: dict[str, str]
    out: Path


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("bad")
    known, out = cases(folder / "repositories", folder / "out"), folder / "out"
    if shutil.which("node") is None:
        del known["scripted"]
    listed = make(folder / "repositories", known)
    places = [folder / "repositories" / name for name in known]
    before = {place.name: fingerprint(place) for place in places}
    given = Given(Asked((), (listed,), base=Order("", "", bounds=BOUNDS)), out, model="none", jobs=2, quiet=True)
    code = run(given)
    told = {one["name"]: one for one in json.loads((out / "report.json").read_text())["repositories"]}
    return Done(code, known, told, before, {place.name: fingerprint(place) for place in places}, out)


@pytest.mark.skipif(not SAFE, reason="no sandbox here holds attacks")
def test_each_bad_repository_has_a_verdict_of_its_own_and_the_others_go_on(done: Done) -> None:
    assert done.code == 1 and done.told.keys() == done.known.keys()
    wrong: list[str] = []
    for name, case in done.known.items():
        standing, reason = Standing(str(done.told[name]["standing"])), str(done.told[name]["reason"])
        expected = case.standing if isinstance(case.standing, tuple) else (case.standing,)
        if standing not in expected or not all(words in reason for words in case.says):
            wrong.append(f"{name}: {standing.value}: {reason}")
        assert "internal error" not in reason
    assert not wrong, "\n".join(wrong)


@pytest.mark.skipif(not SAFE, reason="no sandbox here holds attacks")
def test_no_checkout_is_touched(done: Done) -> None:
    assert done.before == done.after


@pytest.mark.skipif(not SAFE, reason="no sandbox here holds attacks")
def test_the_good_ones_are_repaired_from_what_is_committed(done: Done) -> None:
    runners = {name: one["diagnosis"]["runner"] for name, one in done.told.items() if one["diagnosis"]}
    assert runners["unittested"] == "unittest" and runners.get("scripted", "node --test") == "node --test"
    assert done.told["odd"]["diagnosis"]["branch"] == ODD_BRANCH
    for name in ("good", "dirty", "detached"):
        assert "+        result += price" in (done.out / "report.md").read_text()
        notes = str(done.told[name])
        assert ("uncommitted changes" in notes) == (name == "dirty") and ("detached" in notes) == (name == "detached")
