"""Orders from places, list files, logs and alerts; what is refused, and where it says so."""

import json

import pytest

from repair.errors import InputError
from repair.projects.values import Bounds, Order
from serve.batch.orders import Asked, read_orders

LIST = """\
# a comment
one            # the folder beside this file
https://example.org/team/two.git commit=abc test="pytest -q tests" priority=3 faults=4 seconds=12.5

{"place": "three", "name": "Three", "requirements": ["a>=1", "b"], "bounds": {"tokens": 9}, "log": "ci.log"}
git@example.org:team/four.git name=4 python=.venv requirements=a,b green=v1 sarif=alerts.sarif
"""


def test_a_list_says_all_of_each_repository(tmp_path):
    (tmp_path / "list").write_text(LIST)
    (tmp_path / "ci.log").write_text("E   ValueError: no\n")
    (tmp_path / "alerts.sarif").write_text("{}")
    base = Order("", "", test="make test", bounds=Bounds(candidates=7))
    one, two, three, four = read_orders(Asked(lists=(tmp_path / "list",), base=base))
    assert one == Order("one", str(tmp_path / "one"), test="make test", bounds=Bounds(candidates=7))
    assert (two.name, two.place) == ("two", "https://example.org/team/two.git")
    assert (two.commit, two.test, two.priority) == ("abc", "pytest -q tests", 3)
    assert two.bounds == Bounds(candidates=7, faults=4, seconds=12.5)
    assert (three.name, three.requirements, three.report) == ("Three", ("a>=1", "b"), "E   ValueError: no\n")
    assert three.bounds.tokens == 9
    assert (four.name, four.python, four.requirements, four.green, four.alerts) == (
        "4",
        ".venv",
        ("a", "b"),
        "v1",
        "{}",
    )


def test_a_list_may_be_toml(tmp_path):
    (tmp_path / "l.toml").write_text('[[repository]]\nplace = "x"\npriority = 2\n[repository.bounds]\nmoney = 1\n')
    (only,) = read_orders(Asked(lists=(tmp_path / "l.toml",)))
    assert (only.name, only.priority, only.bounds.money) == ("x", 2, 1.0)


def test_places_are_named_by_their_last_parts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    orders = read_orders(Asked(("a/lib", "b/lib/", "ssh://h/odd name!.git", ".")))
    assert [one.name for one in orders] == ["a.lib", "b.lib", "odd-name", tmp_path.name]
    assert orders[0].place == str(tmp_path / "a" / "lib")


def test_a_log_and_alerts_belong_to_one_repository(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"x" * 5_000_000 + b"\xffend")
    (only,) = read_orders(Asked(("a",), log=log))
    assert only.report.endswith("\N{REPLACEMENT CHARACTER}end") and len(only.report) == 4 * 1024 * 1024
    with pytest.raises(InputError, match="--log belongs to one") as refused:
        read_orders(Asked(("a", "b"), log=log))
    assert refused.value.field == "log"


@pytest.mark.parametrize(
    ("places", "said", "field"),
    [
        ((), "no repository was given", "repo"),
        (("a", "./a"), r"\./a: the same repository and commit as a", "repo"),
        (("", "a"), "place is empty", "place"),
        (("https://u:secret@h/x",), "holds a password", "place"),
        (("x/y/lib", "z/y/lib"), "the name y.lib is that of x/y/lib", "name"),
    ],
)
def test_bad_places_are_refused(places, said, field):
    with pytest.raises(InputError, match=said) as refused:
        read_orders(Asked(places))
    assert refused.value.field == field and "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("line", "said", "field"),
    [
        ("a priority=high", "priority is 'high'", "priority"),
        ("a faults=0", "faults is 0; at least 1", "faults"),
        ("a 'b", "No closing quotation", "list"),
        ("a b", "'b' is no key=value", "list"),
        ("a colour=red", "colour is not known; known are place, name", "colour"),
        ("a name=../x", "name is '../x'", "name"),
        ("a log=missing", "missing: No such file", "log"),
        ("{", "not JSON", "list"),
        (json.dumps({"name": "x"}), "place is missing", "place"),
        (json.dumps({"place": "a", "test": 3}), "test is 3; expected a string", "test"),
        (json.dumps({"place": "a", "priority": 1.5}), "priority is 1.5; expected a whole number", "priority"),
        (json.dumps({"place": "a", "bounds": {"hours": 1}}), "bounds.hours is not known", "hours"),
        (json.dumps({"place": "a", "requirements": [1]}), "requirements: expected strings", "requirements"),
    ],
)
def test_a_bad_line_is_told_with_its_place(tmp_path, line, said, field):
    path = tmp_path / "list"
    path.write_text(f"\nfine\n{line}\n")
    with pytest.raises(InputError, match=said) as refused:
        read_orders(Asked(lists=(path,)))
    assert str(refused.value).startswith(f"{path}:3: ") and refused.value.field == field
    assert str(refused.value).count(str(path)) <= 1 + ("missing" in line)


def test_names_that_differ_in_case_only_are_one(tmp_path):
    (tmp_path / "list").write_text("a name=X\nb name=x\n")
    with pytest.raises(InputError, match="each its own by `name=`"):
        read_orders(Asked(lists=(tmp_path / "list",)))
