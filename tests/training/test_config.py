from __future__ import annotations

from pathlib import Path

import pytest

from repair.errors import InputError
from training.config import Recipe, parse_recipe, read_recipe


def test_sections_and_overrides_become_values():
    recipe = parse_recipe(
        "[model]\nwidth = 128\nheads = 4\n[data]\nshards = ['a.npy', 'b.npy']",
        ["optim.lr=1e-4", "run.out=out/x", "run.compile=true", "data.rows=3", "optim.clip=2"],
    )
    assert recipe.model.width == 128
    assert recipe.data.shards == ("a.npy", "b.npy")
    assert (recipe.optim.lr, recipe.optim.clip, recipe.data.rows) == (1e-4, 2.0, 3)
    assert recipe.run.out == Path("out/x")
    assert recipe.run.compile is True


def test_an_empty_recipe_is_the_default():
    assert parse_recipe("") == Recipe()


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("[model]\nwidht = 3", [], "did you mean width"),
        ("[optm]\nlr = 3", [], "did you mean optim"),
        ("", ["optim.lrate=3"], "did you mean"),
        ("", ["optim.lr"], "key=value"),
        ("", ["optim.lr.x=3"], "optim"),
        ("optim = 3", ["optim.lr=3"], "no table"),
        ("[optim]\nlr = 'fast'", [], "expected float"),
        ("[data]\nrows = true", [], "expected int"),
        ("[data]\nrows = 0", [], "positive"),
        ("[model]\nheads = 7", [], "divide"),
        ("[optim]\noptimizer = 'lion'", [], "one of"),
        ("[run]\ndtype = 'int4'", [], "bfloat16"),
        ("[run", [], "no TOML"),
        ("run = 4", [], "table"),
    ],
)
def test_bad_recipes_are_refused(text: str, overrides: list[str], message: str):
    with pytest.raises(InputError, match=message):
        parse_recipe(text, overrides)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"none\.toml"):
        read_recipe(tmp_path / "none.toml")
