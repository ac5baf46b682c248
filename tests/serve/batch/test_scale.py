"""The formula for a large run and the simulation agree where they must, and part where queues and losses are."""

import importlib.util
import json
import sys
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"


@pytest.fixture(scope="module")
def scale():
    """benchmarks/scale.py, which is no module of a package."""
    before = list(sys.path)
    spec = importlib.util.spec_from_file_location("benchmarks_scale", BENCHMARKS / "scale.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path[:] = before
        del sys.modules[spec.name]


@pytest.fixture
def costs(scale):
    spread = scale.Spread
    return scale.Costs(
        diagnose=spread(30, 1.0, 1800), mend=spread(60, 1.0, 1800), model=spread(5, 0.5, 1800),
        combine=spread(5, 1.0, 1800), store=248.0, sqlite=75.0, network=1e6, packed=1e5, kept=1e7, environment=5.0,
    )  # fmt: skip


def over(scale, costs, plan):
    """How much longer the simulation takes than the formula's ideal, as a share."""
    return scale.simulated(costs, plan).seconds / scale.estimated(costs, plan).ideal - 1


@pytest.fixture
def plan(scale):
    return scale.Plan(repositories=2000, workers=16, faults=2.0)


def test_many_repositories_on_few_workers_take_what_the_formula_says(scale, costs, plan):
    assert abs(over(scale, costs, plan)) < 0.05


def test_simulation_stays_below_the_bound_where_nothing_is_lost(scale, costs, plan):
    for workers in (1, 16, 400):
        wide = replace(plan, workers=workers)
        drawn = scale.drawn(costs, wide)
        occupancy, longest = sum(r.occupancy for r in drawn), max(r.chain for r in drawn)
        seconds = scale.simulated(costs, wide).seconds
        assert occupancy / workers <= seconds * (1 + 1e-9)
        assert seconds <= (occupancy / workers + (1 - 1 / workers) * longest) * 1.02  # the coordinator's own time


def test_stragglers_part_them_where_workers_are_many(scale, costs, plan):
    assert over(scale, costs, replace(plan, workers=1500)) > 0.5


def test_lost_workers_part_them(scale, costs, plan):
    losing = replace(plan, loss=6.0)
    assert over(scale, costs, losing) > 0.1
    seen = scale.simulated(costs, losing)
    assert seen.losses > 100 and seen.redone > 0


def test_the_lossy_formula_follows_the_losses(scale, costs, plan):
    losing = replace(plan, loss=1.0)
    seconds = scale.simulated(costs, losing).seconds
    assert seconds == pytest.approx(scale.estimated(costs, losing).lossy, rel=0.05)
    assert scale.estimated(costs, plan).lossy == pytest.approx(scale.estimated(costs, plan).ideal)


def test_too_few_model_actors_are_the_bound_that_both_see(scale, costs, plan):
    few = replace(plan, workers=64, actors=1)
    assert scale.estimated(costs, few).busiest == "model actors"
    assert abs(over(scale, costs, few)) < 0.1
    assert scale.simulated(costs, few).waiting > scale.simulated(costs, replace(few, actors=16)).waiting


def test_a_slow_store_holds_the_workers_back_and_shards_free_them(scale, costs, plan):
    slow = replace(costs, store=0.1)
    assert scale.estimated(slow, plan).busiest == "store"
    assert abs(over(scale, slow, plan)) < 0.05
    assert scale.simulated(slow, replace(plan, shards=1000)).seconds < scale.simulated(slow, plan).seconds / 2


def test_every_repository_ends_even_when_all_workers_die_again_and_again(scale):
    repository = scale.Repository(3600.0, (scale.Mend(10.0),), 1.0)
    seen = scale.simulate([repository] * 5, scale.Cluster(workers=2, loss=60.0))
    assert seen.given_up == 5 and seen.seconds < inf


def test_a_simulation_is_the_same_for_the_same_seed(scale, costs, plan):
    losing = replace(plan, repositories=300, loss=2.0, actors=2)
    assert scale.simulated(costs, losing, 7) == scale.simulated(costs, losing, 7)
    assert scale.simulated(costs, losing, 7) != scale.simulated(costs, losing, 8)


def test_one_worker_does_everything_after_the_other(scale):
    repositories = [scale.Repository(2.0, (scale.Mend(3.0, 1.0), scale.Mend(1.0)), 4.0), scale.Repository(1.0, (), 9.0)]
    seen = scale.simulate(repositories, scale.Cluster(workers=1))
    assert seen.seconds == pytest.approx(2 + 4 + 1 + 4 + 1)  # without a fault nothing is laid together
    assert seen.items == 5


def test_mean_of_a_cut_lognormal_is_that_of_its_draws(scale):
    import random

    spread, dice = scale.Spread(10, 1.2, 60), random.Random(0)
    draws = [spread.draw(dice) for _ in range(40_000)]
    assert spread.mean == pytest.approx(sum(draws) / len(draws), rel=0.02)
    assert spread.with_losses(0.0) == spread.mean


def test_the_measured_costs_can_be_read(scale):
    costs = scale.read_costs()
    assert costs.mend.mean > 0 and costs.store > 0 and costs.sqlite > 0
    assert "simulated h" in scale.compared(costs, [scale.Plan(repositories=50, workers=2)])


def test_costs_that_lack_a_step_are_refused(scale, tmp_path):
    row = json.loads(scale.COSTS.read_text("utf-8"))
    del row["mend_seconds"]
    (tmp_path / "costs.json").write_text(json.dumps(row), "utf-8")
    with pytest.raises(SystemExit, match="mend_seconds"):
        scale.read_costs(tmp_path / "costs.json")
