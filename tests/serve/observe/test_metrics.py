import json

import pytest
from prometheus_client.parser import text_string_to_metric_families

from repair.oracles.judging import stopped_reason
from repair.sandbox import Execution, Limits, Stop
from serve.observe.metrics import BUCKETS, Metrics, Snapshot, kill_reason
from serve.telling import Told
from serve.wire import CostOut, PatchOut, RepairOut, TestsOut


def values(metrics):
    """Every sample of a scrape, by its name and the values of its labels, sorted by their names."""
    text, content_type = metrics.render()
    assert content_type.startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def candidate(verdict="plausible", reason=""):
    tests = TestsOut(status="failed", reason=reason)
    patch = PatchOut(diff="", edits=[], score=0, verdict=verdict, origin="model", tests=tests)
    return Told("candidate", patch.model_dump_json())


def result(**cost):
    spent = CostOut(
        **{"seconds": 1, "prompt_tokens": 0, "completion_tokens": 0, "test_runs": 0, "candidates": 0, **cost}
    )
    out = RepairOut(id="rep_1", fault=[], model="none", cost=spent, patches=[], chosen=None, notes=[])
    return Told("result", out.model_dump_json())


@pytest.mark.parametrize("stop", list(Stop))
def test_each_limit_of_the_sandbox_is_told_from_what_judging_says(stop):
    assert kill_reason(stopped_reason(Execution(-9, stopped=stop), Limits())) == stop.value


def test_what_is_no_kill():
    assert kill_reason("") == ""
    assert kill_reason("2 tests fail as before") == ""


def test_events_are_counted():
    metrics = Metrics()
    for told in (
        candidate(),
        candidate("unfixed", "used more memory than allowed"),
        candidate("unfixed"),
        Told("suspects", "{}"),
        result(prompt_tokens=600, completion_tokens=40, test_runs=5),
    ):
        metrics.observe(told)
    found = values(metrics)
    assert found["emend_verdicts_total", "plausible"] == 1
    assert found["emend_verdicts_total", "unfixed"] == 2
    assert found["emend_verdicts_total", "regressed"] == 0
    assert found["emend_sandbox_kills_total", "memory"] == 1
    assert found["emend_sandbox_kills_total", "wall"] == 0
    assert found["emend_tokens_total", "prompt"] == 600
    assert found["emend_tokens_total", "completion"] == 40
    assert found["emend_test_runs_total",] == 5


def test_unknown_verdicts_do_not_make_labels():
    metrics = Metrics()
    metrics.observe(Told("candidate", json.dumps({"verdict": "x" * 50})))
    assert values(metrics)["emend_verdicts_total", "other"] == 1


def test_stages_count_from_the_arrival():
    metrics = Metrics()
    times = iter([10.0, 10.5, 12.0, 13.0, 20.0])
    course = metrics.course(clock=lambda: next(times))
    course.started()
    course.observe(Told("suspects", "{}"))
    course.observe(candidate())
    course.observe(candidate())
    course.observe(result())
    found = values(metrics)
    sums = {
        stage: found["emend_stage_seconds_sum", stage] for stage in ("queue", "suspects", "first_candidate", "repair")
    }
    assert sums == {"queue": 0.5, "suspects": 2.0, "first_candidate": 3.0, "repair": 10.0}
    assert found["emend_stage_seconds_count", "first_candidate"] == 1


def test_buckets_fit_what_repairs_take():
    assert (BUCKETS[0], BUCKETS[-1]) == (0.005, 120.0)


def test_gauges_are_asked_at_each_scrape():
    metrics = Metrics()
    full = [Snapshot(3, 2, 2, {"queued": 7}, True)]
    metrics.gauges(lambda: full[0])
    assert values(metrics)["emend_waiting",] == 3
    assert values(metrics)["emend_jobs", "queued"] == 7
    assert values(metrics)["emend_jobs", "failed"] == 0
    assert values(metrics)["emend_model_up",] == 1
    full[0] = Snapshot()
    assert values(metrics)["emend_running",] == 0
    assert ("emend_model_up",) not in values(metrics)


def test_a_store_that_is_down_hides_no_other_metric():
    metrics = Metrics()

    def broken():
        raise OSError("no store")

    metrics.gauges(broken)
    assert ("emend_test_runs_total",) in values(metrics)
