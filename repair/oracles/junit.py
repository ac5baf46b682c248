"""JUnit XML as tools of many languages write it, read into TestResults."""

from __future__ import annotations

import re
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from repair.verdicts import Outcome, TestResult

MESSAGE_CHARACTERS = 6000
_ENTITIES = re.compile(rb"<!(DOCTYPE|ENTITY)", re.I)


def parse_junit(document: bytes) -> tuple[TestResult, ...] | None:
    """Results of all test cases; None when it is no whole JUnit document.

    A document with a DOCTYPE is refused: entities could make it grow without bound, and no tool writes one.
    """
    if _ENTITIES.search(document):
        return None
    try:
        root = ElementTree.fromstring(document)
    except ElementTree.ParseError:
        return None
    if root.tag not in ("testsuites", "testsuite"):
        return None
    found: dict[str, TestResult] = {}
    _collect(root, (), found)
    return tuple(found.values())


def _collect(element: Element, names: tuple[str, ...], found: dict[str, TestResult]) -> None:
    for child in element:
        if child.tag == "testsuite":
            _collect(child, (*names, child.get("name", "")), found)
        elif child.tag == "testcase":
            result = _result(child, names, found)
            found[result.test_id] = result


def _result(case: Element, names: tuple[str, ...], known: dict[str, TestResult]) -> TestResult:
    """One test case; ids that occur twice get a number, so that none hides another."""
    place = case.get("file") or (case.get("classname", "") if not names else "")
    base = " > ".join(part for part in (place, *names, case.get("name", "")) if part and part != "test")
    test_id, number = base, 1
    while test_id in known:
        number += 1
        test_id = f"{base} ({number})"
    for child in case:
        if child.tag in ("failure", "error"):
            message = f"{child.get('message', '')}\n{child.text or ''}".strip()[:MESSAGE_CHARACTERS]
            return TestResult(
                test_id, Outcome.FAILED if child.tag == "failure" else Outcome.ERROR, message, _seconds(case)
            )
        if child.tag == "skipped":
            return TestResult(test_id, Outcome.SKIPPED)
    return TestResult(test_id, Outcome.PASSED, seconds=_seconds(case))


def _seconds(case: Element) -> float:
    try:
        return float(case.get("time", "0"))
    except ValueError:
        return 0.0
