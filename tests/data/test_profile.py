"""The profile: figures of known records, the page and the JSON of a dataset on disk."""

from __future__ import annotations

import heapq
import inspect
import json
import random
import re
import statistics
import textwrap
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from data.cautions import cautions
from data.charts import bars, columns, cut, escaped, percent
from data.doubts import Pairs, cosmetic, weak
from data.measures import chi_square, distribution, evenness, gini, share
from data.mutants import Injector, units
from data.profile import profile, to_json, write_profile
from data.records import ErrorOrigin, Origin, Record, to_row
from data.sources.packages import CodeFile
from repair.errors import InputError
from repair.sources import Source
from repair.views import hunks_patch

MODULES = (statistics, heapq, textwrap)


def injected() -> list[Record]:
    """A few hundred broken functions of the standard library."""
    injector = Injector(3, 0.15, 0.05)
    made: list[Record] = []
    for module in MODULES:
        path = Path(inspect.getsourcefile(module)).name
        file = CodeFile("python-stdlib", path, inspect.getsource(module))
        for unit in units(file, random.Random(1)):
            for one in injector.examples(unit, 6):
                made.append(as_record(one, unit.source.path))
    return made


def as_record(one, path: str) -> Record:
    view, shift = one.view, one.view.first_line - 1
    buggy = "\n".join(view.lines) + "\n"
    moved = [type(h)(h.first - shift, h.last - shift, h.text) for h in one.hunks]
    source = Source(path, buggy, "python")
    patch = hunks_patch(source, moved)
    return Record(
        language="python",
        buggy=buggy,
        fixed=patch.apply({path: buggy})[path] if moved else buggy,
        origin=Origin.MUTANT,
        path=path,
        function=one.function,
        bug_classes=one.bug_classes,
        operators=one.operators,
        error=view.error,
        error_type=view.error.partition(":")[0],
        error_origin=ErrorOrigin.TEMPLATE if view.error else ErrorOrigin.NONE,
        difficulty=len(one.hunks) * 0.3,
        repository=one.package,
        licence="PSF-2.0",
    )


def pair(buggy: str, fixed: str, **fields) -> Record:
    given = {"language": "python", "origin": Origin.COMMIT, "repository": "a/b", "licence": "MIT", **fields}
    return Record(buggy=buggy, fixed=fixed, **given)


FIX = pair(
    "def f(xs):\n    return xs[0]\n",
    "def f(xs):\n    return xs[-1]\n",
    bug_classes=("bounds",),
    authored="2021-03-01T00:00:00Z",
    reasons=("message: fix", "test changed"),
)


