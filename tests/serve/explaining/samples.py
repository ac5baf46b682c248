"""An explanation made by hand: what 6 layers of 8 heads might say of a small function; and a hostile one."""

import numpy as np

from repair.explain.values import (
    ActivationMap,
    Alarm,
    AlarmKind,
    Answers,
    AttentionMap,
    Badge,
    Checked,
    EvidenceMap,
    Explanation,
    Interventions,
    LensTable,
    LineProbability,
    LineValues,
    LiveComparison,
    LocationMap,
    Method,
    MethodQuality,
    NeuronScale,
    Outlier,
    Part,
    PatchingGrid,
    Proposal,
    RunValues,
    Stage,
    Subject,
    Target,
    TokenMap,
    Trust,
    Unit,
    UnitEdit,
    UnitKind,
    UnitScore,
)
from repair.views import Hunk, View

CODE = (
    "def postage(weight, destination):",
    '    """Euro for a parcel of `weight` grams."""',
    "    if weight <= 0:",
    '        raise ValueError("a parcel must weigh something")',
    "    base, per_kilo = RATES[destination]",
    "",
    "    extra = max(0, started_kilos(weight) - INCLUDED_KILOS)",
    "    return round(base + extra * base, 2)",
)
VIEW = View(
    "shop/parcels.py", "python", 6, CODE, error="AssertionError: postage(4200, 'AT') is 24.0, not 12.5", frames=(13,),
    test="def test_heavy():\n    assert postage(4200, 'AT') == 12.5",
    context=("from shop.rates import RATES, INCLUDED_KILOS", "def started_kilos(weight):"),
)  # fmt: skip
SUBJECT = Subject(VIEW, (Hunk(13, 13, "    return round(base + extra * per_kilo, 2)"),))
UNITS = (
    Unit(UnitKind.ERROR, 1, VIEW.error),
    Unit(UnitKind.FRAME, 13, ""),
    *(Unit(UnitKind.TEST, n, text) for n, text in enumerate(VIEW.test.split("\n"), 1)),
    *(Unit(UnitKind.CONTEXT, n, text) for n, text in enumerate(VIEW.context, 1)),
    *(Unit(UnitKind.CODE, n, text) for n, text in enumerate(VIEW.lines, VIEW.first_line)),
)
SCORES = (0.4, 0.9, -0.05, 0.31, 0.02, -0.22, 0.0, 0.1, -0.4, 0.05, 2.6, 0.0, 0.8, 1.2)
BELIEFS = (0.01, 0.0, 0.09, 0.02, 0.12, 0.0, 0.21, 0.48)
HOSTILE = "</text></svg><script>alert(1)</script>\"'&<img src=x onerror=alert(2)>\u202e\x07"


def evidence(method=Method.ABLATION, trust=Trust.FAITHFUL, *, scale=1.0, units=UNITS):
    badge = Badge(
        trust, "taking the top 3 units away lowers the target more than random units do",
        (("top-1 drop", 2.6), ("LDS", 0.52), ("deletion AUC over random", 0.31)),
    )  # fmt: skip
    scores = tuple(UnitScore(u, scale * s) for u, s in zip(units, SCORES, strict=True))
    return EvidenceMap(method, Target(), scores, 3.42, badge, 0.84, ("blank lines were left out",))


def where(beliefs=BELIEFS):
    lines = tuple(LineProbability(n, p * 0.9, p * 0.8, p) for n, p in enumerate(beliefs, VIEW.first_line))
    return LocationMap(lines, 1 - sum(beliefs), calibrated=True)


def rows(chance, shape):
    made = chance.random(shape) ** 4
    return (made / made.sum(-1, keepdims=True)).astype(np.float32)


def attention(chance, layers=6, heads=8, units=UNITS):
    labels = (*(u.label for u in units), "answer: 13", "answer:  per", "answer: _kilo")
    return AttentionMap(
        units, (3 * chance.random((layers, heads))).astype(np.float32),
        chance.random((layers, heads)).astype(np.float32), (0.4 * chance.random((layers, heads))).astype(np.float32),
        None, None, 0.9 * rows(chance, (len(labels), len(units))), labels, 0.8 * rows(chance, (len(units),)),
        ("left-over mass lies on structure",),
    )  # fmt: skip


def activations(chance, layers=6, units=UNITS):
    edges = np.linspace(-4, 4, 25).astype(np.float32)
    shape = np.exp(-(((edges[1:] + edges[:-1]) / 2) ** 2))
    histogram = (shape / shape.sum())[None] * (1 + 0.1 * chance.random((layers, 24)))
    outliers = (Outlier(2, 301, 14.25, 9.6, UNITS[10]), Outlier(5, 77, -8.5, -6.1, None))
    strength = (0.3 + chance.random((layers, len(units)))).astype(np.float32)
    dead = np.linspace(0.02, 0.4, layers).astype(np.float32)
    return ActivationMap(units, strength, histogram.astype(np.float32), edges, dead, outliers)


