"""The real steps on small real repositories, from the command to its files: alerts, reports, failing tests."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from repair.embedded.expander import embedded_adapter, embedded_directory
from repair.executors import Serial
from repair.projects.values import Bounds, Order
from serve.batch.alerts import alert_faults
from serve.batch.models import LoadedModel
from serve.batch.orders import Asked
from serve.batch.real import RealSteps
from serve.batch.work import Kept, Written
from serve.commands.batch import Given, run
from serve.oracles import Judging

ROOT = Path(__file__).resolve().parents[3]
TEST = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest -q"
SHOP = """\
def mean(numbers):
    return sum(numbers) / len(numbers)


def label(name, count):
    if count is 1:
        return name
    return name + "s"
"""
TESTS = """\
from shop import label, mean


def test_mean():
    assert mean([1, 3]) == 2


def test_label():
    assert label("egg", 1) == "egg"
    assert label("egg", 2) == "eggs"
"""
LOG = """\
Calling it with an empty list fails:

Traceback (most recent call last):
  File "/srv/app/main.py", line 3, in <module>
    mean([])
  File "/srv/app/shop.py", line 2, in mean
    return sum(numbers) / len(numbers)
ZeroDivisionError: division by zero
"""


def sarif(line, rule="F632", path="shop.py"):
    place = {"artifactLocation": {"uri": path}, "region": {"startLine": line}}
    result = {"ruleId": rule, "message": {"text": "use == to compare"}, "locations": [{"physicalLocation": place}]}
    return json.dumps({"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "ruff"}}, "results": [result]}]})


@pytest.fixture
def shop(new_repo):
    made = new_repo("shop")
    made.commit({"shop.py": SHOP, "test_shop.py": TESTS, ".gitignore": "__pycache__\n"})
    return made


def given(tmp_path, place, *, log="", alerts="", candidates=60, model="none", **more):
    files = {}
    for name, text in (("log", log), ("sarif", alerts)):
        if text:
            files[name] = tmp_path / name
            files[name].write_text(text)
    bounds = Bounds(candidates=candidates, fault_seconds=0)
    base = Order("", "", test=TEST, python=sys.executable, bounds=bounds)
    asked = Asked((str(place),), base=base, **files)
    return Given(asked, tmp_path / "out", model=model, sandbox_minimum="E", unsafe_no_sandbox=True, quiet=True, **more)


def pytest_of(repo):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    return subprocess.run(command, cwd=repo.folder, capture_output=True, check=False).returncode


def report(out):
    (only,) = json.loads((out / "report.json").read_text())["repositories"]
    return only


def test_alerts_of_a_healthy_repository_are_mended_and_its_tests_judge(tmp_path, shop, print_of):
    before = print_of(shop.folder)
    assert run(given(tmp_path, shop.folder, alerts=sarif(6), candidates=12)) == 1
    found = report(tmp_path / "out")
    assert (found["standing"], found["diagnosis"]["notes"]) == ("partly repaired", ["all 2 tests pass"])
    (fix,) = found["fixes"]
    assert (fix["state"], fix["verdict"], fix["paths"], fix["checked"]) == ("proposed", "undecided", ["shop.py"], 2)
    assert fix["impacted"] == 1 and "-    if count is 1:" in fix["diff"] and fix["reproduction"] is None
    (patch,) = (tmp_path / "out" / "patches" / "shop").glob("*.patch")
    shop.git("apply", "--check", str(patch))
    results = json.loads((tmp_path / "out" / "findings.sarif").read_text())["runs"][0]["results"]
    assert results[0]["locations"][0]["physicalLocation"]["region"]["startLine"] == 6
    assert print_of(shop.folder) == before


def test_a_report_gets_a_test_that_its_fix_is_judged_by(tmp_path, shop):
    assert run(given(tmp_path, shop.folder, log=LOG)) == 0
    found = report(tmp_path / "out")
    (fix,) = found["fixes"]
    test = fix["reproduction"]
    assert (found["standing"], fix["state"], fix["checked"], test["passes"]) == ("repaired", "fixed", 2, True)
    assert test["before"] == "ZeroDivisionError: division by zero" and fix["fixed"] == [test["test"]]
    patches = sorted((tmp_path / "out" / "patches" / "shop").iterdir())
    assert [p.name.partition("-")[0] for p in patches] == ["01", "01", "all.patch"], patches
    test_patch = next(p for p in patches if p.name.endswith(".test.patch"))
    shop.git("apply", str(test_patch))
    assert pytest_of(shop) == 1
    shop.git("apply", str(tmp_path / "out" / "patches" / "shop" / "all.patch"))
    assert pytest_of(shop) == 0
    assert test["test"] in (tmp_path / "out" / "report.html").read_text()


def test_a_report_is_not_taken_for_what_an_alert_means(tmp_path):
    (tmp_path / "shop.py").write_text(SHOP)
    (fault,), _ = alert_faults(sarif(6), tmp_path)
    steps = RealSteps(tmp_path / "cache", Serial(tmp_path / "shelf").shelf(), LoadedModel("none"), Judging("E", True))
    order = Order("shop", str(tmp_path / "nowhere"), report=LOG)
    assert steps.reproduce(order, fault, Kept()) == (Written(), Kept())


SLOW = "import time\n\n\ndef mean(numbers):\n    time.sleep({})\n    return sum(numbers) * len(numbers) + 17\n"
ASKED = """\
from shop import mean


