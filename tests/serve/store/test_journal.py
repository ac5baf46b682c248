"""What the store keeps beside the texts of the journal, and how entries are found, on both databases."""

import json

import pytest
from sqlalchemy import select, text

from repair.errors import InputError
from serve.store.database import Database
from serve.store.journal import MOST_LABELS, Facts, Journal
from serve.store.journalwanted import Wanted
from serve.store.migrate import migrate
from serve.store.tables import journal_labels, journal_summaries

SECRET = "AKIA" + "IOSFODNN7EXAMPLE"
FACTS = Facts("repair", "r-1", "python", "NameError", "traceback", "replace", "emend", "style", "plausible", "name")


def found(store, **wanted):
    return [entry.id[-1] for entry in store.journal.list(wanted=Wanted(**wanted))[0]]


@pytest.fixture
def filled(store, clock):
    """Five entries, a second apart; the last is the newest."""
    for number in range(5):
        facts = Facts(
            language=("python", "java")[number % 2], verdict=("plausible", "none", "undecided")[number % 3],
            model=("emend", "other")[number > 2],
        )  # fmt: skip
        request = json.dumps({"error": f'Grüße 100%_{number}\n"quoted"'})
        store.journal.add(f"rep_{number}", "k", request, json.dumps({"notes": [f"Answer {number}"]}), facts)
        clock.wait(1)
    return store


def test_entries_are_found_by_what_is_known_of_them(filled):
    assert found(filled, language="java") == ["3", "1"]
    assert found(filled, verdict="none") == ["4", "1"]
    assert found(filled, model="other", language="python") == ["4"]
    times = [entry.created for entry in filled.journal.list()[0]]
    assert found(filled, since=times[1]) == ["4", "3"]
    assert found(filled, until=times[1]) == ["2", "1", "0"]
    page, before = filled.journal.list(1, None, Wanted(language="java"))
    assert [entry.id for entry in page] == ["rep_3"]
    page, before = filled.journal.list(1, before, Wanted(language="java"))
    assert ([entry.id for entry in page], before) == (["rep_1"], None)


def test_entries_are_found_by_words_not_by_patterns(filled):
    expected = {"grüße": "43210", "ANSWER 3": "3", "%_2": "2", "100__": "", '\n"quoted"': "43210", "\\": ""}
    assert {words: "".join(found(filled, text=words)) for words in expected} == expected


def test_entries_are_found_by_the_last_word_on_their_patches(filled):
    filled.feedback.add("k", "rep_0", 0, True)
    filled.feedback.add("k", "rep_0", 1, False)
    filled.feedback.add("k", "rep_1", 0, False)
    filled.feedback.add("other", "rep_1", 0, True)  # overrules
    assert found(filled, decision="accepted") == ["1", "0"]
    assert found(filled, decision="rejected") == ["0"]
    assert found(filled, decision="none") == ["4", "3", "2"]
    assert {key: len(said) for key, said in filled.feedback.of_all(["rep_0", "rep_1", "rep_2"]).items()} == {
        "rep_0": 2,
        "rep_1": 2,
    }


def test_labels_are_set_found_and_removed(filled):
    journal = filled.journal
    assert journal.label("rep_1", ("off-by-one", "b", "b")) == ("b", "off-by-one")
    assert journal.label("rep_2", ("b",)) == ("b",)
    assert found(filled, label="b") == ["2", "1"]
    assert found(filled, label="off-by-one") == ["1"]
    assert [entry.labels for entry in journal.list()[0]] == [(), (), ("b",), ("b", "off-by-one"), ()]
    assert (journal.words().labels, journal.words().models) == (("b", "off-by-one"), ("emend", "other"))
    assert journal.unlabel("rep_1", ("b", "unheard")) == ("off-by-one",)
    assert journal.label("rep_9", ("b",)) is None and journal.unlabel("rep_9", ("b",)) is None
    many = tuple(f"l{number}" for number in range(MOST_LABELS))
    with pytest.raises(InputError, match="at most 20 labels"):
        journal.label("rep_1", many)
    assert journal.get("rep_1").labels == ("off-by-one",)
    assert len(journal.label("rep_0", many)) == MOST_LABELS


def test_what_cannot_be_a_label_is_refused(filled):
    for label in ("", "A", "a b", "-a", "a" * 41, "ä", "a\n", "sk-" + "a1" * 15):
        with pytest.raises(InputError) as refused:
            filled.journal.label("rep_1", ("fine", label))
        assert refused.value.field == "label", label
    assert filled.journal.get("rep_1").labels == ()


