"""The command `batch`: options and help only; the work lies in `commands/batch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serve.cli_options import Adapter, Minimum, ModelSpec, Ray, SandboxMinimum, Unsafe


def install(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(batch)


def batch(
    repos: Annotated[
        list[str] | None, typer.Argument(metavar="REPO...", help="Repositories: paths or addresses for git.")
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Folder of the run and its results.")] = ...,  # pyright: ignore[reportArgumentType] - Typer's sign of a required option
    lists: Annotated[
        list[Path] | None,
        typer.Option(
            "--list", metavar="FILE", help="Repositories, one a line: PLACE [KEY=VALUE ...], or JSON; or a .toml file."
        ),
    ] = None,
    test: Annotated[str, typer.Option("--test", metavar="CMD", help="Test command; else it is found out.")] = "",
    python: Annotated[
        str, typer.Option("--python", metavar="EXE|VENV", help="Interpreter; else the project's, or one that is built.")
    ] = "",
    requirement: Annotated[
        list[str] | None,
        typer.Option("--requirement", metavar="REQ", help="Package to install beside the declared ones; repeatable."),
    ] = None,
    commit: Annotated[str, typer.Option("--commit", metavar="REV", help="Commit to repair.")] = "HEAD",
    green: Annotated[str, typer.Option("--green", metavar="REV", help="An earlier commit whose tests pass.")] = "",
    log: Annotated[
        Path | None, typer.Option("--log", metavar="FILE", help="CI log or error report of the repository.")
    ] = None,
    sarif: Annotated[
        Path | None, typer.Option("--sarif", metavar="FILE", help="Alerts to repair in the repository.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in OUT: with the same repositories, or none given.")
    ] = False,
    cancel: Annotated[
        str, typer.Option("--cancel", metavar="NAME|all", help="End a repository of the run in OUT, or all of it.")
    ] = "",
    jobs: Annotated[int, typer.Option("--jobs", min=1, metavar="N", help="Workers of this machine.")] = 1,
    ray: Ray = "",
    store: Annotated[
        list[str] | None,
        typer.Option("--store", metavar="URL", help="Database of the run, several share it; else a file in OUT."),
    ] = None,
    model: ModelSpec = None,
    adapter: Adapter = None,
    candidates: Annotated[
        int | None, typer.Option("--candidates", min=1, metavar="N", help="Candidates of a fault at most (400).")
    ] = None,
    faults: Annotated[
        int | None, typer.Option("--faults", min=1, metavar="N", help="Faults of a repository at most (20).")
    ] = None,
    fault_seconds: Annotated[
        float | None, typer.Option("--fault-seconds", min=0, metavar="S", help="Seconds of a fault (300); 0: no bound.")
    ] = None,
    repository_seconds: Annotated[
        float | None,
        typer.Option(
            "--repository-seconds", min=0, metavar="S", help="Worker seconds of a repository (1800); 0: no bound."
        ),
    ] = None,
    seconds: Annotated[float, typer.Option("--seconds", min=0, metavar="S", help="Wall seconds of the run.")] = 0.0,
    test_runs: Annotated[int, typer.Option("--test-runs", min=0, metavar="N", help="Test runs of the run.")] = 0,
    tokens: Annotated[int, typer.Option("--tokens", min=0, metavar="N", help="Model tokens of the run.")] = 0,
    money: Annotated[float, typer.Option("--money", min=0, metavar="M", help="What the run's tokens may cost.")] = 0.0,
    price_prompt: Annotated[
        float, typer.Option("--price-prompt", min=0, metavar="P", help="Price of a million prompt tokens.")
    ] = 0.0,
    price_completion: Annotated[
        float, typer.Option("--price-completion", min=0, metavar="P", help="Price of a million completion tokens.")
    ] = 0.0,
    branches: Annotated[
        bool, typer.Option("--branches", help="Write a branch for each fix into repositories on this machine.")
    ] = False,
    with_tests: Annotated[bool, typer.Option("--with-tests", help="Put reproduction tests into the branches.")] = False,
    open_pr: Annotated[
        bool,
        typer.Option("--open-pr", help="Tell the commands that open pull requests; nothing is sent."),
    ] = False,
    sandbox_minimum: SandboxMinimum = Minimum.B,
    unsafe_no_sandbox: Unsafe = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing while it works.")] = False,
) -> None:
    """Repair many repositories in one run: resumable, within a budget, without touching any checkout.

    Ctrl-C ends it in order, twice at once; --resume goes on. Nothing is written to a repository without --branches.
    """
    from repair.projects.values import Bounds, Order
    from serve.batch.budget import Prices, RunBounds
    from serve.batch.orders import Asked
    from serve.commands import batch as command

    named = {
        "candidates": candidates,
        "faults": faults,
        "fault_seconds": fault_seconds,
        "seconds": repository_seconds,
    }
    overrides: dict[str, int | float] = {name: value for name, value in named.items() if value is not None}
    base = Order(
        "", "", commit, test, python, tuple(requirement or ()), green=green,
        bounds=Bounds(**overrides),  # pyright: ignore[reportArgumentType] - each has its field's type
    )  # fmt: skip
    given = command.Given(
        Asked(tuple(repos or ()), tuple(lists or ()), log, sarif, base), out, resume, cancel, jobs, ray,
        tuple(store or ()), model, adapter, sandbox_minimum.value, unsafe_no_sandbox,
        RunBounds(seconds, test_runs, tokens, money), Prices(price_prompt, price_completion), overrides,
        branches, with_tests, open_pr, as_json, quiet,
    )  # fmt: skip
    raise typer.Exit(command.run(given))
