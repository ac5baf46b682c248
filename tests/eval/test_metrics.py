"""The metric modules as a stranger uses them: loaded by path, offline, from another working directory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from eval.metrics.sizes import PatchSize, patch_size
from eval.stats import bootstrap, wilson

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "eval" / "metrics"
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/*.py") if path.stem == path.parent.name)
SCRIPT = """
import json, os, socket, sys, warnings
warnings.simplefilter("error")
def refused(*_): raise OSError("the network was asked")
socket.socket.connect = refused
sys.modules["transformers"] = None  # evaluate would import it (and so torch), for what no metric here needs
import evaluate
del sys.modules["transformers"]
told = json.load(sys.stdin)
found = {"described": {}, "results": []}
for name in told["names"]:
    module = evaluate.load(os.path.join(told["folder"], name))
    found["described"][name] = {
        "type": module.module_type, "description": module.description, "citation": module.citation,
        "inputs": module.inputs_description, "features": sorted(module.features), "class": type(module).__name__,
    }
for name, arguments in told["calls"]:
    module = evaluate.load(os.path.join(told["folder"], name))
    try:
        found["results"].append(module.compute(**arguments))
    except ValueError as error:
        found["results"].append({"error": str(error)})
one_by_one = evaluate.load(os.path.join(told["folder"], "first_rank"))
for rank in (1, None, 4):
    one_by_one.add(prediction=rank)
