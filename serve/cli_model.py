"""The group `emend model`: for those who look into a model. Options and help only; the work lies in `commands/`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from serve.cli_options import Adapter, Minimum, ModelSpec, SandboxMinimum, Unsafe

model = typer.Typer(
    help="Look into a model: what misleads it, what it is like inside.", no_args_is_help=True, rich_markup_mode=None
)


def install(app: typer.Typer) -> None:
    """Add the group to the command line."""
    app.add_typer(model, name="model")


class Goal(StrEnum):
    """What an attack is to flip."""

    LOCATION = "location"
    PATCH = "patch"


@model.command("attack")
def attack(
    path: Annotated[Path, typer.Argument(metavar="DATASET|SUITE", help="Records of a dataset, or a suite.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FLIPS.jsonl", help="Flips, a JSON line each.")],
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="The flip table as a page.")] = None,
    train_set: Annotated[
        Path | None, typer.Option("--train-set", metavar="DIR", help="Flips as records to train on; of a dataset only.")
    ] = None,
    goal: Annotated[Goal, typer.Option("--goal", help="What is to flip.")] = Goal.LOCATION,
    split: Annotated[str, typer.Option("--split", metavar="NAME", help="Split of a dataset.")] = "train",
    cases: Annotated[int, typer.Option("--cases", min=1, metavar="N", help="Cases attacked at most.")] = 100,
    queries: Annotated[int, typer.Option("--queries", min=1, metavar="N", help="Questions to the model a case.")] = 120,
    seed: Annotated[int, typer.Option("--seed", help="Of what the edits draw.")] = 0,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Cases attacked at the same time.")] = 1,
    model_spec: ModelSpec = None,
    adapter: Adapter = None,
    sandbox_minimum: SandboxMinimum = Minimum.B,
    unsafe_no_sandbox: Unsafe = False,
) -> None:
    """Find the smallest edits that keep a program's meaning and flip what the model says; each is tested again."""
    from serve.commands import model_attack as command

    settings = command.Settings(
        goal=goal.value,
        split=split,
        cases=cases,
        queries=queries,
        seed=seed,
        jobs=jobs,
        model=model_spec,
        adapter=adapter,
        sandbox_minimum=sandbox_minimum.value,
        unsafe_no_sandbox=unsafe_no_sandbox,
    )
    raise typer.Exit(command.run(path, settings, output=output, html=html, train_set=train_set))


@model.command("measure")
def measure(
    cases: Annotated[Path, typer.Argument(metavar="CASES", help="A dataset or suite that the model has not seen.")],
    count: Annotated[int, typer.Option("--count", min=1, metavar="N", help="Faults, and as many planted ones.")] = 40,
    method: Annotated[
        list[str] | None, typer.Option("--method", metavar="NAME", help="Only these methods; may be given again.")
    ] = None,
    sanity: Annotated[
        bool, typer.Option("--sanity/--no-sanity", help="Compare with random weights, which doubles the time.")
    ] = True,
    seed: Annotated[int, typer.Option("--seed", help="Of deletions, planting and intervals.")] = 0,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="ROWS.jsonl", help="Each method on each case.")
    ] = None,
    into: Annotated[
        Path | None, typer.Option("--into", metavar="REFERENCE", help="Keep the table in this reference file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The table as JSON.")] = False,
    model_spec: ModelSpec = None,
    adapter: Adapter = None,
) -> None:
    """Measure how good each method of attribution is for a model, against random orders and planted evidence."""
    from serve.commands import model_measure as command

    settings = command.Settings(
        model=model_spec, adapter=adapter, count=count, methods=tuple(method or ()), sanity=sanity, seed=seed
    )
    raise typer.Exit(command.run(cases, settings, output=output, into=into, as_json=as_json))


Checkpoint = Annotated[
    str | None, typer.Argument(metavar="[MODEL]", help="Checkpoint directory or hub id; without it the shipped model.")
]
CasesFile = Annotated[
    Path, typer.Option("--cases", metavar="FILE", help="Suite, or dataset of `emend data build`, with faults.")
]
Count = Annotated[int | None, typer.Option("--count", min=1, metavar="N", help="Cases read at most; else all.")]
ReferenceFile = Annotated[
    Path | None,
    typer.Option("--reference", metavar="FILE", help="Reference to compare against; else the model's own."),
]


