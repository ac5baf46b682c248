from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.mutants import Injector, units
from data.sources.packages import CodeFile
from repair.embedded.expander import embedded_directory
from repair.errors import InputError
from serve.commands.train import fixer
from training.config import GateConfig
from training.gate import FIX_RATE, LEAST, decide, run_gate
from training.heldout import Held, named
from training.measure import Checkpoint, Measured
from training.scores import Score
from training.verdicts import PASSED, REFUSED, UNDECIDED, Verdict, force, read_verdict, render, write_verdict

# transformers 5.23 warns about an attribute that peft 0.21 asks for
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
ROOT = Path(__file__).parents[2]
CONFIG = GateConfig(resamples=400)


def score(at: int, *, faulty: bool = True, **values: Any) -> Score:
    plain = Score(str(at), faulty, 1, 1 if faulty else 0, not faulty, 0.1, False, False, 100.0, 100, 90.0, 90)
    return replace(plain, **values)


def measured(name: str, *scores: Score, fixed: Mapping[str, bool] | None = None) -> Measured:
    return Measured(name, scores, fixed=fixed or {})


def models(base: Mapping[str, Any], tuned: Mapping[str, Any], count: int = 60) -> Verdict:
    """A verdict on two models of which these values of every faulty example are known."""
    return decide(
        measured("base", *(score(at, **base) for at in range(count))),
        measured("tuned", *(score(at, **tuned) for at in range(count))),
        CONFIG,
    )


def verdicts(verdict: Verdict) -> dict[str, str]:
    return {row.figure: row.verdict for row in verdict.rows}


def test_an_equal_model_passes_and_shows_no_difference():
    verdict = models({"exact": True}, {"exact": True})
    assert (verdict.outcome, verdict.goal, verdict.reasons, verdict.accepted) == (PASSED, "exact@1", (), True)
    assert all(row.difference == 0 for row in verdict.rows if row.verdict != "not compared")


def test_a_lower_goal_is_refused_though_the_difference_may_be_chance():
    base = [score(at, exact=at < 7) for at in range(60)]
    tuned = [score(at, exact=at < 6) for at in range(60)]
    verdict = decide(measured("base", *base), measured("tuned", *tuned), CONFIG)
    assert verdicts(verdict)["exact@1"] == "no clear difference"
    assert verdict.outcome == REFUSED
    assert "exact@1, fell from 0.1167 to 0.1000" in verdict.reasons[0]
    assert decide(measured("base", *tuned), measured("tuned", *base), CONFIG).outcome == PASSED


@pytest.mark.parametrize(
    ("worse", "figure"),
    [
        ({"rank": 2}, "location@1"),
        ({"line_rank": 2}, "lines@1"),
        ({"clean_bits": 99.0}, "clean_bits_per_byte"),
    ],
)
def test_a_better_goal_does_not_buy_what_is_clearly_worse(worse: Mapping[str, Any], figure: str):
    verdict = models({}, {"exact": True, **worse})
    assert verdict.outcome == REFUSED
    assert [reason.split(" ")[0] for reason in verdict.reasons] == [figure]
    assert verdicts(verdict)["exact@1"] == "better"


def test_a_lower_loss_is_better():
    assert verdicts(models({}, {"clean_bits": 80.0}))["clean_bits_per_byte"] == "better"


def test_the_no_fault_figures_count_where_there_is_clean_code():
    clean = [score(at, faulty=False) for at in range(100, 140)]
    deaf = [replace(s, called_ok=False) for s in clean]
    faulty = [score(at, exact=True) for at in range(50)]
    verdict = decide(measured("base", *faulty, *clean), measured("tuned", *faulty, *deaf), CONFIG)
    assert verdict.outcome == REFUSED
    assert verdicts(verdict)["ok_recall"] == "worse"
    assert verdicts(verdict)["ok_precision"] == "not compared"  # a model that never says so has none
    few = decide(measured("base", *faulty, *clean[:9]), measured("tuned", *faulty, *deaf[:9]), CONFIG)
    assert verdicts(few)["ok_recall"] == "not compared"


def test_the_goal_is_repair_with_execution_where_enough_tasks_have_tests():
    scores = [score(at, exact=at < 30) for at in range(60)]
    tasks = {f"t{n}": n % 2 == 0 for n in range(LEAST)}
    broken = dict.fromkeys(tasks, False)
    verdict = decide(measured("base", *scores, fixed=tasks), measured("tuned", *scores, fixed=broken), CONFIG)
    assert (verdict.goal, verdict.outcome, verdict.rows[0].base) == (FIX_RATE, REFUSED, 0.5)
    few = {name: tasks[name] for name in list(tasks)[:9]}
    verdict = decide(measured("base", *scores, fixed=few), measured("tuned", *scores, fixed=few), CONFIG)
    assert (verdict.goal, verdict.outcome, verdict.rows[0].verdict) == ("exact@1", PASSED, "not compared")


def test_the_goal_is_location_where_no_model_repairs_anything():
    assert models({}, {}).goal == "location@1"
    assert models({}, {"rank": 2}).outcome == REFUSED


def test_few_examples_decide_nothing():
    verdict = models({"exact": True}, {"exact": True}, LEAST - 1)
    assert (verdict.outcome, verdict.accepted) == (UNDECIDED, False)
    assert "29 faulty examples are too few" in verdict.reasons[0]
    assert "undecided" in render(verdict)[-2]
    assert force(verdict).accepted


def test_weights_that_are_not_finite_are_refused():
    verdict = models({"exact": True}, {"exact": True, "bits": math.nan, "clean_bits": math.nan})
    assert verdict.outcome == REFUSED
    assert "not finite" in verdict.reasons[0]