def test_facts_and_summaries_are_kept_without_secrets(store):
    facts = Facts("repair", SECRET, model=f"m {SECRET}", timing={"queue": 0.5})
    store.journal.add("rep_1", "k", "{}", "{}", facts, {"repair": {"a": [1, {"b": f"key {SECRET}"}]}})
    entry = store.journal.get("rep_1")
    assert (entry.facts.timing, entry.summaries) == ({"queue": 0.5}, {"repair": {"a": [1, {"b": "key [redacted]"}]}})
    assert (entry.facts.request_id, entry.facts.model) == ("[redacted]", "m [redacted]")
    assert store.journal.add_summary("rep_1", "explanation:ridge", {"lds": 0.4})
    assert store.journal.add_summary("rep_1", "explanation:ridge", {"lds": 0.5})
    assert not store.journal.add_summary("rep_2", "explanation:ridge", {})
    assert dict(store.journal.get("rep_1").summaries)["explanation:ridge"] == {"lds": 0.5}
    store.journal.add("rep_1", "k", "{}", "{}", Facts(), {"second": {}})  # of two with one id the first stays
    assert set(store.journal.get("rep_1").summaries) == {"repair", "explanation:ridge"}


def test_what_cannot_be_a_summary_is_refused(store):
    store.journal.add("rep_1", "k", "{}", "{}")
    wrong = [("", {}, "kind"), ("A B", {}, "kind"), ("a", {"x": "y" * 300_000}, "summary")]
    for kind, summary, field in (*wrong, ("a", {"x": {1, 2}}, "summary"), ("a", {"x": float("nan")}, "summary")):
        with pytest.raises(InputError) as refused:
            store.journal.add_summary("rep_1", kind, summary)
        assert refused.value.field == field
    assert store.journal.get("rep_1").summaries == {}


def test_the_number_of_summaries_is_bounded(store):
    store.journal.add("rep_1", "k", "{}", "{}", None, {f"k{number}": {} for number in range(50)})
    assert store.journal.add_summary("rep_1", "k0", {"again": 1})
    with pytest.raises(InputError, match="at most 50"):
        store.journal.add_summary("rep_1", "more", {})


def test_the_name_of_a_key_is_told(store):
    row, _ = store.keys.create("ci", ("repair",))
    store.journal.add("rep_1", row.id, "{}", "{}")
    store.journal.add("rep_2", "local", "{}", "{}")
    assert [entry.key_name for entry in store.journal.list()[0]] == ["", "ci"]


@pytest.mark.parametrize("way", ["remove", "prune"])
def test_nothing_of_an_entry_outlives_it(store, clock, way):
    store.journal.add("rep_1", "k", "{}", "{}", FACTS, {"repair": {}})
    store.journal.label("rep_1", ("a",))
    clock.wait(2 * 86400)
    store.journal.add("rep_2", "k", "{}", "{}", FACTS, {"repair": {}})
    store.journal.label("rep_2", ("b",))
    assert store.journal.remove("rep_1") if way == "remove" else store.journal.prune(1) == 1
    left = store._database.read(
        lambda c: [set(c.execute(select(table.c.entry_id)).scalars()) for table in (journal_labels, journal_summaries)]
    )
    assert left == [{"rep_2"}, {"rep_2"}]
    assert store.journal.get("rep_2").facts == FACTS


def test_older_entries_are_kept_and_found_after_the_migration(url):
    database = Database(url)
    migrate(database, "0002")
    answers = {
        "rep_1": {"model": "emend", "patches": [{"verdict": "undecided"}, {"verdict": "plausible"}], "chosen": 1},
        "rep_2": {"model": "none", "patches": [], "chosen": None},
        "loc_3": {"model": "emend", "fault": []},
    }
    written = {name: json.dumps(answer) for name, answer in answers.items()} | {"rep_4": "no JSON", "rep_5": "[]"}
    for number, (name, answer) in enumerate(written.items()):
        values = {"id": name, "key_id": "k", "created": number, "request": "{}", "answer": answer}
        row = text("INSERT INTO journal VALUES (:id, :key_id, :created, :request, :answer)")
        database.write(lambda c, _, row=row, values=values: c.execute(row, values))
    migrate(database)
    journal = Journal(database)
    told = {e.id: (e.facts.kind, e.facts.model, e.facts.verdict) for e in journal.list()[0]}
    assert told == {
        "rep_1": ("repair", "emend", "plausible"), "rep_2": ("repair", "none", "none"),
        "loc_3": ("localization", "emend", "none"), "rep_4": ("", "", ""), "rep_5": ("", "", ""),
    }  # fmt: skip
    assert journal.get("rep_1").answer == written["rep_1"] and journal.get("rep_1").facts.timing == {}
    assert journal.label("rep_1", ("a",)) == ("a",)
    migrate(database, "0002")
    assert database.read(lambda c: c.execute(text("SELECT count(*) FROM journal")).scalar_one()) == 5
    database.close()