found["one_by_one"] = one_by_one.compute()
os.chdir(told["root"])
found["relative"] = evaluate.load("eval/metrics/plausible_at_k").compute(predictions=[[True]])
print(json.dumps(found, allow_nan=False))
"""
RIGHT = "def f(a):\n    return a + 1\n"
CALLS = {
    "pass": ("plausible_at_k", {"predictions": [[True, False, False], [False] * 3, [True] * 3], "k": [1, 2, 3]}),
    "pass-default": ("plausible_at_k", {"predictions": [[True, False], [False] * 5]}),
    "pass-too-few": ("plausible_at_k", {"predictions": [[True, False]], "k": 3}),
    "pass-nothing": ("plausible_at_k", {"predictions": [[True], []]}),
    "correct": ("correct_at_k", {"predictions": [[True, None, False], [None, None, False]], "k": 1}),
    "rank": ("first_rank", {"predictions": [1, 4, None, 2], "k": [1, 3, 5]}),
    "rank-zero": ("first_rank", {"predictions": [1, 0]}),
    "located": (
        "localization",
        {
            "predictions": [
                {"lines": [7, 7, 3, 2], "functions": ["f"]},
                {"lines": [1, 2, 3, 4], "functions": ["g", "h"]},
                {"lines": [], "functions": []},
            ],
            "references": [
                {"lines": [2, 3], "functions": ["f"]},
                {"lines": [4], "functions": ["h"]},
                {"lines": [1], "functions": []},
            ],
            "k": [1, 2, 3],
        },
    ),
    "exact": (
        "exact_match",
        {
            "predictions": [RIGHT.rstrip(), "def f(a):\n    return (a + 1)  # one more\n", RIGHT, "def f(:\n"],
            "references": [RIGHT, RIGHT, RIGHT.replace("1", "2"), RIGHT],
        },
    ),
    "exact-js": (
        "exact_match",
        {"predictions": ["f( 1 );\r\n", "f(1)"], "references": ["f(1);\n", "f(2)"], "language": "javascript"},
    ),
    "exact-unknown": ("exact_match", {"predictions": ["a"], "references": ["a"], "language": "cobol"}),
    "overfitting": (
        "overfitting_rate",
        {"predictions": [True] * 6 + [False] * 2, "references": [True, True, False, True, None, True, None, False]},
    ),
    "overfitting-none": ("overfitting_rate", {"predictions": [False], "references": [None]}),
    "no-fault": (
        "no_fault",
        {"predictions": [True, True, True, False, False], "references": [True, True, False, True, False]},
    ),
    "no-fault-unknown": ("no_fault", {"predictions": [True, None], "references": [True, True]}),
    "calibration": (
        "calibration",
        {"predictions": [0.9, 0.9, 0.1, 0.1], "references": [True, False, False, False], "bins": 5},
    ),
    "calibration-wrong": ("calibration", {"predictions": [1.5], "references": [True]}),
    "size": (
        "patch_size",
        {
            "sources": ["a\nb\nc\n", "x = 1\n"],
            "predictions": ["a\nB\nc\nd\n", "x = 2\n"],
            "references": ["a\nB\nc\n", ""],
        },
    ),
    "cost": (
        "cost",
        {
            "seconds": [1.0, 2.0, 6.0],
            "tokens": [10, 20, 30],
            "test_runs": [1, 1, 4],
            "repaired": [True, None, True],
        },
    ),
    "cost-short": ("cost", {"seconds": [1.0], "tokens": [1], "test_runs": [1], "repaired": []}),
    "mcnemar": (
        "mcnemar",
        {
            "predictions1": [True] + [True] + [False] * 7 + [False] * 12 + [None],
            "predictions2": [True] + [False] + [True] * 7 + [False] * 12 + [True],
        },
    ),
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """All modules loaded and called in one fresh process that cannot reach the network."""
    place = tmp_path_factory.mktemp("elsewhere")
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "HF_HOME": str(place / "hf"), "HF_MODULES_CACHE": str(place / "modules"),
        "HF_EVALUATE_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1",
    }  # fmt: skip
    told = {"names": NAMES, "folder": str(FOLDER), "root": str(ROOT), "calls": list(CALLS.values())}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=json.dumps(told), cwd=place, capture_output=True, text=True,
        env=environment, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def results(loaded):
    return dict(zip(CALLS, loaded["results"], strict=True))


def holds(found, /, **expected):
    assert {name: found[name] for name in expected} == pytest.approx(expected, nan_ok=False)


def test_every_module_loads_and_describes_itself(loaded):
    assert NAMES == [
        "calibration", "correct_at_k", "cost", "exact_match", "first_rank", "localization", "mcnemar", "no_fault",
        "overfitting_rate", "patch_size", "plausible_at_k",
    ]  # fmt: skip
    for name, told in loaded["described"].items():
        assert told["class"] == "".join(part.capitalize() for part in name.split("_"))
        assert told["type"] == ("comparison" if name == "mcnemar" else "metric")
        assert min(len(told[key].strip()) for key in ("description", "citation", "inputs")) > 20, name
        assert all(feature in told["inputs"] for feature in told["features"]), name


def test_every_returned_field_is_described(loaded, results):
    """K stands for a number in a name; the ends are told in words."""
    import re

    ends = re.compile(r"_(low|high|sum|per_repair|(median|mean)(_low|_high)?)$")
    for (name, _), found in zip(CALLS.values(), results.values(), strict=True):
        for field in found if "error" not in found else ():
            bare = re.sub(r"_\d+$", "_K", ends.sub("", field))
            assert bare in loaded["described"][name]["inputs"], (name, field)


def test_bounds_hold_the_value(results):
    for label, found in results.items():
        for name in (n for n in found if n.endswith("_low")):
            value, low, high = found[name[:-4]], found[name], found[name[:-4] + "_high"]
            assert (value is None) == (low is None) == (high is None), (label, name)
            if value is not None:
                assert low - 1e-9 <= value <= high + 1e-9, (label, name)


def test_plausible_at_k(results, loaded):
    # one right of three: 1/3, 2/3, 1; none: 0; all: 1
    found = results["pass"]
    holds(found, plausible_at_1=4 / 9, plausible_at_2=5 / 9, plausible_at_3=2 / 3, tasks=3, samples=9, unknown=0)
    low, high = bootstrap([1 / 3, 0.0, 1.0])
    holds(found, plausible_at_1_low=low, plausible_at_1_high=high)
    holds(results["pass-default"], plausible_at_1=0.25)
    assert "plausible_at_5" not in results["pass-default"]
    assert results["pass-too-few"] == {"error": "pass@3 cannot be told from 2 samples"}
    assert "a task without samples" in results["pass-nothing"]["error"]
    assert loaded["relative"]["plausible_at_1"] == 1


def test_unknown_is_not_correct_and_told(results):
    holds(results["correct"], correct_at_1=1 / 6, unknown=3, tasks=2, samples=6)


def test_first_rank(results, loaded):
    found = results["rank"]
    holds(found, at_1=0.25, at_3=0.5, at_5=0.75, found=0.75, median=2, mrr=(1 + 0.25 + 0 + 0.5) / 4, tasks=4)
    low, high = wilson(2, 4)
    holds(found, at_3_low=low, at_3_high=high)
    assert results["rank-zero"] == {"error": "ranks count from 1, None stands for none"}
    holds(loaded["one_by_one"], at_1=1 / 3, at_5=2 / 3, mrr=1.25 / 3)


def test_localization(results):
    found = results["located"]  # ranks of lines: 2, 4, none; of functions: 1, 2
    holds(found, line_top_1=0, line_top_2=1 / 3, line_top_3=1 / 3, line_mrr=0.25, line_tasks=3)
    holds(found, function_top_1=0.5, function_top_2=1, function_mrr=0.75, function_tasks=2)


def test_exact_match(results):
    holds(results["exact"], text=0.25, tree=0.5, tasks=4)
    holds(results["exact-js"], text=0, tree=0.5, tasks=2)
    assert results["exact-unknown"]["error"].startswith("language 'cobol' is not known; known are ")


def test_overfitting_rate(results):
    holds(results["overfitting"], overfitting_rate=0.2, plausible=6, correct=4, wrong=1, unknown=1)
    assert results["overfitting-none"]["overfitting_rate"] is None


def test_no_fault(results):
    found = results["no-fault"]  # right of clean: 2, wrong of faulty: 1, missed clean: 1, right of faulty: 1
    holds(found, precision=2 / 3, recall=2 / 3, f1=2 / 3, false_alarms=1 / 3, missed=0.5, clean=3, faulty=2)
    low, high = wilson(2, 4)
    holds(found, f1_low=2 * low / (1 + low), f1_high=2 * high / (1 + high))
    assert "leave out what is unknown" in results["no-fault-unknown"]["error"]


def test_calibration(results):
    found = results["calibration"]
    holds(found, ece=0.5 * 0.4 + 0.5 * 0.1, mce=0.4, brier=(0.01 + 0.81 + 0.01 + 0.01) / 4, cases=4)
    holds(found, uncertainty=0.1875, reliability=(0.16 + 0.01) / 2, resolution=0.0625, within=0)
    low, high = wilson(1, 2)
    assert [row["count"] for row in found["table"]] == [2, 2]
    holds(found["table"][1], confidence=0.9, observed=0.5, observed_low=low, observed_high=high)
    assert results["calibration-wrong"] == {"error": "a confidence lies between 0 and 1"}


def test_patch_size(results):
    found = results["size"]
    holds(found, lines_mean=2.5, lines_sum=5, hunks_mean=1.5, patches=2, compared=1)
    holds(found, lines_over_reference_mean=1, hunks_over_reference_mean=1, edits_over_reference_mean=1)


def test_cost(results):
    found = results["cost"]
    holds(found, seconds_median=2, seconds_mean=3, seconds_sum=9, seconds_per_repair=4.5, tokens_per_repair=30, tasks=3)
    holds(found, test_runs_median=1, test_runs_median_low=1, test_runs_median_high=4)
    assert results["cost-short"] == {"error": "repaired has 0 entries for 1 tasks"}


def test_mcnemar(results):
    # Fagerland, Lydersen, Laake (2017), airway responsiveness before and after transplantation
    found = results["mcnemar"]
    holds(found, both=1, only_first=1, only_second=7, neither=12, unknown=1, p_value=0.0703125, mid_p=0.0390625)
    holds(found, difference=6 / 21)
    assert (found["difference_low"], found["difference_high"]) == pytest.approx((0.026, 0.507), abs=5e-4)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("a\nb\n", "a\nb\n", PatchSize(0, 0, 0)),
        ("x = 1\n", "x = 2\n", PatchSize(2, 1, 1)),
        ("a\n", "a\nb\n", PatchSize(1, 1, 1)),
        ("f(a, b)\ng\nh\n", "f(b, a)\ng\n", PatchSize(3, 2, 3)),
        ("a\x0cb\n", "a\x0cc\n", PatchSize(2, 1, 1)),
    ],
)
def test_sizes_by_hand(before, after, expected):
    assert patch_size(before, after) == expected