def test_other_examples_or_tasks_cannot_be_compared():
    one, other = score(1), score(2)
    with pytest.raises(InputError, match="held-out"):
        decide(measured("base", one), measured("tuned", other), CONFIG)
    with pytest.raises(InputError, match="tasks"):
        decide(measured("base", one, fixed={"a": True}), measured("tuned", one), CONFIG)


def test_a_fair_adapter_is_seldom_refused_for_the_figures_beside_the_goal():
    draw, refused, trials = np.random.default_rng(0), 0, 30
    config = GateConfig(resamples=400, level=0.9)
    for _ in range(trials):
        sides: list[list[Score]] = [[], []]
        for at in range(80):
            ease = 0.2 + 0.6 * draw.random()
            for side in sides:
                hit, call = bool(draw.random() < ease), bool(draw.random() < (0.2 if at % 2 else 0.5))
                bits = 90.0 + draw.normal(0, 5)
                side.append(
                    score(at, faulty=bool(at % 2), rank=2 - hit, line_rank=2 - hit, called_ok=call, clean_bits=bits)
                )
        verdict = decide(measured("base", *sides[0]), measured("tuned", *sides[1]), config)
        refused += any(row.verdict == "worse" for row in verdict.rows if row.figure != verdict.goal)
    assert refused <= 4  # 9 of 200 were measured; with separate intervals 32 of 200


def test_the_table_is_aligned_and_the_file_says_all(tmp_path: Path):
    verdict = force(models({}, {"exact": True, "rank": 2}))
    lines = render(verdict)
    at = lines[0].index("verdict")
    assert {line[at - 1] for line in lines[1 : 1 + len(verdict.rows)]} == {" "}
    assert "exact@1 *" in lines[1]
    assert "forced" in lines[-2]
    path = write_verdict(verdict, tmp_path)
    again = read_verdict(tmp_path)
    assert (again.forced, again.outcome, again.reasons) == (True, REFUSED, verdict.reasons)
    assert [row.figure for row in again.rows] == [row.figure for row in verdict.rows]
    assert json.loads(path.read_text())["rows"][3]["difference"] is None  # precision of no call at all
    assert force(models({}, {})).forced is False
    path.write_text("{}")
    with pytest.raises(InputError, match="train again"):
        read_verdict(tmp_path)


def examples(count: int) -> tuple[Held, ...]:
    """Faults injected into functions of this repository, which no model was trained on."""
    injector = Injector(seed=0, clean_share=0.2, second_share=0.0)
    found = []
    for path in sorted((ROOT / "repair").glob("*.py")):
        file = CodeFile("emend", path.name, path.read_text())
        for unit in units(file, random.Random(0)):
            if len(unit.lines) < 14 and len(found) < count:
                found += injector.examples(unit, 1)
    return named(found)


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> Mapping[bool, Path]:
    """Adapters of the embedded model by whether they are sabotaged: random factors, and factors without effect."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    place, made = tmp_path_factory.mktemp("adapters"), {}
    for random_weights in (True, False):
        torch.manual_seed(0)
        network = AutoModelForCausalLM.from_pretrained(embedded_directory(), dtype=torch.float32)
        settings = LoraConfig(r=4, init_lora_weights=not random_weights, target_modules="all-linear")
        made[random_weights] = place / str(random_weights)
        get_peft_model(network, settings).save_pretrained(made[random_weights])
    return made


def test_the_gate_refuses_a_sabotaged_adapter_and_passes_an_unchanged_one(adapters: Mapping[bool, Path]):
    heldout = examples(45)
    asked: list[Checkpoint] = []

    def fixes(checkpoints: Sequence[Checkpoint]) -> Sequence[Mapping[str, bool]]:
        asked.extend(checkpoints)
        return [{f"task {n}": n % 2 == 0 or one.adapter is None for n in range(LEAST)} for one in checkpoints]

    base = Checkpoint(embedded_directory())
    sabotaged = Checkpoint(base.source, adapters[True])
    refused = run_gate(base, sabotaged, heldout, CONFIG, fixes)
    assert asked == [base, sabotaged]
    assert refused.outcome == REFUSED
    assert (refused.rows[0].base, refused.rows[0].tuned) == (1.0, 0.5)
    assert {FIX_RATE, "clean_bits_per_byte"} <= {n for n, verdict in verdicts(refused).items() if verdict == "worse"}
    located = next(row for row in refused.rows if row.figure == "location@1")
    assert located.tuned < located.base  # significant or not by which functions are drawn
    passed = run_gate(base, Checkpoint(base.source, adapters[False]), heldout, CONFIG)
    assert (passed.outcome, passed.examples) == (PASSED, len(heldout))
    assert passed.rows[0].figure == "exact@1"


def test_both_models_repair_each_task_in_turn(adapters: Mapping[bool, Path], tmp_path: Path):
    rows = [
        {"id": f"t{n}", "language": "python", "buggy_code": f"def f(a, b):\n    return a - b * {n}\n",
         "tests": f"assert f(3, 2) == {3 + 2 * n}\n"} for n in (2, 3)
    ]  # fmt: skip
    rows[1]["tests"] = "assert f(3, 2) == 'no change of ours gives this'\n"
    suite = tmp_path / "suite.jsonl"
    suite.write_text("".join(json.dumps(row) + "\n" for row in rows))
    fixes = fixer(GateConfig(suite=str(suite), candidates=20, seconds=300, jobs=1))
    assert fixes is not None
    base = Checkpoint(embedded_directory())
    expected = {"t2": True, "t3": False}
    assert fixes([base, Checkpoint(base.source, adapters[False])]) == [expected, expected]