def lens(chance, layers=6):
    words = tuple(
        tuple(np.array(["base", " per", "_kilo", "\n", "13", "☃"])[chance.integers(0, 6, 5)]) for _ in range(layers + 1)
    )
    fixed = np.linspace(-22, -0.7, layers + 1) + chance.random(layers + 1)
    original = np.linspace(-18, -4.1, layers + 1) + chance.random(layers + 1)
    chances = np.clip(np.linspace(0.02, 0.9, layers + 1)[:, None] * (0.6 + chance.random((layers + 1, 5)) / 2), 0, 1)
    return LensTable(
        ("13", "|", " per", "_kilo", "<|end|>"), words, chances.astype(np.float32), fixed.astype(np.float32),
        original.astype(np.float32),
    )  # fmt: skip


def tokens(chance):
    texts, owner = ["<|code|>"], [-1]
    for number, unit in enumerate(UNITS):
        parts = unit.text.replace(" ", " \0").split("\0") if unit.text else ["<|13|>"]
        texts += parts
        owner += [number] * len(parts)
    new, old = (chance.normal(0, 0.4, len(texts)).astype(np.float32) ** 3 for _ in range(2))
    return TokenMap(tuple(texts), tuple(owner), UNITS, new, old)


ALARMS = (
    Alarm(AlarmKind.ATTENTION, "entropy", 3, 5, None, 3.91, 0.4, 2.1),
    Alarm(AlarmKind.ATTENTION, "first-token mass", 1, 2, None, 0.01, 0.2, 0.8),
    Alarm(AlarmKind.ACTIVATION, "outlier", 2, None, 301, 14.25, -4.0, 4.0),
    Alarm(AlarmKind.REPRESENTATION, "distance", 4, None, None, 41.0, 2.0, 18.0),
)


def live():
    before = Answers(
        where(), (Proposal(SUBJECT.hunks, -0.7), Proposal((Hunk(8, 8, "    if weight < 0:"),), -4.2)), -0.7
    )
    moved = (0.02, 0.0, 0.31, 0.1, 0.2, 0.0, 0.1, 0.15)
    after = Answers(where(moved), (Proposal((Hunk(8, 8, "    if weight < 0:"),), -2.2),), -6.25)
    changes = Interventions(
        adapter_scale=0.5, heads_off=((3, 5),), neurons=(NeuronScale(2, 301, 0.0),),
        edits=(UnitEdit(UnitKind.ERROR, 1, ""),), temperature=0.8,
    )  # fmt: skip
    return LiveComparison(changes, before, after, ("sampling with seed 0",))


QUALITY = (
    MethodQuality(Method.ABLATION, 200, (("LDS", 0.52, 0.02), ("deletion AUC", 0.61, 0.44)), beats_random=True),
    MethodQuality(Method.GRADIENT, 200, (("LDS", 0.41, 0.02), ("deletion AUC", 0.55, 0.44)), beats_random=True),
    MethodQuality(Method.ATTENTION, 200, (("LDS", 0.03, 0.02), ("deletion AUC", 0.45, 0.44)), beats_random=False),
)
VALUES = RunValues(
    "tests/test_parcels.py::test_heavy",
    (
        LineValues(12, 1, (("weight", "4200"), ("INCLUDED_KILOS", "2"))),
        LineValues(13, 1, (("base", "6.0"), ("extra", "3"), ("returns", "24.0"))),
    ),
    (
        LineValues(12, 1, (("weight", "4200"), ("INCLUDED_KILOS", "2"))),
        LineValues(13, 1, (("base", "6.0"), ("extra", "3"), ("per_kilo", "2.1666"), ("returns", "12.5"))),
    ),
)
CHECKED = Checked("plausible", 4, 0, ("tests/test_parcels.py::test_heavy",), "the tests pass")
STAGES = (Stage("read", 0.02), Stage("where", 0.21), Stage("ablation", 0.84), Stage("attention", 0.12))


def full(**changed):
    """With every part."""
    chance = np.random.default_rng(0)
    parts = {
        "model": "embedded", "subject": SUBJECT,
        "sentence": "Changed line 13 because line 10 says `base, per_kilo = RATES[destination]` and the traceback "
        "names line 13: without line 10 the log-probability of the change falls by 2.60.",
        "badge": Badge(Trust.FAITHFUL, "the top units move the target 5 times as far", (("LDS", 0.52),)),
        "where": where(), "evidence": (evidence(), evidence(Method.ATTENTION, Trust.FAILED, scale=0.2)),
        "tokens": tokens(chance), "attention": attention(chance), "activations": activations(chance),
        "lens": lens(chance),
        "patching": PatchingGrid(
            tuple(range(6, 14)), (chance.random((6, 8)) * 1.3 - 0.2).astype(np.float32), -0.7, -6.1
        ),
        "anomalies": ALARMS, "live": live(), "quality": QUALITY, "checked": CHECKED, "values": VALUES,
        "notes": ("the window was cut to 200 lines",), "stages": STAGES,
    }  # fmt: skip
    return Explanation(**{**parts, **changed})


