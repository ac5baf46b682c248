"""JUnit XML as Node, Maven and the JUnit console write it."""

from __future__ import annotations

from repair.oracles.junit import parse_junit
from repair.verdicts import Outcome

NODE = b"""<?xml version="1.0" encoding="utf-8"?>
<testsuites>
  <testsuite name="sums" time="0.003" tests="2" failures="1">
    <testcase name="adds" time="0.0012" classname="test">
      <failure type="testCodeFailure" message="3 !== 4">[Error] stack here</failure>
    </testcase>
    <testcase name="adds" time="0.0002" classname="test"/>
  </testsuite>
  <testcase name="alone" time="oops" classname="test"><skipped/></testcase>
</testsuites>"""
MAVEN = b"""<testsuite name="com.x.CalcTest" tests="2">
  <testcase name="adds" classname="com.x.CalcTest" time="0.01"><error type="E">trace</error></testcase>
  <testcase name="subtracts" classname="com.x.CalcTest" time="0.02"/>
</testsuite>"""


def test_nested_suites_and_equal_names():
    tests = parse_junit(NODE)
    assert tests is not None
    assert [(t.test_id, t.outcome) for t in tests] == [
        ("sums > adds", Outcome.FAILED),
        ("sums > adds (2)", Outcome.PASSED),
        ("alone", Outcome.SKIPPED),
    ]
    assert "3 !== 4" in tests[0].message
    assert "stack here" in tests[0].message


def test_class_names():
    tests = parse_junit(MAVEN)
    assert tests is not None
    assert [(t.test_id, t.outcome) for t in tests] == [
        ("com.x.CalcTest > adds", Outcome.ERROR),
        ("com.x.CalcTest > subtracts", Outcome.PASSED),
    ]


def test_what_is_no_report():
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa">]><testsuites><testcase name="&a;"/></testsuites>'
    for document in (b"", b"ok 1", NODE[:-30], b"<html/>", bomb):
        assert parse_junit(document) is None
    assert parse_junit(b"<testsuites/>") == ()
