"""Options that several commands share, and the words that they take. Nothing heavy may be imported here."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Minimum(StrEnum):
    """The weakest sandbox tier that tests may run in."""

    A = "A"
    B = "B"
    C = "C"


class OutputFormat(StrEnum):
    """How results are printed."""

    TEXT = "text"
    JSON = "json"
    GITHUB = "github"
    SARIF = "sarif"


class Order(StrEnum):
    """How candidates are ordered before they are judged."""

    MODEL = "model"
    HEURISTIC = "heuristic"
    RANDOM = "random"


class Search(StrEnum):
    """How attacks on a case are sought."""

    GREEDY = "greedy"
    RANDOM = "random"
    EACH = "each"


Paths = Annotated[list[Path], typer.Argument(metavar="PATH...", help="Source files that may be changed.")]
Error = Annotated[
    str | None,
    typer.Option("--error", metavar="TEXT|@FILE|-", help="The failure's text, a file of it, or - for stdin."),
]
Test = Annotated[
    str | None,
    typer.Option("--test", metavar="CMD", help="Test command, run in a sandboxed copy of the current directory."),
]
Candidates = Annotated[int, typer.Option("--candidates", min=1, metavar="N", help="Candidates to judge at most.")]
Seconds = Annotated[float, typer.Option("--seconds", min=0.1, metavar="S", help="Wall seconds to spend at most.")]
ModelSpec = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="DIR|HUB_ID|URL|none",
        help="Model; without it the one that ships with Emend, none: search only.",
    ),
]
Adapter = Annotated[Path | None, typer.Option("--adapter", metavar="DIR", help="PEFT adapter for the model.")]
Interpreter = Annotated[
    Path | None, typer.Option("--python", metavar="EXE", help="Interpreter for the tests; else the project's .venv.")
]
Unsafe = Annotated[
    bool,
    typer.Option("--unsafe-no-sandbox", help="Run tests with limits but without isolation if nothing better works."),
]
SandboxMinimum = Annotated[
    Minimum, typer.Option("--sandbox-minimum", help="Refuse to run tests in a weaker sandbox than this.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, in the format of the HTTP service.")]
Printed = Annotated[OutputFormat, typer.Option("--output-format", help="How results are printed.")]
Sarif = Annotated[bool, typer.Option("--sarif", help="Short for --output-format sarif.")]

Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings as TOML; else ./emend.toml where there is one."),
]
Workers = Annotated[int | None, typer.Option("--workers", min=1, metavar="N", help="Repairs at a time (2).")]
Database = Annotated[
    str | None, typer.Option("--database", metavar="URL", help="SQLite or PostgreSQL; else a file in the state folder.")
]

Recipe = Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="What the dataset is made of.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE...]", help="Recipe keys to set, as split.seed=3.")
]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="OUT", help="Folder to write to; else the recipe's `output`.")
]
Jobs = Annotated[int | None, typer.Option("--jobs", min=1, metavar="N", help="Processes; else the recipe's `jobs`.")]
Ray = Annotated[
    str, typer.Option("--ray", metavar="ADDRESS", help="Work on a Ray cluster; `local` starts one on this machine.")
]
SummaryJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]
