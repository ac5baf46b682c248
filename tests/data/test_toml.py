"""Recipes: strict, and errors that say what to write instead."""

import pytest

from data.plans import CorpusPlan, Feedback, Inject, Plan
from data.toml import read_plan
from repair.errors import InputError

RECIPE = """name = "n"

[[sources]]
kind = "inject"
path = "wheels"
each = 3

[[sources]]
kind = "feedback"
path = "journal.jsonl"

[split]
test = 0.2
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text(RECIPE)
    return path


def test_tables_become_plans(recipe):
    plan = read_plan(recipe)
    assert isinstance(plan, Plan)
    assert plan.sources == (Inject("wheels", each=3), Feedback("journal.jsonl"))
    assert (plan.split.test, plan.split.seed, plan.clean.secrets) == (0.2, 1, True)


def test_overrides_reach_tables_and_entries_of_lists(recipe):
    plan = read_plan(recipe, ["split.seed=3", "sources.0.each=7", "sources.1.path=other.jsonl", "clean.secrets=false"])
    assert (plan.split.seed, plan.sources[0].each, plan.sources[1].path) == (3, 7, "other.jsonl")
    assert plan.clean.secrets is False


def test_output_and_jobs_do_not_change_the_dataset(recipe):
    plain = read_plan(recipe)
    assert read_plan(recipe, ["output=x", "jobs=4"]).digest() == plain.digest()
    assert read_plan(recipe, ["split.seed=2"]).digest() != plain.digest()


@pytest.mark.parametrize(
    ("old", "new", "said", "field"),
    [
        ("test = 0.2", "tset = 0.2", "r.toml:13: unknown key 'tset'; did you mean 'test'?", "split.tset"),
        ("[split]", "[spilt]", "unknown key 'spilt'; did you mean 'split'?", "spilt"),
        ("each = 3", 'each = "3"', "r.toml:6: sources.0.each must be a whole number, it is '3'", "sources.0.each"),
        ("each = 3", "each = true", "sources.0.each must be a whole number, it is True", "sources.0.each"),
        ("each = 3", "each = 0", "r.toml:6: each is 0; it must be at least 1", "sources.0.each"),
        ('"feedback"', '"fedback"', "r.toml:9: there is no kind 'fedback'; did you mean 'feedback'?", "sources.1.kind"),
        ('path = "wheels"\n', "", "sources.0.path is missing", "sources.0.path"),
        ("test = 0.2", "test = 1.2", "a share between 0 and 1", "split.test"),
        ("test = 0.2", 'after = "2025"', "write a date as 2025-01-31", "split.after"),
        ("test = 0.2", 'by = "time"', "needs the date", "split.by"),
        ('"feedback"', '"suite"', 'set role = "evaluation"', "sources.1.role"),
        ("test = 0.2", "test = ", "not TOML", "recipe"),
    ],
)
def test_mistakes_are_named(recipe, old, new, said, field):
    recipe.write_text(RECIPE.replace(old, new))
    with pytest.raises(InputError) as caught:
        read_plan(recipe)
    assert said in str(caught.value)
    assert caught.value.field.startswith(field.rpartition(".")[0])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("split.sed=1", "did you mean 'seed'?"),
        ("sources.5.each=1", "there is no entry 5"),
        ("name.x=1", "name is a value, not a table"),
        ("seed", "key=value"),
    ],
)
def test_wrong_overrides_are_named(recipe, override, said):
    with pytest.raises(InputError) as caught:
        read_plan(recipe, [override])
    assert said in str(caught.value)


def test_the_corpus_has_its_own_recipe(recipe):
    recipe.write_text('kind = "corpus"\nwheels = "w"\njobs = 2\n[recipe]\nseed = 4\nheld_out = ["rich"]\n')
    plan = read_plan(recipe, ["recipe.limits.smallest=10"])
    assert isinstance(plan, CorpusPlan)
    assert plan.jobs == 2
    assert (plan.recipe.seed, plan.recipe.held_out, plan.recipe.limits.smallest) == (4, ("rich",), 10)
