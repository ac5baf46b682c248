"""Commands of the service: serve, worker, lsp, keys, journal. Options and help only; the work lies in `commands/`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from serve.cli_options import (
    Adapter,
    Candidates,
    Config,
    Database,
    Interpreter,
    Minimum,
    ModelSpec,
    SandboxMinimum,
    Seconds,
    SummaryJson,
    Unsafe,
    Workers,
)

access = typer.Typer(help="Keys of the service.", no_args_is_help=True, rich_markup_mode=None)
journal = typer.Typer(help="Repairs that the service kept.", no_args_is_help=True, rich_markup_mode=None)


def install(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (serve, worker, lsp):
        app.command()(command)
    app.add_typer(access, name="keys")
    app.add_typer(journal, name="journal")


class Auth(StrEnum):
    """Who may use the service."""

    KEYS = "keys"
    OFF = "off"


def serve(
    config: Config = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on (127.0.0.1).")] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Port to listen on (8451), 0 for any free one.")
    ] = None,
    auth: Annotated[
        Auth | None, typer.Option("--auth", help="Ask for keys (default), or off: only on a loopback address.")
    ] = None,
    model: ModelSpec = None,
    adapter: Adapter = None,
    python: Interpreter = None,
    workers: Workers = None,
    database: Database = None,
    candidates: Annotated[
        int | None, typer.Option("--candidates", min=1, help="Most candidates that a request may ask (1000).")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=1, help="Most seconds that a request may ask (120).")
    ] = None,
    sandbox_minimum: Annotated[
        Minimum | None, typer.Option("--sandbox-minimum", help="Refuse to run tests in a weaker sandbox than this (B).")
    ] = None,
    unsafe_no_sandbox: Unsafe = False,
) -> None:
    """Serve the HTTP interface and the page."""
    from serve.commands import service as command
    from serve.settings import read_settings

    settings = read_settings(
        config, host=host, port=port, auth=auth and auth.value, model=model, adapter=adapter, python=python,
        workers=workers, database=database, max_candidates=candidates, max_seconds=seconds,
        sandbox_minimum=sandbox_minimum and sandbox_minimum.value, unsafe_no_sandbox=unsafe_no_sandbox or None,
    )  # fmt: skip
    raise typer.Exit(command.run(settings))


def worker(
    config: Config = None,
    model: ModelSpec = None,
    adapter: Adapter = None,
    workers: Workers = None,
    database: Database = None,
) -> None:
    """Do the jobs of a database, without HTTP: more machines for one service."""
    from serve.commands import service as command
    from serve.settings import read_settings

    settings = read_settings(config, model=model, adapter=adapter, workers=workers, database=database)
    raise typer.Exit(command.work(settings))


def lsp(
    test: Annotated[
        str | None, typer.Option("--test", metavar="CMD", help="Test command; else it is found out in the project.")
    ] = None,
    candidates: Candidates = 200,
    seconds: Seconds = 60.0,
    model: ModelSpec = None,
    adapter: Adapter = None,
    python: Interpreter = None,
    sandbox_minimum: SandboxMinimum = Minimum.B,
    unsafe_no_sandbox: Unsafe = False,
) -> None:
    """Serve an editor on stdin and stdout by the language server protocol."""
    from serve.commands import lsp as command
    from serve.lsp.options import Options

    options = Options(
        model=model,
        adapter=adapter,
        python=python,
        test=test,
        seconds=seconds,
        candidates=candidates,
        sandbox_minimum=sandbox_minimum.value,
        unsafe_no_sandbox=unsafe_no_sandbox,
    )
    raise typer.Exit(command.run(options))


@access.command("create")
def keys_create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is.")],
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="repair, jobs, metrics or admin; may be repeated.")
    ] = None,
    days: Annotated[float | None, typer.Option("--days", min=0.01, help="Days until it expires; else never.")] = None,
    rate: Annotated[int | None, typer.Option("--rate", min=1, help="Requests a minute.")] = None,
    concurrent: Annotated[int | None, typer.Option("--concurrent", min=1, help="Requests at a time.")] = None,
    config: Config = None,
    database: Database = None,
    as_json: SummaryJson = False,
) -> None:
    """Make a key and print it, once."""
    from serve.commands import keys as command
    from serve.settings import read_settings

    settings = read_settings(config, database=database)
    raise typer.Exit(command.create(settings, name, scope or (), days, rate, concurrent, as_json=as_json))


@access.command("list")
def keys_list(config: Config = None, database: Database = None, as_json: SummaryJson = False) -> None:
    """List the keys, without their secrets."""
    from serve.commands import keys as command
    from serve.settings import read_settings

    raise typer.Exit(command.list_keys(read_settings(config, database=database), as_json=as_json))


@access.command("revoke")
def keys_revoke(
    identity: Annotated[str, typer.Argument(metavar="ID", help="As `emend keys list` shows it.")],
    config: Config = None,
    database: Database = None,
) -> None:
    """Make a key worthless, within five seconds also in a service that runs."""
    from serve.commands import keys as command
    from serve.settings import read_settings

    raise typer.Exit(command.revoke(read_settings(config, database=database), identity))


Entry = Annotated[str, typer.Argument(metavar="ID", help="As `emend journal list` shows it.")]


HavingLabel = Annotated[str | None, typer.Option("--label", help="Only those that have this label.")]
HavingLanguage = Annotated[str | None, typer.Option("--language", help="Only those in this language.")]
HavingVerdict = Annotated[
    str | None,
    typer.Option("--verdict", help="Only those whose chosen, else best patch has this verdict; none: without a patch."),
]
HavingModel = Annotated[str | None, typer.Option("--model", metavar="NAME", help="Only those of this model.")]
HavingDecision = Annotated[
    str | None, typer.Option("--decision", help="Only those of which a patch was accepted or rejected, or none was.")
]
HavingText = Annotated[str | None, typer.Option("--text", help="Only those that have these words in them.")]
Since = Annotated[str | None, typer.Option("--since", metavar="TIME", help="Only from this day or time (UTC) on.")]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Only until this day's end or time.")]


@journal.command("list")
def journal_list(
    limit: Annotated[int, typer.Option("--limit", min=1, help="Entries to show.")] = 50,
    label: HavingLabel = None,
    language: HavingLanguage = None,
    verdict: HavingVerdict = None,
    model: HavingModel = None,
    decision: HavingDecision = None,
    text: HavingText = None,
    since: Since = None,
    until: Until = None,
    config: Config = None,
    database: Database = None,
    as_json: SummaryJson = False,
) -> None:
    """List repairs that were kept, newest first."""
    from serve.commands import journal as command
    from serve.journal.asking import asked
    from serve.settings import read_settings

    wanted = asked(
        label=label, language=language, verdict=verdict, model=model, decision=decision, text=text, since=since,
        until=until,
    )  # fmt: skip
    raise typer.Exit(command.list_entries(read_settings(config, database=database), limit, wanted, as_json=as_json))


@journal.command("show")
def journal_show(entry: Entry, config: Config = None, database: Database = None) -> None:
    """Print one as JSON."""
    from serve.commands import journal as command
    from serve.settings import read_settings

    raise typer.Exit(command.show(read_settings(config, database=database), entry))


@journal.command("label")
def journal_label(
    entry: Entry,
    labels: Annotated[list[str], typer.Argument(metavar="LABEL...", help="a-z, 0-9 and -, at most 40 characters.")],
    remove: Annotated[bool, typer.Option("--remove", help="Remove them instead.")] = False,
    config: Config = None,
    database: Database = None,
) -> None:
    """Set labels of one."""
    from serve.commands import journal as command
    from serve.settings import read_settings

    raise typer.Exit(command.label(read_settings(config, database=database), entry, labels, remove=remove))


@journal.command("delete")
def journal_delete(entry: Entry, config: Config = None, database: Database = None) -> None:
    """Forget one."""
    from serve.commands import journal as command
    from serve.settings import read_settings

    raise typer.Exit(command.delete(read_settings(config, database=database), entry))


@journal.command("export")
def journal_export(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="File to write; else standard output.")
    ] = None,
    label: HavingLabel = None,
    language: HavingLanguage = None,
    verdict: HavingVerdict = None,
    model: HavingModel = None,
    decision: HavingDecision = None,
    text: HavingText = None,
    since: Since = None,
    until: Until = None,
    config: Config = None,
    database: Database = None,
) -> None:
    """Write accepted and rejected patches as a source of kind `feedback` for `emend data build`."""
    from serve.commands import journal as command
    from serve.journal.asking import asked
    from serve.settings import read_settings

    wanted = asked(
        label=label, language=language, verdict=verdict, model=model, decision=decision, text=text, since=since,
        until=until,
    )  # fmt: skip
    raise typer.Exit(command.export(read_settings(config, database=database), output, wanted))
