"""Every picture: well-formed, everything escaped, named and captioned, bounded, the same bytes each time."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from repair.explain.values import Badge, Method, Part, Trust
from repair.views import Hunk
from serve.explaining.fragments import fragments, stylesheet
from serve.explaining.pictures.anomalies import control_chart
from serve.explaining.pictures.attention import arcs, head_grid, line_matrix
from serve.explaining.pictures.lens import race
from serve.explaining.pictures.lines import diff_of, line_map, marked_diff, unit_bars
from serve.explaining.pictures.live import changes
from serve.explaining.pictures.marks import level, number, percent, signed
from serve.explaining.pictures.summary import best_evidence, method_quality, sentence
from serve.explaining.report import LARGEST, report
from tests.serve.explaining import samples

SAMPLES = {name: getattr(samples, name)() for name in ("full", "bare", "hostile", "huge")}


@pytest.fixture(scope="module")
def pieces():
    return {name: fragments(sample) for name, sample in SAMPLES.items()}


def trees(pieces):
    for name, piece in pieces.items():
        yield name, ET.fromstring(f"<div>{piece}</div>")


@pytest.mark.parametrize("name", SAMPLES)
def test_every_piece_is_well_formed_without_scripts_or_inline_styles(pieces, name):
    allowed = {
        "class", "tabindex", "role", "aria-label", "aria-labelledby", "aria-hidden", "scope", "title", "id", "width",
        "height", "viewBox", "x", "y", "cx", "cy", "r", "d", "transform", "text-anchor", "fill-opacity",
        "stroke-width", "stroke-opacity",
    }  # fmt: skip
    for key, tree in trees(pieces[name]):
        for element in tree.iter():
            tag = element.tag.rpartition("}")[2]
            assert tag not in ("script", "style", "img", "a", "foreignObject", "image", "use"), key
            assert set(element.attrib) <= allowed, (key, tag, element.attrib)


def test_hostile_text_is_text(pieces):
    for key, piece in pieces["hostile"].items():
        assert "<script" not in piece, key
        assert "<img" not in piece, key
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", piece), key
    told = "".join(ET.fromstring(f"<div>{pieces['hostile']['diff']}</div>").itertext())
    assert "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>\\u202e\\u0007" in told


def test_drawings_have_a_title_a_description_and_a_caption(pieces):
    seen = 0
    for _, tree in trees(pieces["full"]):
        for figure in tree.iter("figure"):
            caption = figure.find("figcaption")
            assert len("".join(caption.itertext())) > 40
            assert figure.find("h3").text
        for drawing in tree.iter("{http://www.w3.org/2000/svg}svg"):
            title, told = drawing[0], drawing[1]
            assert (title.tag[-5:], told.tag[-4:]) == ("title", "desc")
            assert title.text
            assert told.text
            assert drawing.get("aria-labelledby") == f"{title.get('id')} {told.get('id')}"
            seen += 1
    assert seen == 11


def test_ids_are_unique():
    page = report(SAMPLES["full"])
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_bytes_are_the_same_each_time_and_bounded(pieces):
    for name, sample in SAMPLES.items():
        page = report(sample, when="2026-01-01")
        assert page == report(sample, when="2026-01-01"), name
        assert len(page.encode()) < LARGEST, name
    assert set(pieces["full"]) == {"sentence", "diff", "tests", "quality", "notes", "timing", *(p.value for p in Part)}
    remarked = report(replace(SAMPLES["bare"], notes=("x" * 390,) * 20_000))
    assert len(remarked.encode()) < LARGEST
    assert "and 19900 more" in remarked
    wide = samples.full(evidence=(samples.evidence(),) * 4000)
    page = report(wide)
    assert len(page.encode()) < LARGEST
    assert "Left out to keep this page small" in page


def test_the_page_shows_in_the_order_that_people_want():
    page = report(SAMPLES["full"])
    order = [
        'class="sentence"', "faithful", "Suspected", "The change", "Tests and run-time values", "Line by line",
        'id="panel-tokens"', "Notes, and what is not available", "Timing",
    ]  # fmt: skip
    assert sorted(order, key=page.index) == order
    assert not re.search(r"""(?:src|href|url\()\s*=?\s*["']?https?:""", page)
    assert "default-src 'none'; style-src 'unsafe-inline'" in page


def test_line_map_marks_the_likeliest_lines_and_the_sign_of_evidence():
    full = SAMPLES["full"]
    drawn = line_map(full.subject, full.where, full.evidence[0])
    assert re.findall(r'class="rank">([^<]+)<', drawn) == ["3. 12 %", "2. 21 %", "1. 48 %"]
    assert '<td class="code f8">    base, per_kilo = RATES[destination]' in drawn
    assert '<td class="code a1">    if weight &lt;= 0:' in drawn
    assert drawn.count('class="chip">changed') == 1
    assert "calibrated on held-out faults" in drawn
    assert "the model's own confidence".replace("'", "&#39;") in line_map(
        full.subject, replace(full.where, calibrated=False), None
    )


def test_diff_inserts_deletes_and_marks():
    view = samples.VIEW
    lines = diff_of(view, (Hunk(8, 9, ""), Hunk(12, 11, "    new\n    lines")), around=0)
    assert [(one.kind, one.number) for one in lines] == [
        ("minus", 8), ("minus", 9), ("gap", None), ("plus", None), ("plus", None),
    ]  # fmt: skip
    end = diff_of(view, (Hunk(14, 13, "last"),), around=1)
    assert [(one.kind, one.text.strip()[:6]) for one in end] == [("same", "return"), ("plus", "last")]
    full = SAMPLES["full"]
    drawn = marked_diff(full.subject, full.evidence[0])
    assert '<td class="n f8">+2.60</td>' in drawn
    assert "the traceback (line 13) (+0.90)" in drawn


def test_bars_tell_units_beside_the_code():
    drawn = unit_bars(SAMPLES["full"].evidence[0])
    assert "the error" in drawn
    assert "test line 2" in drawn
    assert "\N{MINUS SIGN}0.22" in drawn


def test_badges_and_methods_that_do_not_beat_random():
    full = SAMPLES["full"]
    assert "does not beat random" in method_quality(full.evidence[1], full.quality)
    assert "does not beat random" not in method_quality(full.evidence[0], full.quality)
    failed = samples.evidence(trust=Trust.FAILED)
    shown = sentence(samples.full(evidence=(failed,), badge=failed.badge))
    assert shown.count("reliable explanation") == 2
    assert best_evidence((failed, samples.evidence(Method.RIDGE, Trust.WEAK))).method is Method.RIDGE
    assert "not measured" in sentence(samples.full(badge=Badge(Trust.UNMEASURED, "")))


def test_attention_says_that_it_is_no_reason():
    seen = SAMPLES["full"].attention
    for drawn in (head_grid(seen), line_matrix(seen), arcs(seen)):
        assert "Where the head looks, not why." in drawn
    huge = line_matrix(SAMPLES["huge"].attention)
    assert "155 rows and 152 columns with less mass are left out" in huge


def test_what_is_missing_or_not_finite_is_said(pieces):
    assert "a model server shows nothing of its inside" in pieces["bare"]["attention"]
    assert "This part was not asked for." in pieces["bare"]["lens"]
    assert "Nothing lies outside" in control_chart(())
    assert "Nothing was changed" in changes(SAMPLES["hostile"].live.interventions.__class__())
    assert (number(float("nan")), signed(float("inf")), percent(float("nan"))) == ("not known",) * 3
    assert (level(float("nan"), 1), level(1, 0), level(-1, 2)) == ("", "", "a4")
    empty = replace(SAMPLES["full"].lens, fixed=np.full(7, np.nan, np.float32))
    assert "nan" not in race(empty)
    assert "not known" in race(empty)


def test_the_lens_tells_when_the_new_text_leads():
    found = replace(
        SAMPLES["full"].lens, fixed=np.array([-9, -1, -7, -2, -1, -1, -1], np.float32),
        original=np.array([-5, -5, -5, -5, -5, -5, -5], np.float32),
    )  # fmt: skip
    assert "The new text leads for good after layer 2." in race(found)


def test_every_class_of_a_piece_has_a_rule(pieces):
    rules = stylesheet()
    used = {
        one
        for piece in pieces["full"].values()
        for names in re.findall(r'class="([^"]+)"', piece)
        for one in names.split()
    }
    plain = {"same", "picture", "notes", "t", "mono", "units", "small", "badge", "gap", "card"}
    assert {one for one in used - plain if not re.search(rf"\.{re.escape(one)}\b", rules)} == set()
