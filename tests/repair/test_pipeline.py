import contextlib
from collections.abc import Callable, Mapping

import pytest

from repair.defects import Budget, RepairRequest
from repair.errors import ModelError, NothingToRepair, OracleError
from repair.model import LineBelief
from repair.models.scripted import ScriptedModel
from repair.oracle import Baseline
from repair.oracles.parses import ParsesOracle
from repair.oracles.scripted import ScriptedOracle
from repair.pipeline import CandidateJudged, Event, Finished, Options, SuspectsFound, repair
from repair.search import SearchOptions
from repair.sources import Source
from repair.verdicts import Observation, Outcome, RepairResult, TestResult, Verdict
from repair.views import Hunk

CODE = """\
def total(prices):
    result = 1
    for price in prices:
        result -= price
    return result
"""
ONE = CODE.replace("result = 1", "result = 0")
OTHER = CODE.replace("-=", "+=")
BOTH = ONE.replace("-=", "+=")
SOURCE = Source("shop.py", CODE)
SMALL = Options(search=SearchOptions(lines=4))


def oracle(accepts: Callable[[Mapping[str, str]], Verdict | bool], **rest: object) -> ScriptedOracle:
    return ScriptedOracle((SOURCE,), accepts, **rest)  # type: ignore[arg-type]


def run(model: ScriptedModel | None, judge: ScriptedOracle | ParsesOracle, **rest: object) -> list[Event]:
    options = rest.pop("options", SMALL)
    request = RepairRequest((SOURCE,), **rest)  # type: ignore[arg-type]
    return list(repair(request, model, judge, options=options))  # type: ignore[arg-type]


def end(events: list[Event]) -> RepairResult:
    last = events[-1]
    assert isinstance(last, Finished)
    return last.result


def test_events_come_as_suspects_then_verdicts_then_the_end():
    events = run(None, oracle(lambda texts: texts["shop.py"] == OTHER))
    assert isinstance(events[0], SuspectsFound)
    assert events[0].suspects
    assert [e.number for e in events if isinstance(e, CandidateJudged)] == list(range(1, len(events) - 1))


def test_the_plausible_patch_is_chosen_and_costs_are_counted():
    result = end(run(None, oracle(lambda texts: texts["shop.py"] == OTHER)))
    assert result.chosen is not None
    assert result.chosen.candidate.patch.apply({"shop.py": CODE})["shop.py"] == OTHER
    assert result.judgements[0] is result.chosen
    assert result.cost.candidates == len(result.judgements)
    assert result.cost.test_runs > result.cost.candidates


def test_without_a_plausible_candidate_nothing_is_chosen():
    result = end(run(None, oracle(lambda _: False), budget=Budget(candidates=30)))
    assert result.chosen is None
    assert len(result.judgements) == 30


def test_only_the_extra_candidates_are_judged_after_a_plausible_one():
    options = Options(search=SearchOptions(lines=4), extra=3)
    events = run(None, oracle(lambda _: True), options=options)
    assert len([e for e in events if isinstance(e, CandidateJudged)]) == 4


def test_of_plausible_patches_the_model_prefers_its_likelier():
    good = Hunk(4, 4, "        result += price")
    model = ScriptedModel(belief=LineBelief({4: 1.0}), scores={(good,): -0.1}, unscored=-20.0)
    result = end(run(model, oracle(lambda _: True)))
    assert result.chosen is not None
    assert result.chosen.candidate.patch.apply({"shop.py": CODE})["shop.py"] == OTHER


def test_a_winner_that_fails_the_second_time_is_not_chosen():
    seen: list[str] = []

    def once(texts: Mapping[str, str]) -> bool:
        seen.append(texts["shop.py"])
        return texts["shop.py"] == OTHER and seen.count(OTHER) < 2

    result = end(run(None, oracle(once)))
    assert seen.count(OTHER) == 2
    assert result.chosen is None


def test_two_faults_are_repaired_one_after_another():
    ids = frozenset({"first", "second"})

    def progress(texts: Mapping[str, str]) -> Verdict | bool:
        return texts["shop.py"] == BOTH

    told = Baseline(Observation(False), ids, frozenset())
    judge = oracle(progress, told=told)
    with judge.open() as bench:
        plain = bench.judge

    def judged(candidate, *, thorough=False):
        verdict = plain(candidate, thorough=thorough)
        text = candidate.patch.apply({"shop.py": CODE})["shop.py"]
        fixed = [n for n, marks in (("first", "result = 0"), ("second", "+= price")) if marks in text]
        tests = tuple(TestResult(n, Outcome.PASSED if n in fixed else Outcome.FAILED) for n in sorted(ids))
        return type(verdict)(candidate, verdict.verdict, (Observation(len(fixed) == 2, tests),), verdict.reason)

    bench.judge = judged  # the shipped fake tells no per-test results

    class Fixed:
        def open(self):
            return contextlib.nullcontext(bench)

    request = RepairRequest((SOURCE,), budget=Budget(candidates=4000))
    options = Options(search=SearchOptions(lines=4))
    result = end(list(repair(request, None, Fixed(), options=options)))
    assert result.chosen is not None
    assert result.chosen.candidate.patch.apply({"shop.py": CODE})["shop.py"] == BOTH


def test_tests_that_pass_already_end_the_repair():
    with pytest.raises(NothingToRepair):
        run(None, oracle(lambda _: True, trouble=NothingToRepair("the tests pass")))


def test_a_broken_oracle_is_an_error_of_its_own():
    with pytest.raises(OracleError):
        run(None, oracle(lambda _: True, trouble=OracleError("no such command")))


def test_a_broken_model_is_an_error_of_its_own():
    def fail(_: object) -> LineBelief:
        raise ModelError("the weights are gone")

    with pytest.raises(ModelError):
        run(ScriptedModel(belief=fail), oracle(lambda _: True))


def test_without_tests_a_few_undecided_patches_are_returned():
    result = end(run(None, ParsesOracle((SOURCE,))))
    assert result.chosen is None
    assert [j.verdict for j in result.judgements] == [Verdict.UNDECIDED] * SMALL.undecided


def test_every_judged_patch_applies_parses_and_inverts():
    for event in run(None, oracle(lambda _: False), budget=Budget(candidates=200)):
        if isinstance(event, CandidateJudged):
            patch = event.judgement.candidate.patch
            texts = patch.apply({"shop.py": CODE})
            compile(texts["shop.py"], "shop.py", "exec")
            assert patch.invert({"shop.py": CODE}).apply(texts) == {"shop.py": CODE}
            assert texts["shop.py"] != CODE


def test_syntax_errors_are_repaired_like_other_faults():
    broken = Source("shop.py", OTHER.replace("prices):", "prices)"))
    judge = ScriptedOracle((broken,), lambda texts: texts["shop.py"] == OTHER)
    result = end(list(repair(RepairRequest((broken,)), None, judge, options=SMALL)))
    assert result.chosen is not None
