"""The README says what is there: commands, options, endpoints, make targets."""

import re
import shlex
from contextlib import closing
from pathlib import Path

import pytest
import typer

from serve.app import create_app
from serve.cli import app
from serve.settings import Settings
from serve.store import Store
from tests.serve.served import parts_of

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands():
    """Every command's path with its option names, the long one where there are two."""

    def walk(command, path):
        if hasattr(command, "commands"):
            for name, inner in command.commands.items():
                yield from walk(inner, (*path, name))
        else:
            options = {max(p.opts, key=len) for p in command.params if p.opts[0].startswith("-")}
            yield " ".join(path), options

    return dict(walk(typer.main.get_command(app), ()))


def tables():
    """Option tables by the command that their heading names."""
    sections = re.findall(r"^### `emend ([a-z ]+?)(?: [A-Z. ]+)?`\n\n((?:\|.*\n)+)", README, re.M)
    return {name: re.findall(r"^\| `(--[a-z-]+)` \|", table, re.M) for name, table in sections}


def shell_lines():
    blocks = re.findall(r"```sh\n(.*?)```", README, re.S)
    return [line for block in blocks for line in block.split("\n") if re.match(r"(emend|make) ?", line)]


def test_every_command_has_its_table():
    assert set(tables()) == set(commands())


@pytest.mark.parametrize("name", sorted(commands()))
def test_table_has_the_options_of_the_command(name):
    assert sorted(tables()[name]) == sorted(commands()[name])


def test_defaults_are_told_right():
    for name, option, told in (
        ("fix", "candidates", "(400)"), ("fix", "seconds", "(60)"),
        ("train pairs", "candidates", "(60)"), ("train pairs", "seconds", "(10)"), ("train pairs", "pairs", "(4)"),
    ):  # fmt: skip
        command = typer.main.get_command(app)
        for word in name.split():
            command = command.commands[word]
        default = next(p.default for p in command.params if f"--{option}" in p.opts)
        assert f"({default:g})" == told
        row = re.search(rf"### `emend {name}.*?\| `--{option}` \|(.*?)\|", README, re.S)
        assert told in row[1]


def test_defaults_of_the_service_are_told_right():
    fields = Settings.model_fields
    for option, field in (
        ("host", "host"), ("port", "port"), ("workers", "workers"), ("candidates", "max_candidates"),
        ("seconds", "max_seconds"),
    ):  # fmt: skip
        row = re.search(rf"### `emend serve`.*?\| `--{option}` \|(.*?)\|", README, re.S)
        default = fields[field].default
        assert f"({default:g})" in row[1] if isinstance(default, float) else f"({default})" in row[1]


def test_endpoint_table_is_the_interface(tmp_path):
    told = set(re.findall(r"^\| `([A-Z]+) (/\S+)` \|", README, re.M))
    with closing(Store.open(f"sqlite:///{tmp_path}/emend.db")) as store:
        schema = create_app(parts_of(None, store)).openapi()
    there = {(method.upper(), path) for path, methods in schema["paths"].items() for method in methods}
    assert told == there


@pytest.mark.parametrize("line", shell_lines())
def test_shell_lines_name_what_exists(line):
    words = shlex.split(line)
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.M)
        return
    name = next(name for name in commands() if words[1 : 1 + len(name.split())] == name.split())
    options = {word for word in words if word.startswith("--")}
    assert options <= commands()[name]


def test_make_targets_in_the_text_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make ([a-z]+)`", README):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_files_that_the_text_names_exist():
    for path in re.findall(r"(?<![./\w-])((?:docs|training/recipes)/[a-z0-9./-]+\.(?:md|toml))", README):
        assert (ROOT / path).is_file(), path


def test_first_command_stands_early():
    assert "make demo" in "\n".join(README.split("\n")[:15])
