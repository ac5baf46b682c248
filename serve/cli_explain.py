"""The command `explain`: options and help only; the work lies in `commands/explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serve.cli_options import Adapter, Error, Interpreter, Minimum, ModelSpec, SandboxMinimum, Seconds, Test, Unsafe

_CANDIDATES = 400  # as `emend fix`


def install(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(explain)


def explain(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH...", help="Source files that may be changed; with --patch those that it names."),
    ] = None,
    error: Error = None,
    test: Test = None,
    candidate: Annotated[
        int | None,
        typer.Option("--candidate", min=1, metavar="N", help="Which of the ranked candidates; else the chosen one."),
    ] = None,
    patch: Annotated[
        Path | None,
        typer.Option("--patch", metavar="FILE", help="Explain this unified diff (- for stdin) and repair nothing."),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option("--method", metavar="NAME", help="How evidence is found (ablation and gradient); repeatable."),
    ] = None,
    part: Annotated[
        list[str] | None,
        typer.Option("--part", metavar="NAME", help="Parts to tell, as where or patching; repeatable."),
    ] = None,
    layer: Annotated[int | None, typer.Option("--layer", min=0, metavar="N", help="Attention of this layer.")] = None,
    head: Annotated[int | None, typer.Option("--head", min=0, metavar="N", help="And of this head of it.")] = None,
    target: Annotated[
        str, typer.Option("--target", metavar="contrast|change|location", help="The number that evidence is for.")
    ] = "contrast",
    seconds: Seconds = 60.0,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="REPORT.html", help="Write a page that stands alone.")
    ] = None,
    profile: Annotated[
        Path | None,
        typer.Option("--profile", metavar="TRACE.json", help="Write a trace of torch.profiler, print the operators."),
    ] = None,
    model: ModelSpec = None,
    adapter: Adapter = None,
    device: Annotated[
        str | None, typer.Option("--device", metavar="cpu|cuda", help="Where the model computes; else what there is.")
    ] = None,
    python: Interpreter = None,
    sandbox_minimum: SandboxMinimum = Minimum.B,
    unsafe_no_sandbox: Unsafe = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the explanation as JSON.")] = False,
) -> None:
    """Say what a repair rests on: where the fault is believed to be, what evidence was used, where heads look."""
    from serve.commands import explain as command
    from serve.commands.given import Given

    given = Given(
        tuple(paths or ()), error, test, _CANDIDATES, seconds, model, adapter, python, sandbox_minimum.value,
        unsafe_no_sandbox,
    )  # fmt: skip
    asked = command.Asked(
        candidate, patch, device, tuple(method or ()), tuple(part or ()), layer, head, target, output, profile, as_json
    )
    raise typer.Exit(command.run(given, asked))
