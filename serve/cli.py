"""The command line `emend`: its options and their help. Each command's work lies in `commands/`.

Nothing heavy may be imported here: `emend --help` answers at once. Results go to stdout, the rest to stderr.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from serve import cli_batch, cli_explain, cli_model, cli_service
from serve.boundary import ErrorBoundary
from serve.cli_options import (
    Adapter,
    Candidates,
    Config,
    Error,
    Interpreter,
    Jobs,
    Json,
    Minimum,
    ModelSpec,
    Order,
    Output,
    OutputFormat,
    Overrides,
    Paths,
    Printed,
    Ray,
    Recipe,
    SandboxMinimum,
    Sarif,
    Search,
    Seconds,
    SummaryJson,
    Test,
    Unsafe,
)

app = typer.Typer(
    name="emend",
    help="Repair code from an error message: fault spans, ranked patches, tests rerun in a sandbox.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
evaluation = typer.Typer(help="Measure Emend on suites.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(evaluation, name="eval")
datasets = typer.Typer(help="Make datasets of faults and their repairs.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(datasets, name="data")
training = typer.Typer(
    help="Train, search, export: the embedded base, adapters, small models.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(training, name="train")


@app.command()
def fix(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="PATH...", help="Source files that may be changed.")
    ] = None,
    error: Error = None,
    test: Test = None,
    candidates: Candidates = 400,
    seconds: Seconds = 60.0,
    apply: Annotated[bool, typer.Option("--apply", help="Write the chosen patch to the files.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Print the best patch as a diff only, for `git apply`.")] = False,
    sarif_in: Annotated[
        Path | None, typer.Option("--sarif-in", metavar="FILE", help="Repair the alerts of a SARIF file.")
    ] = None,
    passing_ok: Annotated[
        bool, typer.Option("--passing-ok", help="Exit with 0 when the tests pass as they are: for hooks and CI.")
    ] = False,
    model: ModelSpec = None,
    adapter: Adapter = None,
    python: Interpreter = None,
    sandbox_minimum: SandboxMinimum = Minimum.B,
    unsafe_no_sandbox: Unsafe = False,
    output_format: Printed = OutputFormat.TEXT,
    sarif: Sarif = False,
    as_json: Json = False,
) -> None:
    """Find the fault, propose patches, judge them by the tests.

    Without --test nothing can be judged: the likeliest patches are shown as undecided.
    """
    from serve.commands import fix as command
    from serve.commands.given import Given

    given = Given(
        tuple(paths or ()), error, test, candidates, seconds, model, adapter, python, sandbox_minimum.value,
        unsafe_no_sandbox, passing_ok,
    )  # fmt: skip
    output = OutputFormat.SARIF if sarif else output_format
    raise typer.Exit(
        command.run(given, apply=apply, diff_only=diff, as_json=as_json, output=output.value, sarif_in=sarif_in)
    )


@app.command()
def locate(
    paths: Paths,
    error: Error = None,
    test: Test = None,
    seconds: Seconds = 60.0,
    model: ModelSpec = None,
    adapter: Adapter = None,
    python: Interpreter = None,
    sandbox_minimum: SandboxMinimum = Minimum.B,
    unsafe_no_sandbox: Unsafe = False,
    output_format: Printed = OutputFormat.TEXT,
    sarif: Sarif = False,
    as_json: Json = False,
) -> None:
    """Rank the places that may hold the fault, and say why."""
    from serve.commands import locate as command
    from serve.commands.given import Given

    given = Given(
        tuple(paths), error, test, 1, seconds, model, adapter, python, sandbox_minimum.value, unsafe_no_sandbox
    )
    output = OutputFormat.SARIF if sarif else output_format
    raise typer.Exit(command.run(given, as_json=as_json, output=output.value))


@app.command()
def judge(
    patch: Annotated[Path, typer.Argument(metavar="PATCH", help="A unified diff, - for stdin.")],
    test: Annotated[
        str,
        typer.Option("--test", metavar="CMD", help="Test command, run in a sandboxed copy of the current directory."),
    ],
    python: Interpreter = None,
    sandbox_minimum: SandboxMinimum = Minimum.B,
    unsafe_no_sandbox: Unsafe = False,
    as_json: Json = False,
) -> None:
    """Say whether a patch is plausible: failing tests pass, passing ones still do."""
    from serve.commands import judge as command
    from serve.oracles import Judging

    judging = Judging(sandbox_minimum.value, unsafe_no_sandbox, python)
    raise typer.Exit(command.run(patch, test, judging=judging, as_json=as_json))


@app.command()
def doctor(config: Config = None, model: ModelSpec = None, as_json: Json = False) -> None:
    """Tell what works on this machine (settings, model, database, sandbox...), and what to do about the rest."""
    from serve.commands import doctor as command

    raise typer.Exit(command.run(config, model, as_json=as_json))


cli_explain.install(app)
cli_batch.install(app)
cli_model.install(app)
cli_service.install(app)

Suites = Annotated[
    list[Path], typer.Argument(metavar="SUITE...", help="JSON lines files of cases, or folders of a known layout.")
]
EvalJobs = Annotated[int, typer.Option("--jobs", min=1, help="Cases worked on at the same time.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Only so many cases of each suite.")]
Layout = Annotated[
    str, typer.Option("--layout", metavar="auto|rows|pack|programs|repositories", help="Layout of the suites.")
]


@evaluation.command("run")
def eval_run(
    suites: Suites,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="OUT.jsonl", help="Results; cases found there are skipped.")
    ] = None,
    order: Annotated[
        Order, typer.Option("--order", help="Order of the candidates before they are judged.")
    ] = Order.MODEL,
    candidates: Annotated[
        int | None,
        typer.Option("--candidates", min=1, metavar="N", help="Candidates to judge at most; 400, without tests 10."),
    ] = None,
    seconds: Seconds = 60.0,
    without_tests: Annotated[
        bool, typer.Option("--without-tests", help="The repair sees the error only; patches are judged afterwards.")
    ] = False,
    with_location: Annotated[
        bool, typer.Option("--with-location", help="Tell the repair which lines the reference changes.")
    ] = False,
    exhaustive: Annotated[
        bool, typer.Option("--exhaustive", help="Judge all candidates, also after a plausible one.")
    ] = False,
    jobs: EvalJobs = 1,
    ray: Ray = "",
    limit: Limit = None,
    layout: Layout = "auto",
    seed: Annotated[int, typer.Option("--seed", help="Of the random order and of sampling.")] = 0,
    model: ModelSpec = None,
    adapter: Adapter = None,
    sandbox_minimum: SandboxMinimum = Minimum.B,
    unsafe_no_sandbox: Unsafe = False,
    as_json: Json = False,
) -> None:
    """Repair every case of the suites and count plausible and correct patches."""
    from serve.commands import evaluate as command

    settings = command.Settings(
        order=order.value,
        candidates=candidates,
        seconds=seconds,
        jobs=jobs,
        ray=ray,
        limit=limit,
        layout=layout,
        seed=seed,
        model=model,
        adapter=adapter,
        tests=not without_tests,
        location=with_location,
        exhaustive=exhaustive,
        sandbox_minimum=sandbox_minimum.value,
        unsafe_no_sandbox=unsafe_no_sandbox,
    )
    raise typer.Exit(command.run(tuple(suites), settings, output=output, as_json=as_json))


@evaluation.command("check")
def eval_check(
    suites: Suites,
    jobs: EvalJobs = 1,
    limit: Limit = None,
    layout: Layout = "auto",
    sandbox_minimum: SandboxMinimum = Minimum.B,
    unsafe_no_sandbox: Unsafe = False,
    as_json: SummaryJson = False,
) -> None:
    """Say which cases measure something: the reference passes, the buggy code fails, three times each."""
    from serve.commands import evaluate as command

    settings = command.Settings(
        jobs=jobs,
        limit=limit,
        layout=layout,
        sandbox_minimum=sandbox_minimum.value,
        unsafe_no_sandbox=unsafe_no_sandbox,
    )
    raise typer.Exit(command.check(tuple(suites), settings, as_json=as_json))


@evaluation.command("robustness")
def eval_robustness(
    suites: Annotated[list[Path], typer.Argument(metavar="SUITE...", help="JSON lines files of cases.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="OUT.jsonl", help="Results; ids found there are skipped.")
    ] = None,
    search: Annotated[Search, typer.Option("--search", help="How attacks are sought; each: all, alone.")] = (
        Search.GREEDY
    ),
    queries: Annotated[int, typer.Option("--queries", min=1, metavar="N", help="Questions to the model a case.")] = 30,
    locate_only: Annotated[bool, typer.Option("--locate-only", help="Measure localization, repair nothing.")] = False,
    without_tests: Annotated[bool, typer.Option("--without-tests", help="The repair sees the error alone.")] = False,
    candidates: Candidates = 400,
    seconds: Seconds = 60.0,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Cases tried at the same time.")] = 1,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only so many cases of each suite.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of what the attacks draw.")] = 0,
    model: ModelSpec = None,
    adapter: Adapter = None,
    sandbox_minimum: SandboxMinimum = Minimum.B,
    unsafe_no_sandbox: Unsafe = False,
    as_json: Json = False,
) -> None:
    """Attack cases (other names, longer context, noisy errors) and tell how much repair drops."""
    from serve.commands import robustness as command

    settings = command.Settings(
        search=search.value,
        queries=queries,
        candidates=candidates,
        seconds=seconds,
        jobs=jobs,
        limit=limit,
        seed=seed,
        model=model,
        adapter=adapter,
        without_tests=without_tests,
        locate_only=locate_only,
        sandbox_minimum=sandbox_minimum.value,
        unsafe_no_sandbox=unsafe_no_sandbox,
    )
    raise typer.Exit(command.run(tuple(suites), settings, output=output, as_json=as_json))


@app.command()
def improve(
    suites: Annotated[list[str], typer.Argument(metavar="SUITE... [KEY=VALUE...]", help="Suites; recipe keys to set.")],
    code: Annotated[
        list[Path], typer.Option("--code", metavar="PATH", help="Folder or wheel to put faults into; may be repeated.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="OUT", help="Folder of the loop; the same command goes on there.")
    ] = Path("out/improve"),
    held_out: Annotated[
        Path | None, typer.Option("--held-out", metavar="SUITE", help="Measure on it instead of half of the suites.")
    ] = None,
    licence: Annotated[
        str, typer.Option("--licence", metavar="SPDX", help="Of code in folders where no licence file says it.")
    ] = "",
    model: ModelSpec = None,
    adapter: Adapter = None,
    minutes: Annotated[float, typer.Option("--minutes", min=1, help="Wall minutes of the whole loop.")] = 60.0,
    candidates: Candidates = 60,
    seconds: Seconds = 8.0,
    pairs: Annotated[int, typer.Option("--pairs", min=20, metavar="N", help="Pairs to train on.")] = 500,
    jobs: Annotated[int, typer.Option("--jobs", min=1, metavar="N", help="Processes.")] = 2,
    force: Annotated[bool, typer.Option("--force", help="Take what the gate refuses; the card says so.")] = False,
    sandbox_minimum: SandboxMinimum = Minimum.B,
    unsafe_no_sandbox: Unsafe = False,
    as_json: Json = False,
) -> None:
    """Evaluate, see what fails, build faults for it, train an adapter, gate it, evaluate again: one report."""
    from serve.commands import improve as command
    from serve.commands.improve_steps import Asked

    named = tuple(Path(one) for one in suites if "=" not in one or Path(one).exists())
    overrides = tuple(one for one in suites if Path(one) not in named)
    asked = Asked(
        named, tuple(code), output.resolve(), held_out, licence, model, adapter, minutes, candidates, seconds, pairs,
        force, jobs, overrides, as_json, sandbox_minimum.value, unsafe_no_sandbox,
    )  # fmt: skip
    raise typer.Exit(command.run(asked))


_COLLECTING = {
    "mine": "Collect bug-fix commits: the recipe's sources of kind `commits`.",
    "releases": "Compare consecutive releases: the recipe's sources of kind `releases`.",
    "inject": "Put faults into code: the recipe's sources of kind `inject` and `rewrites`.",
    "execute": "Keep faults that tests notice: the recipe's sources of kind `executable`.",
    "build": "Build the whole dataset; after an interruption the same command goes on.",
}


def _add_collecting(name: str, told: str) -> None:
    """One command of `emend data`: they differ in which sources they read only."""

    @datasets.command(name, help=told)
    def collecting(
        recipe: Recipe,
        overrides: Overrides = None,
        output: Output = None,
        jobs: Jobs = None,
        ray: Ray = "",
        as_json: SummaryJson = False,
    ) -> None:
        from serve.commands import data as command

        raise typer.Exit(command.run(name, command.Asked(recipe, tuple(overrides or ()), output, jobs, ray, as_json)))


for _name, _told in _COLLECTING.items():
    _add_collecting(_name, _told)


@datasets.command("profile")
def data_profile(
    recipe: Recipe,
    overrides: Overrides = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="OUT", help="The dataset's folder; else the recipe's.")
    ] = None,
    as_json: SummaryJson = False,
) -> None:
    """Describe a dataset that was built: writes profile.html beside it."""
    from serve.commands import data as command

    raise typer.Exit(command.profile(command.Asked(recipe, tuple(overrides or ()), output, None, "", as_json)))


RunRecipe = Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="What is trained, on what, and how.")]
RunOverrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE...]", help="Recipe keys to set, as optim.lr=1e-3.")
]
Profile = Annotated[bool, typer.Option("--profile", help="Write a torch.profiler trace and a table of the hot spots.")]


@training.command("base")
def train_base(
    recipe: RunRecipe, overrides: RunOverrides = None, profile: Profile = False, as_json: SummaryJson = False
) -> None:
    """Pre-train a small base from token shards; after an interruption the same command goes on."""
    from serve.commands import train as command

    asked = command.Asked(recipe, tuple(overrides or ()), profile=profile, as_json=as_json)
    raise typer.Exit(command.base(asked))


@training.command("adapter")
def train_adapter(
    recipe: RunRecipe,
    overrides: RunOverrides = None,
    force: Annotated[bool, typer.Option("--force", help="Take what the gate refuses; the card says so.")] = False,
    profile: Profile = False,
    as_json: SummaryJson = False,
) -> None:
    """Tune a base on your examples, then compare: an adapter that is worse than its base is refused."""
    from serve.commands import train as command

    asked = command.Asked(recipe, tuple(overrides or ()), force=force, profile=profile, as_json=as_json)
    raise typer.Exit(command.adapter(asked))


@training.command("tune")
def train_tune(recipe: RunRecipe, overrides: RunOverrides = None, ray: Ray = "", as_json: SummaryJson = False) -> None:
    """Search the recipe's `tune.space` for the settings that serve its goal best; an interrupted search goes on."""
    from serve.commands import train as command

    raise typer.Exit(command.tune(command.Asked(recipe, tuple(overrides or ()), as_json=as_json), ray=ray))


