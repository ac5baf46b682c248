"""Membership, exposure and the card: figures against brute force, and a tiny model that is taught canaries."""

import random
from dataclasses import replace
from itertools import product
from math import log

import numpy as np
import pytest

from data.secrets import without_secrets
from eval.glassbox.audit import Audit, Detector, audit_json, audit_section
from eval.glassbox.canaries import (
    CANARIES,
    RECORDS,
    REPETITIONS,
    alternatives,
    made,
    read_canaries,
    write_canaries,
)
from eval.glassbox.privacy import EXPECTED_BITS, auc, exposed, exposure, fisher, membership
from repair.errors import InputError
from serve.commands.model_audit import detectors
from training.records import open_dataset


def test_auc_counts_pairs_and_ties_half():
    draw = np.random.default_rng(1)
    inside, outside = draw.integers(0, 9, 40).astype(float), draw.integers(0, 8, 30).astype(float)
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in product(inside, outside)]
    assert auc(inside, outside) == pytest.approx(np.mean(pairs))
    with pytest.raises(ValueError, match="members and others"):
        auc(inside, np.array([]))


def test_members_are_told_apart_only_where_they_differ():
    draw = np.random.default_rng(2)
    same = membership(draw.normal(size=300).tolist(), draw.normal(size=300).tolist())
    assert same.low < 0.5 < same.high
    assert not same.alarming
    assert (same.caught.value or 0) < 0.05
    apart = membership(draw.normal(1, size=300).tolist(), draw.normal(size=300).tolist())
    assert apart.alarming
    assert apart.low < 0.76 < apart.high  # P(N(1, 1) > N(0, 1))
    assert (apart.false.value or 0) <= 0.01
    few = membership([3.0, 1.0, 0.0], [0.5, 1.0])
    assert (few.caught.count, few.false.count) == (1, 0), "none of two others may pass"
    with pytest.raises(ValueError, match="finite"):
        membership([1.0, float("nan")], [1.0])


def test_exposure_is_a_rank_and_fisher_its_chance():
    assert exposure("a", 1, 5.0, [1.0] * 255).bits == 8
    assert exposure("a", 1, 1.0, [1.0] * 255).bits == 0, "equal ones come first: no claim from a tie"
    assert fisher([0.03]) == pytest.approx(0.03)
    product_ = 0.2 * 0.01
    assert fisher([0.2, 0.01]) == pytest.approx(product_ * (1 - log(product_))), "of a product of two uniform ones"
    draw = random.Random(3)
    unseen = [exposure(f"{n}", 0, draw.random(), [draw.random() for _ in range(255)]) for n in range(200)]
    known = [exposure(f"{n}", 4, 2.0, [draw.random() for _ in range(255)]) for n in range(3)]
    control, four = exposed([*known, *unseen])
    assert (control.repeated, four.repeated) == (0, 4)
    assert control.bits == pytest.approx(EXPECTED_BITS, abs=0.3)
    assert not control.alarming
    assert (four.bits, four.alarming) == (8, True)


def test_canaries_are_trained_on_as_often_as_they_say(tmp_path):
    planted = made(8, seed=5)
    assert planted == made(8, seed=5) != made(8, seed=6)
    assert write_canaries(tmp_path, planted) == 2 * sum(REPETITIONS)
    assert read_canaries(tmp_path / CANARIES) == planted
    text = (tmp_path / RECORDS).read_text()
    assert [text.count(f"number = {c.number}") for c in planted] == [c.repeated for c in planted]
    trained = [record for _, record in open_dataset((str(tmp_path / RECORDS),), "train").records()]
    assert len(trained) == 2 * sum(REPETITIONS)
    for canary in planted:
        assert without_secrets(canary.record) == canary.record, "the detector must let it into the data"
        assert canary.record.hunks == canary.hunks(canary.number)
        assert canary.number not in alternatives(canary, 50)
    (tmp_path / CANARIES).write_text('{"name": "x", "number": "12", "repeated": 1}\n')
    with pytest.raises(InputError, match="9 digits"):
        read_canaries(tmp_path / CANARIES)


def test_the_card_says_what_was_found_and_escapes_it():
    found = exposed([exposure("a", 0, 0.0, [1.0, -1.0]), exposure("b", 16, 1.0, [0.0] * 1023)])
    audit = Audit("<b>", "m", "o", membership([2.0, 1.0], [0.0]), None, found, detectors())
    told = audit_json(audit)
    assert told["membership"]["auc"] == 1.0
    assert [group["alarming"] for group in told["canaries"]] == [False, True]
    assert all(one.works for one in audit.detectors)
    html = audit_section(audit)
    assert "&lt;b&gt;" in html and "<b>" not in html
    assert "EXPOSED" in html and "as if never seen" in html
    broken = replace(audit, detectors=(Detector("the journal", "x", works=False),))
    assert "NOT TAKEN OUT" in audit_section(broken)
