"""docs/editors.md and the VS Code client say what the server takes; npm compiles and tests the client."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from dataclasses import fields

import pytest

from serve.lsp.options import SETTINGS, Options
from serve.lsp.server import COMMANDS
from tests.serve.lsp.editor import REPOSITORY

CLIENT = REPOSITORY / "serve" / "editors" / "vscode"
DOCS = (REPOSITORY / "docs" / "editors.md").read_text()
PACKAGE = json.loads((CLIENT / "package.json").read_text())


def rows(heading: str) -> list[list[str]]:
    section = DOCS.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    table = [line for line in section.split("\n") if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", DOCS, re.S)
    assert found
    return found[1]


def test_the_tables_have_the_settings_and_commands_of_the_server():
    assert [row[0].strip("`") for row in rows("Settings")] == list(SETTINGS)
    attributes = {field.name for field in fields(Options)}
    for name, option, meaning in rows("Settings"):
        attribute = SETTINGS[name.strip("`")].attribute
        assert option in ("", f"`--{attribute}`") and attribute in attributes
        if told := re.search(r"\((\d+)\)$", meaning):
            assert float(told[1]) == getattr(Options(), attribute)
    assert {row[0].strip("`"): row[1].strip("`") for row in rows("Commands")} == COMMANDS


def test_the_client_has_the_settings_that_are_told_and_the_server_knows_them():
    properties = PACKAGE["contributes"]["configuration"]["properties"]
    assert {row[0].strip("`") for row in rows("Visual Studio Code")} == set(properties)
    assert {name.removeprefix("emend.") for name in properties} - {"path"} <= set(SETTINGS)
    assert properties["emend.seconds"]["default"] == Options().seconds
    assert {properties[f"emend.{name}"]["scope"] for name in ("path", "model")} == {"machine"}


def test_the_client_asks_only_for_commands_that_there_are():
    code = (CLIENT / "src" / "extension.ts").read_text()
    asked = set(re.findall(r'ask\("(emend\.\w+)"', code))
    assert asked == set(COMMANDS)
    named = {command["command"].removeprefix("emend.client.") for command in PACKAGE["contributes"]["commands"]}
    table = code.split("const commands:")[1].split("};")[0]
    assert named == set(re.findall(r"^    (\w+)[:,]", table, re.M))


def test_the_examples_can_be_read():
    config = tomllib.loads(block("toml"))["language-server"]["emend"]["config"]["emend"]
    assert set(config) | set(json.loads(block("json"))["emend"]) <= set(SETTINGS)
    assert block("elisp").count("(") == block("elisp").count(")")


@pytest.mark.skipif(shutil.which("nvim") is None, reason="there is no nvim; `apt-get install neovim` gives one")
def test_the_lua_of_the_docs_is_lua(tmp_path):
    (tmp_path / "init.lua").write_text(block("lua"))
    check = "lua local f, e = loadfile('init.lua'); io.write(e or 'fine'); vim.cmd(f and 'qall!' or 'cquit')"
    command = ["nvim", "--headless", "-u", "NONE", "-i", "NONE", "-c", check]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.skipif(
    not (CLIENT / "node_modules").is_dir() and os.environ.get("EMEND_NPM") != "1",
    reason="no node_modules in serve/editors/vscode; run npm ci there, or set EMEND_NPM=1 to fetch them",
)
def test_npm_compiles_and_tests_the_client():
    if not (CLIENT / "node_modules").is_dir():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=CLIENT, check=True, timeout=240)
    for script in ("compile", "test"):
        run = subprocess.run(["npm", "run", script], cwd=CLIENT, capture_output=True, timeout=120, check=False)
        assert run.returncode == 0, (run.stdout + run.stderr).decode()
    assert (CLIENT / "dist" / "extension.js").stat().st_size > 10_000