@model.command("reference")
def reference(
    cases: CasesFile,
    source: Checkpoint = None,
    adapter: Adapter = None,
    count: Count = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="File; else beside the model or its adapter.")
    ] = None,
) -> None:
    """Measure what a model is like on faults it was not trained on: quantiles, location probe and calibration."""
    from serve.commands import model_reference as command

    raise typer.Exit(command.run(source, cases, adapter=adapter, count=count, output=output))


@model.command("check")
def check(
    source: Checkpoint = None,
    adapter: Adapter = None,
    reference_file: ReferenceFile = None,
    cases: Annotated[
        Path | None, typer.Option("--cases", metavar="FILE", help="Programs to read; else some of the shipped suite.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the alarms as JSON.")] = False,
) -> None:
    """Compare a model's inside with its own past: heads, layers, neurons, embeddings that look unlike it. 1: alarms."""
    from serve.commands import model_check as command

    raise typer.Exit(command.run(source, adapter=adapter, reference=reference_file, cases=cases, as_json=as_json))


@model.command("report")
def report(
    cases: CasesFile,
    source: Checkpoint = None,
    adapter: Adapter = None,
    reference_file: ReferenceFile = None,
    count: Annotated[int, typer.Option("--count", min=4, metavar="N", help="Cases read at most.")] = 200,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The page.")] = Path("model.html"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON, too.")] = False,
) -> None:
    """Write one page on a model's inside: heads, control charts, projections, clusters, errors, probe, calibration."""
    from serve.commands import model_report as command

    settings = command.Settings(source, cases, adapter, reference_file, count, output)
    raise typer.Exit(command.run(settings, as_json=as_json))


@model.command("audit")
def audit(
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="AUDIT.json|DIR", help="The card as JSON; a folder for --plant.")
    ],
    model_spec: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Directory or hub id; none: the embedded model.")
    ] = None,
    adapter: Adapter = None,
    members: Annotated[
        Path | None, typer.Option("--members", metavar="FILE", help="Records or cases that it was trained on.")
    ] = None,
    others: Annotated[
        Path | None, typer.Option("--others", metavar="FILE", help="Comparable ones that it never saw.")
    ] = None,
    canaries: Annotated[
        Path | None, typer.Option("--canaries", metavar="FILE", help="The list that --plant wrote before training.")
    ] = None,
    plant: Annotated[
        int | None, typer.Option("--plant", metavar="N", help="Make N canaries to train on, and audit nothing.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="The card as a page.")] = None,
    records: Annotated[int, typer.Option("--records", min=1, metavar="N", help="Members, and others, at most.")] = 400,
    alternatives: Annotated[
        int, typer.Option("--alternatives", min=1, metavar="N", help="Numbers a canary is compared with.")
    ] = 255,
    seed: Annotated[int, typer.Option("--seed", help="Of canaries and intervals.")] = 0,
) -> None:
    """Audit what a model remembers: a membership test by loss, planted canaries, and who keeps secrets out."""
    from serve.commands import model_audit as command

    if plant is not None:
        raise typer.Exit(command.plant(plant, output, seed))
    settings = command.Settings(model_spec, adapter, members, others, canaries, records, alternatives, seed)
    raise typer.Exit(command.run(settings, output=output, html=html))


@model.command("heads")
def heads(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="Model or adapter; `embedded` for the one inside.")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="Another model or adapter of the same shape.")],
    cases: Annotated[Path, typer.Option("--cases", metavar="FILE", help="Suite or records to look at.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The page of both grids.")],
    model_spec: Annotated[
        str | None, typer.Option("--model", metavar="DIR|HUB_ID", help="Base of adapters; none: the embedded model.")
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, metavar="N", help="Cases at most.")] = 40,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Compare where the heads of two models look, head by head, with how well each answers."""
    from serve.commands import model_heads as command

    raise typer.Exit(command.run((before, after), cases, output, base=model_spec, count=count, as_json=as_json))
