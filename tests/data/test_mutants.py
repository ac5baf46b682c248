"""Injected examples: they repair, they follow the mix, they are the same for the same seed."""

import ast
import json
import random
from itertools import islice
from pathlib import Path

import pytest

from data.failures import failure, syntax_failure
from data.mutants import Injector, Quota, units
from data.sources.packages import CodeFile
from repair.mutate import BUG_CLASSES, MIX
from repair.sources import Source
from repair.views import Hunk, hunks_patch

FILES = [CodeFile("python", Path(m.__file__).name, Path(m.__file__).read_text("utf-8")) for m in (json.decoder, random)]


def built(seed=1, each=3):
    injector = Injector(seed, 0.18, 0.1)
    draw = random.Random(seed)
    made = [(u, e) for f in FILES for u in units(f, draw) for e in injector.examples(u, each)]
    return injector, made


@pytest.fixture(scope="module")
def made():
    return built()


def test_the_hunks_restore_the_function(made):
    for unit, example in made[1]:
        view = example.view
        source = Source("m.py", "\n".join(view.lines) + "\n")
        shifted = [Hunk(h.first - view.first_line + 1, h.last - view.first_line + 1, h.text) for h in example.hunks]
        assert hunks_patch(source, shifted).apply({"m.py": source.text}).get("m.py", "") == unit.text


def test_only_syntax_faults_do_not_parse(made):
    for _, example in made[1]:
        text = "\n".join(example.view.lines)
        parses = True
        try:
            ast.parse("if 1:\n" + text if text[0] == " " else text)
        except SyntaxError:
            parses = False
        assert parses == ("syntax" not in example.bug_classes)


def test_the_clean_share_is_near_what_was_asked(made):
    injector, _ = made
    assert 0.10 < injector.clean / injector.made < 0.26


def test_frames_and_hunks_lie_inside_of_the_view(made):
    for _, example in made[1]:
        view = example.view
        assert all(view.first_line <= n <= view.last_line for n in view.frames)
        assert all(view.first_line <= h.first <= view.last_line + 1 for h in example.hunks)


def test_the_same_seed_gives_the_same_examples(made):
    assert [e for _, e in built()[1]] == [e for _, e in made[1]]


def test_another_seed_gives_others(made):
    assert [e for _, e in built(seed=2)[1]] != [e for _, e in made[1]]


def test_drawing_follows_the_mix_within_two_points():
    quota, draw = Quota(), random.Random(5)
    for _ in range(4000):
        available = [c for c in BUG_CLASSES if draw.random() < 0.7]
        chosen = next(islice(quota.order(available, draw), 1))
        quota.drawn[chosen] += 1
    assert quota.deviation() < 2


def test_a_class_that_cannot_be_drawn_does_not_stop_the_others():
    quota = Quota()
    assert quota.order(["layout"], random.Random(1)) == ["layout"]
    assert set(quota.order(list(MIX), random.Random(1))) == set(MIX)


def test_syntax_errors_are_the_parsers_own():
    lines = "    def f(self:\n        return 1\n"
    seen = [s for s in (syntax_failure(lines, random.Random(n)) for n in range(20)) if s is not None and s.error]
    assert seen and all(s.error.startswith("SyntaxError: ") and s.frames in ((), (1,)) for s in seen)
    assert syntax_failure("def f():\n    return 1\n", random.Random(1)) is None


def test_evidence_is_dropped_in_a_share():
    lines = ["def f(a):", "    return a[0]"]
    shown = [failure(lines, 2, "integer", random.Random(n)).error for n in range(400)]
    assert 0.3 < shown.count("") / 400 < 0.5
    assert any("IndexError" in s for s in shown)