@training.command("export")
def train_export(
    source: Annotated[str, typer.Argument(metavar="DIR", help="An adapter, a run, a model, or `embedded`.")],
    to: Annotated[str, typer.Option("--to", metavar="merged|gguf|pieces|plain", help="Form to write.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Directory, or file for gguf.")],
    base: Annotated[str, typer.Option("--base", metavar="DIR|HUB_ID", help="Base, if not as the adapter says.")] = "",
    dtype: Annotated[str, typer.Option("--dtype", metavar="TYPE", help="Number type, as q8_0 for gguf.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> None:
    """Merge an adapter into its base, or write GGUF for llama.cpp, or int8 pieces as they ship."""
    from serve.commands import train as command

    raise typer.Exit(command.export(source, to, out, base=base, dtype=dtype, force=force))


@training.command("pairs")
def train_pairs(
    suite: Annotated[Path, typer.Argument(metavar="SUITE", help="JSON lines of programs with tests.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT.jsonl", help="File of pairs to write.")],
    candidates: Candidates = 60,
    seconds: Seconds = 10.0,
    each: Annotated[int, typer.Option("--pairs", min=1, metavar="N", help="Pairs of a program at most.")] = 4,
    model: ModelSpec = None,
    adapter: Adapter = None,
    sandbox_minimum: SandboxMinimum = Minimum.B,
) -> None:
    """Make preference pairs: repairs that pass a program's tests against repairs that do not."""
    from serve.commands import train as command

    judging = command.judging(candidates, seconds, each)
    raise typer.Exit(command.pairs(suite, out, judging, model=model, adapter=adapter, minimum=sandbox_minimum.value))


Results = Annotated[list[Path], typer.Argument(metavar="RESULTS...", help="Files that `emend eval run` wrote.")]


class Form(StrEnum):
    """What a report is written as."""

    HTML = "html"
    JSON = "json"
    MARKDOWN = "markdown"
    HARNESS = "harness"


@evaluation.command("report")
def eval_report(
    results: Results,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="OUT", help="File, or folder for harness; else beside the results."),
    ] = None,
    form: Annotated[
        Form, typer.Option("--format", help="A page, JSON, Markdown, or files as lm-evaluation-harness writes them.")
    ] = Form.HTML,
) -> None:
    """Report results: settings, figures with intervals, why tasks failed, each task's patch beside the reference."""
    from serve.commands import evalreport as command

    raise typer.Exit(command.report(tuple(results), output, form.value))


@evaluation.command("compare")
def eval_compare(
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="Results, .jsonl, or .json with tasks in it.")],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="Results of the same tasks.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Compare two results task by task: figures, differences, whether they can be chance, tasks gained and lost."""
    from serve.commands import evalreport as command

    raise typer.Exit(command.compare(before, after, as_json=as_json))


@evaluation.command("leaderboard")
def eval_leaderboard(
    results: Results,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="OUT.md", help="File to write; else stdout.")
    ] = None,
) -> None:
    """Rank results in a Markdown table; says which rows cannot be told apart."""
    from serve.commands import evalreport as command

    raise typer.Exit(command.leaderboard(tuple(results), output))


def main() -> None:
    """Entry point of the `emend` script."""
    with ErrorBoundary():
        app()
