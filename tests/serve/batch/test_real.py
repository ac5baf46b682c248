"""The real steps on small real repositories, from the command to its files: alerts, reports, failing tests."""

import json
import subprocess
import sys

import pytest

from repair.executors import Serial
from repair.projects.values import Bounds, Order
from serve.batch.alerts import alert_faults
from serve.batch.models import LoadedModel
from serve.batch.orders import Asked
from serve.batch.real import RealSteps
from serve.batch.work import Kept, Written
from serve.commands.batch import Given, run
from serve.oracles import Judging

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


def given(tmp_path, place, *, log="", alerts="", candidates=60, **more):
    files = {}
    for name, text in (("log", log), ("sarif", alerts)):
        if text:
            files[name] = tmp_path / name
            files[name].write_text(text)
    bounds = Bounds(candidates=candidates, fault_seconds=0)
    base = Order("", "", test=TEST, python=sys.executable, bounds=bounds)
    asked = Asked((str(place),), base=base, **files)
    return Given(asked, tmp_path / "out", model="none", sandbox_minimum="E", unsafe_no_sandbox=True, quiet=True, **more)


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
