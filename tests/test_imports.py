"""Imports point one way, and asking for help costs nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# not pydantic: Typer itself imports it for the help of a command with options
HEAVY = (
    "torch",
    "transformers",
    "peft",
    "numpy",
    "fastapi",
    "uvicorn",
    "httpx",
    "tree_sitter",
    "rich.progress",
    "pyarrow",
    "datasets",
    "ray",
)


def modules_after(*argv):
    """Names of all modules that `emend ARGV` imports until it exits."""
    script = (
        "import json, sys\n"
        "from serve.cli import main\n"
        f"sys.argv = ['emend', *{list(argv)!r}]\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    code = end.code\n"
        "print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=300
    )
    code, names = json.loads(done.stderr)
    assert code in (0, None)
    return set(names)


@pytest.mark.parametrize(
    "argv",
    [("--help",), ("fix", "--help"), ("eval", "--help"), ("eval", "run", "--help"), ("data", "build", "--help")],
)
def test_help_imports_nothing_heavy(argv):
    assert not modules_after(*argv).intersection(HEAVY)


def test_contracts_hold():
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_only_commands_may_import_measurement_and_training():
    """The forbidden contract names modules, so a new module of serve must be added to it."""
    import tomllib

    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    named = {name for c in contracts if c["type"] == "forbidden" for name in c["source_modules"]}
    there = {f"serve.{path.stem}" for path in (ROOT / "serve").glob("*.py")}
    lines = {f"serve.cli{one}" for one in ("", "_batch", "_explain", "_model", "_service")}  # import commands, lazily
    assert there - named == {"serve.__init__", "serve.__main__", *lines}