def handmade() -> list[Record]:
    script = "function f(a) {\n  if (a > 1) {\n    return a;\n  }\n  return 0;\n}\n"
    evil = 'def g(s):\n    return "<script>alert(1)</script>" + s\n'
    return [
        FIX,
        pair(script, script.replace("> 1", ">= 1"), language="javascript", bug_classes=("comparison",),
             authored="2019-05-02T00:00:00Z", reasons=("message: fixes #3", "issue"), repository="c/d"),
        pair(evil, evil.replace("+ s", "+ str(s)"), bug_classes=("escape",), authored="2023-01-05T00:00:00Z",
             error="TypeError: <b>bad</b> \u202e", error_type="TypeError", error_origin=ErrorOrigin.REPORTED,
             reasons=("message: fix",)),
        pair("def größe(länge):\n    return länge\n", "def größe(länge):\n    return len(länge)\n",
             bug_classes=("unwrap",), repository="x" * 120, licence=""),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return injected() + handmade()


@pytest.fixture(scope="module")
def dataset(records, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("set") / "small-set"
    (root / "data").mkdir(parents=True)
    for split, some in (("train", records[20:]), ("validation", records[:20])):
        parquet.write_table(pa.Table.from_pylist([to_row(r) for r in some]), root / "data" / f"{split}-00000.parquet")
    rows = [("parse", "does not parse")] * 3 + [("dedup", "near duplicate")] * 9 + [("licence", "GPL <x>")]
    (root / "dropped.jsonl").write_text(
        "".join(json.dumps({"id": str(n), "stage": s, "reason": r}) + "\n" for n, (s, r) in enumerate(rows))
    )
    (root / "manifest.json").write_text(json.dumps({"format": 1, "recipe_digest": "abc", "packages": [1, 2]}))
    return root


@pytest.fixture(scope="module")
def written(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "page.html"
    return write_profile(dataset, out), out


def test_counts_add_up(records, written):
    made, _ = written
    assert made.records == len(records) > 200
    assert sum(count for *_, count in made.splits) == made.records
    assert {split for split, *_ in made.splits} == {"train", "validation"}
    assert made.faulty == sum(r.buggy != r.fixed for r in records)
    assert sum(count for _, count in made.languages) == made.records == made.lines.count
    assert sum(count for _, count in made.lines.bins) == sum(count for _, count in made.tokens.bins) == made.records
    assert sum(made.position.observed) == pytest.approx(sum(made.position.even)) == made.faulty
    assert made.dropped[0] == ("dedup", "near duplicate", 9)
    assert ("packages", "2 entries") in made.manifest


def test_the_directory_adds_nothing_else(records, dataset, written):
    made, _ = written
    plain = profile(records[20:] + records[:20], name=dataset.name)
    assert (plain.classes, plain.lines, plain.warnings) == (made.classes, made.lines, made.warnings)
    assert plain.examples == made.examples
    assert to_json(plain) == to_json(profile(records[20:] + records[:20], name=dataset.name))


def test_what_to_know_is_said(written):
    made, _ = written
    told = "\n".join(made.warnings)
    for part in ("python-stdlib alone gives", "Rare classes", "No record in typescript and java", "made from templates",
                 "Time gap: no record from 2020 and 2022", "no known licence"):  # fmt: skip
        assert part in told


class Checker(HTMLParser):
    """Balanced elements, no scripts, nothing loaded from elsewhere."""

    VOID = frozenset({"meta", "br", "hr", "img", "link", "input", "line", "rect", "circle", "polyline"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.labels: list[str] = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        assert tag not in {"script", "iframe", "link", "img", "object"}
        assert not any(name.startswith("on") or name == "src" for name in values)
        assert (values.get("href") or "#").startswith("#")
        self.ids += [values["id"]] if "id" in values else []
        self.labels += (values.get("aria-labelledby") or "").split()
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in self.VOID

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_stands_alone(written):
    _, out = written
    page = out.read_text("utf-8")
    checker = Checker()
    checker.feed(page)
    assert not checker.open
    assert len(checker.ids) == len(set(checker.ids)) and set(checker.labels) <= set(checker.ids)
    assert out.stat().st_size < 5_000_000
    assert not re.search(r"@import|url\(", page)
    assert "prefers-color-scheme: dark" in page
    assert page.count("<svg") == page.count("<desc") >= 12
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
    assert "<b>bad</b>" not in page and "\\u202e" in page and "\u202e" not in page
    assert '<span class="gap">line 1</span>' in page
    assert '<span class="minus">-     return xs[0]</span><span class="plus">+     return xs[-1]</span>' in page


def test_the_json_has_the_figures(written):
    made, out = written
    values = json.loads(out.with_suffix(".json").read_text("utf-8"))
    assert values["records"] == made.records
    assert values["lines"]["quantiles"] == list(made.lines.quantiles)
    assert values["doubts"][0]["share"].keys() >= {"count", "whole", "low", "high"}
    assert FIX.id in {i for ids in values["examples"].values() for i in ids}


@pytest.mark.parametrize("kind", ["none", "broken", "foreign"])
def test_what_cannot_be_read_is_named(tmp_path, kind):
    (tmp_path / "data").mkdir()
    shard = tmp_path / "data" / "train-0.parquet"
    if kind == "broken":
        shard.write_bytes(b"PAR1 no")
    elif kind == "foreign":
        parquet.write_table(pa.table({"a": [1]}), shard)
    with pytest.raises(InputError, match=r"no \*.parquet" if kind == "none" else "train-0.parquet"):
        write_profile(tmp_path, tmp_path / "out")


def test_an_empty_dataset_has_a_page(tmp_path):
    (tmp_path / "data").mkdir()
    schema = pa.Table.from_pylist([to_row(FIX)]).schema
    parquet.write_table(schema.empty_table(), tmp_path / "data" / "train.parquet")
    made = write_profile(tmp_path, tmp_path / "out")
    assert made.warnings == ("The dataset is empty.",)
    assert "The dataset is empty." in (tmp_path / "out" / "profile.html").read_text()


def test_doubts_about_pairs():
    text = 'def f(a):\n    # old\n    return g(a, "x") + a\n'
    assert cosmetic(pair(text, text.replace("# old", "# new # x")))
    assert cosmetic(pair(text, text.replace('"x"', '"it # is"')))
    assert cosmetic(pair(text, re.sub(r"\ba\b", "b", text)))
    assert not cosmetic(pair(text, text.replace("g(a", "g(b")))  # one of two uses: a wrong variable
    assert not cosmetic(pair(text, text.replace("+ a", "- a")))
    assert not cosmetic(pair("def f(a):\n    return a // 2\n", "def f(a):\n    return a // 3\n"))
    assert cosmetic(pair("f(a); // x\n", "f(a); // y\n", language="javascript"))
    assert weak(pair("a\n", "b\n", reasons=("message",))) and not weak(FIX)


def test_clashes_between_pairs():
    pairs = Pairs()
    other = pair(FIX.buggy, FIX.fixed.replace("-1", "2"))
    clean = pair(FIX.buggy, FIX.buggy)
    back = pair(FIX.fixed, FIX.buggy)
    body = "\n".join(f"    value_{n} = compute(n, {n}) + other" for n in range(40))
    long, longer = (pair(f"def f():\n{body}\n{end}\n", "x\n") for end in ("    return 1", "    return 22"))
    for one in (FIX, FIX, other, clean, back, long, longer):
        pairs.add(one)
    found = pairs.clashes()
    assert (found.exact, found.contradicting, found.undoing) == (1, 4, 3)
    assert (found.near, found.near_of) == (1, 7)
    assert Pairs().clashes().exact == 0


def test_measures():
    half = share(50, 100)
    assert (round(half.low, 3), round(half.high, 3)) == (0.404, 0.596)  # Wilson 1927
    assert share(0, 0).high == 1.0 and share(0, 10).low == 0.0 < share(0, 10).high
    assert gini([1, 1, 1]) == 0 and gini([0, 0, 0, 1]) == 0.75
    assert evenness([5, 5]) == 1.0 and evenness([9, 1]) == pytest.approx(0.469, abs=1e-3)
    assert chi_square([10, 20], [15, 15]) == pytest.approx(10 / 3)
    told = distribution({1: 2, 3: 1, 10: 1}, (0, 1, 2, 5))
    assert told.mean == 3.75 and told.quantiles[3] == 1 and told.quantiles[-1] == 10
    assert told.bins == (("0", 0), ("1", 2), ("2-4", 1), ("5+", 1))


def test_a_clean_balanced_set_has_few_warnings(records):
    languages = ("python", "javascript", "typescript", "java")
    some = [pair(f"y{n}\n", f"y{n}\n", repository=f"r/{n % 10}", authored="2024-01-01") for n in range(20)]
    for n in range(80):
        lines = [f"{letter}{n}" for letter in "abcd"]
        right = [*lines[: n % 4], "x", *lines[n % 4 + 1 :]]
        fields = {"language": languages[n % 4], "repository": f"r/{n % 10}", "bug_classes": (f"class {n % 2}",)}
        dated = {"authored": f"2024-{n % 12 + 1:02}-01T00:00:00Z", "reasons": ("message", "issue")}
        some.append(pair("\n".join([*lines, ""]), "\n".join([*right, ""]), **fields, **dated))
    assert list(cautions(profile(some))) == []


def test_pictures_keep_within_their_width():
    rows = [("n" * 300, 1_000_000), ("<b>", 1)]
    picture = bars(rows, "T", whole=1_000_001, ident="x")
    (label,) = [t for t in re.findall(r'class="name">([^<]*)<', picture) if t.startswith("n")]
    assert len(label) < 50 and "…" in label and "&lt;b&gt;" in picture
    assert all(float(w) <= 360 for w in re.findall(r'width="([\d.]+)"', picture))
    picture = columns([("0-9", 5), ("10+", 0)], "T", ident="y", expected=(2.0, 3.0))
    assert picture.count('class="bar"') == 1 and "polyline" in picture
    assert cut("abcdeghkno", 50) == "abc…no" and percent(1, 5000) == "<0.1 %"
    assert escaped("a\x00<") == "a\\u0000&lt;"
