from repair.admission import Admission
from repair.candidates import Candidate
from repair.edits import Patch, patch_between
from repair.sources import Source

CODE = "def add(a, b):\n    total = a - b  # sum\n    return total\n"


def candidate(text: str) -> Candidate:
    return Candidate(patch_between({"a.py": CODE}, {"a.py": text}), "test")


def admission() -> Admission:
    return Admission({"a.py": Source("a.py", CODE)})


def test_a_new_tree_is_admitted_once():
    gate = admission()
    assert gate.admits(candidate(CODE.replace("a - b", "a + b")))
    assert not gate.admits(candidate(CODE.replace("a - b", "(a + b)")))


def test_what_changes_no_code_is_not_admitted():
    gate = admission()
    assert not gate.admits(candidate(CODE.replace("# sum", "# difference")))
    assert not gate.admits(Candidate(Patch(()), "test"))


def test_what_does_not_parse_is_not_admitted():
    assert not admission().admits(candidate(CODE.replace("a - b", "a - ")))


def test_unknown_names_are_not_admitted():
    gate = admission()
    assert not gate.admits(candidate(CODE.replace("a - b", "a - c")))
    assert gate.admits(candidate(CODE.replace("a - b", "a - len(b)")))


def test_a_name_that_was_unknown_before_is_tolerated():
    code = "def f(a):\n    return missing(a)\n"
    gate = Admission({"a.py": Source("a.py", code)})
    patch = patch_between({"a.py": code}, {"a.py": code.replace("missing(a)", "missing(-a)")})
    assert gate.admits(Candidate(patch, "test"))