def bare():
    """What a model server gives."""
    return Explanation(
        "http://127.0.0.1:9/v1#served", SUBJECT, "No reliable explanation was found.",
        Badge(Trust.FAILED, "random units move the target as much"),
        unavailable=((Part.ATTENTION, "a model server shows nothing of its inside: load the weights here"),),
    )  # fmt: skip


def hostile():
    """Everything that is text is an attack."""
    lines = (HOSTILE.replace("\n", " "), "    return 1")
    view = View(HOSTILE, "python", 1, lines, error=HOSTILE, test=HOSTILE, context=(HOSTILE,))
    units = tuple(Unit(kind, 1, HOSTILE) for kind in (UnitKind.ERROR, UnitKind.TEST, UnitKind.CONTEXT, UnitKind.CODE))
    badge = Badge(Trust.WEAK, HOSTILE, ((HOSTILE, 1.0),))
    chance = np.random.default_rng(1)
    seen = attention(chance, 2, 2, units)
    strip = activations(chance, 2, units)
    found = EvidenceMap(
        Method.RIDGE, Target(), tuple(UnitScore(u, 1.0) for u in units), 1.0, badge, notes=(HOSTILE,)
    )  # fmt: skip
    words = ((HOSTILE,),) * 3
    column = np.zeros((3, 1), np.float32)
    hunks = (Hunk(1, 1, HOSTILE),)
    answers = Answers(None, (Proposal(hunks, -1.0),), None)
    return Explanation(
        HOSTILE, Subject(view, hunks), HOSTILE, badge,
        LocationMap((LineProbability(1, None, None, 0.9), LineProbability(2, None, None, 0.1)), 0.0, calibrated=False),
        (found,), TokenMap((HOSTILE,), (0,), units, np.ones(1, np.float32), -np.ones(1, np.float32)),
        AttentionMap(units, seen.entropy, seen.sink, seen.same, 0, 1, seen.lines[:1], (HOSTILE,), seen.flow),
        ActivationMap(units, strip.strength, strip.histogram, strip.edges, strip.dead, (), (HOSTILE,)),
        LensTable((HOSTILE,), words, column, column[:, 0], column[:, 0], (HOSTILE,)),
        PatchingGrid((1, 2), np.ones((2, 2), np.float32), 0.0, 0.0, (HOSTILE,)),
        (Alarm(AlarmKind.ATTENTION, HOSTILE, 0, None, None, float("nan"), float("-inf"), float("inf")),),
        LiveComparison(Interventions(edits=(UnitEdit(UnitKind.CODE, 1, HOSTILE),)), answers, answers, (HOSTILE,)),
        (), Checked(HOSTILE, 1, 1, (HOSTILE,), HOSTILE),
        RunValues(HOSTILE, (LineValues(1, 1, ((HOSTILE, HOSTILE),)),), ()), (HOSTILE,), (Stage(HOSTILE, float("nan")),),
        ((Part.LENS, HOSTILE),),
    )  # fmt: skip


def huge():
    """A window of 200 lines and a large network: 36 layers of 32 heads."""
    code = tuple(f"    value_{n} = compute_{n}(value_{n - 1}, {n})" for n in range(200))
    view = View("big.py", "python", 1, code, error="E" * 3000)
    units = tuple(Unit(UnitKind.CODE, n, text) for n, text in enumerate(code, 1))
    chance = np.random.default_rng(2)
    scores = tuple(UnitScore(u, float(chance.normal())) for u in units)
    found = EvidenceMap(Method.RIDGE, Target(), scores, 1.0, Badge(Trust.WEAK, "noisy"))
    believed = tuple(LineProbability(n, 0.005, 0.005, 0.005) for n in range(1, 201))
    tokens = TokenMap(
        ("tok ",) * 3000, tuple(n // 15 for n in range(3000)), units, chance.normal(size=3000).astype(np.float32),
        chance.normal(size=3000).astype(np.float32),
    )  # fmt: skip
    base = lens(chance, 36)
    grid = PatchingGrid(tuple(range(1, 201)), chance.random((36, 200)).astype(np.float32), -1.0, -9.0)
    return Explanation(
        "large", Subject(view, (Hunk(100, 100, "    x"),)), "A sentence.", Badge(Trust.WEAK, "noisy"),
        LocationMap(believed, 0.0, calibrated=False), (found,), tokens, attention(chance, 36, 32, units),
        activations(chance, 36, units), base, grid, ALARMS * 40,
    )  # fmt: skip