def test_mean():
    assert mean([1]) == 31415


def test_no():
    assert mean([]) == 17
"""


@pytest.mark.parametrize(("seconds", "times"), [(0.2, 1), (60, 2)])
def test_nothing_is_left_by_an_interrupted_run(tmp_path, new_repo, seconds, times):
    """While candidates are judged, or in the middle of a test that does not end."""
    repo = new_repo("slow")
    repo.commit({"shop.py": SLOW.format(seconds), "test_shop.py": ASKED})
    (tmp_path / "tmp").mkdir()
    words = ("batch", str(repo.folder), "-o", str(tmp_path / "out"), "--model", "none", "--unsafe-no-sandbox")
    command = [sys.executable, "-m", "serve", *words, "--python", sys.executable, "--test", TEST]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp")}
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(command, env=env, stderr=said, start_new_session=True)
    until = time.monotonic() + 250
    marks = ("mend",) if times == 1 else ()
    while time.monotonic() < until and process.poll() is None:
        folders = [path.name for path in (tmp_path / "tmp").iterdir()]
        begun = "diagnose" in (tmp_path / "said").read_text() if marks else len(folders) > 1
        if begun and len(folders) > 1 and _runs_tests(process.pid):
            break
        time.sleep(0.05)
    workers = psutil.Process(process.pid).children(recursive=True)
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.3)
    assert process.wait(250) == 130, (tmp_path / "said").read_text()
    assert workers and not psutil.wait_procs(workers, timeout=300)[1]
    assert list((tmp_path / "tmp").iterdir()) == []
    assert report(tmp_path / "out")["standing"] == "cancelled"


def _runs_tests(pid):
    """Whether a sandbox with an interpreter runs below a process."""
    return any("resident.py" in " ".join(one.cmdline()) for one in psutil.Process(pid).children(recursive=True))


BROKEN = SHOP.replace("sum(numbers) /", "sum(numbers) *")


def test_workers_that_share_a_model_repair_as_one_that_has_its_own(tmp_path, new_repo):
    """A checkpoint that is given is held by one process for all workers; here the embedded one stands for it."""
    repo = new_repo("shop")
    repo.commit({"shop.py": BROKEN, "test_shop.py": TESTS})
    checkpoint = {"model": str(embedded_directory()), "adapter": embedded_adapter()}
    found = {}
    for jobs in (1, 2):
        asked = given(tmp_path, repo.folder, candidates=16, jobs=jobs, **checkpoint)
        run(replace(asked, out=tmp_path / str(jobs)))
        found[jobs] = (tmp_path / str(jobs) / "report.json").read_text()
    costs = [json.loads((tmp_path / jobs / "costs.json").read_text())["repositories"][0]["spent"] for jobs in "12"]
    assert costs[1]["prompt_tokens"] == costs[0]["prompt_tokens"] > 0 and costs[1]["candidates"] > 0
    assert found[1] == found[2]
