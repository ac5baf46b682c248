"""Does each objective of training move what it promises, and what does it cost? One subcommand an experiment.

    python benchmarks/objectives.py split SUITE.jsonl                  programs of packages to learn from / to measure
    python benchmarks/objectives.py rejected [--records N]             pairs: the fix against what the model wrote
    python benchmarks/objectives.py preference NAME --pairs F --heldout F ...
    python benchmarks/objectives.py repair NAME ... --programs F       programs with tests, by adapters of these runs
    python benchmarks/objectives.py noise | attacks | attention | calibration

with --dataset DIR (a folder of `emend data build` with a validation split) and --work DIR before the subcommand. Each
run starts from the shipped adapter, has the same steps and batches but for what is named, and is kept in WORK/NAME:
asked again it is only measured. Prints Markdown; the first column is what the others are compared with, differences
have paired bootstrap intervals of 95 %. Pairs come from `emend train pairs` on what `split` wrote.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from math import isnan, log
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from data.mutants import Example as Pair
from data.parquet import read_parquet
from data.records import Record, example
from repair.embedded.expander import embedded_adapter, embedded_directory
from repair.errors import PatchError
from repair.model import Decoding, Model
from repair.models.select import load_model
from repair.prompts import LINE_TOKENS, shown_hunks
from repair.replies import Change, parse_reply
from training.adapter import CANDIDATE, train_adapter
from training.attacks import attacked
from training.batches import Example, assemble
from training.bootstrap import Ratio, paired
from training.config import ObjectiveConfig, Recipe, parse_recipe
from training.contrast import EncodedPairs, figures, margins
from training.encoding import encoder_of, weigh
from training.heldout import Held, choose, read_heldout
from training.loading import load_hub
from training.measure import Checkpoint, load_meter
from training.meter import NONE, Effort, applied
from training.objectives import adversarial_noise
from training.preference import PreferencePair, read_pairs, write_pairs
from training.probes import CompactProbe
from training.scores import Score, calibration_error

RECIPE = """
data = { row_length = 1024, rows = 4, pool = 1024, limit = 400 }
optim = { optimizer = "adamw", lr = 1e-3, beta2 = 0.98, weight_decay = 0.0, warmup = 3, schedule = "linear" }
run = { adapter = "embedded", steps = 30, evaluate_steps = 1000, threads = 1, engine = "torch" }
"""
LEARNED = ("toolz", "more-itertools", "rich")  # packages whose programs make training pairs; toolz resembles itertools
CANDIDATES = 60

Figures = Mapping[str, Ratio]  # names that end in % are shown as percentages


@dataclass(frozen=True, slots=True)
class Lab:
    """Where things lie, and how much is measured."""

    dataset: Path
    work: Path
    examples: int

    def recipe(self, name: str, *settings: str) -> Recipe:
        return parse_recipe(RECIPE, (f'data.dataset="{self.dataset}"', f'run.out="{self.work / name}"', *settings))

    def run(self, name: str, *settings: str) -> Path:
        """The adapter of a run, trained unless it is there."""
        recipe = self.recipe(name, *settings)
        candidate = recipe.run.out / CANDIDATE
        if not (candidate / "adapter_config.json").exists():
            state = train_adapter(recipe).state
            told = {"settings": settings, "steps": state.step, "tokens": state.tokens, "seconds": round(state.seconds)}
            (recipe.run.out / "told.json").write_text(json.dumps(told))
        print(f"{name}: {(recipe.run.out / 'told.json').read_text()}\n")
        return candidate

    def heldout(self) -> tuple[Held, ...]:
        return choose(read_heldout(self.dataset), self.examples)

    def records(self) -> list[Record]:
        """The records of `heldout` that have a fault."""
        ids = {held.id for held in self.heldout() if held.faulty}
        parts = sorted((self.dataset / "data").glob("validation-*.parquet"))
        return [record for part in parts for record in read_parquet(part) if record.id in ids]


def shipped() -> Path:
    found = embedded_adapter()
    assert found is not None
    return found


def table(title: str, columns: Mapping[str, Figures]) -> None:
    """Markdown; figures of all columns are over the same examples in the same order."""
    base = next(iter(columns.values()))
    print(f"### {title}\n\n| | {' | '.join(columns)} |\n|{'---|' * (1 + len(columns))}")
    for name, first in base.items():
        shown = partial(_shown, percent=name.endswith("%"))
        cells = [shown(first.value)]
        for column in list(columns.values())[1:]:
            found = paired(first, column[name])
            told = "" if isnan(found.low) else f" ({shown(found.low, '+')} to {shown(found.high, '+')})"
            cells.append(f"{shown(column[name].value)}{told}")
        print(f"| {name} | {' | '.join(cells)} |")
    print()


def _shown(value: float, sign: str = "", *, percent: bool) -> str:
    return f"{100 * value:{sign}.1f}" if percent else f"{value:{sign}.3f}"


# What a model makes of held-out examples


def scores(adapter: Path, heldout: Sequence[Held], effort: Effort = NONE) -> list[Score]:
    found = load_meter(Checkpoint(embedded_directory(), adapter)).score(heldout, effort)
    assert len(found) == len(heldout)
    return found


def plain_figures(found: Sequence[Score]) -> dict[str, Ratio]:
    """What any adapter is judged by."""
    faulty = [s.faulty for s in found]
    return {
        "location@1, %": Ratio.share([s.rank <= 1 for s in found], faulty),
        "lines@1, %": Ratio.share([s.line_rank == 1 for s in found], faulty),
        "exact@1, %": Ratio.share([s.exact for s in found], faulty),
        "exact@1, place given, %": Ratio.share([s.exact_given_line for s in found], faulty),
        "bits per byte": Ratio(np.array([s.bits for s in found]), np.array([s.bytes for s in found], np.float64)),
    }


def weighed(pairs: Sequence[Pair]) -> list[Example]:
    """Examples with the loss weights of a plain run."""
    encoder, plain = encoder_of(embedded_directory()), ObjectiveConfig()
    return [weigh(encoder.encode(pair, 1024), plain, clean=not pair.hunks) for pair in pairs]


def watched(lab: Lab, adapter: Path, examples: Sequence[Example], layers: str) -> dict[str, Ratio]:
    """Loss, attention entropy and distance of each example, as a run sees them."""
    quiet = (f"objective.layers={layers}", "objective.entropy=1e-9", "objective.locality=1e-9", 'run.dtype="float32"')
    engine = load_hub(lab.recipe("watched", f'run.adapter="{adapter}"', *quiet))
    loss, entropy, distance = (np.zeros(len(examples)) for _ in range(3))
    weights = np.array([float(one.weights[1:].sum()) for one in examples])
    config = replace(lab.recipe("watched").data, rows=1)
    for number, one in enumerate(examples):
        loss[number] = engine.gradients(assemble([[one]], config), float(weights[number]))
        entropy[number], distance[number] = engine.extras["entropy"], engine.extras["distance"]
    means = {"attention entropy, nats": Ratio.mean(entropy), "attention distance": Ratio.mean(distance)}
    return {"held-out loss, nats": Ratio(loss * weights, weights), **means}


# Experiments


def split(lab: Lab, suite: Path) -> None:
    """Never both sides of one package: functions of a package resemble each other, and one has several faults."""
    sides: dict[bool, list[str]] = {True: [], False: []}
    for line in suite.read_text(encoding="utf-8").splitlines(keepends=True):
        sides[json.loads(line)["id"].split("/")[0] in LEARNED].append(line)
    lab.work.mkdir(parents=True, exist_ok=True)
    for learned, rows in sides.items():
        random.Random(0).shuffle(rows)
        (lab.work / f"programs-{'train' if learned else 'heldout'}.jsonl").write_text("".join(rows), encoding="utf-8")


def rejected(lab: Lab, records: int, each: int = 2) -> None:
    """Pairs from the dataset: the fix against the model's likeliest other repairs. No test says that those are wrong.

    Written for the training split and, half as many, for the validation split.
    """
    model = load_model(None)
    assert model is not None
    for part, wanted in (("train", records), ("validation", records // 2)):
        found = (r for p in sorted((lab.dataset / "data").glob(f"{part}-*.parquet")) for r in read_parquet(p))
        faulty = [record for record in found if record.buggy != record.fixed and record.buggy.count("\n") <= 60]
        chosen = random.Random(0).sample(faulty, wanted)
        pairs = [pair for record in chosen for pair in islice(_rejected(model, record), each)]
        print(f"{part}: {write_pairs(lab.work / f'rejected-{part}.jsonl', pairs)} pairs of {wanted} records")


def _rejected(model: Model, record: Record) -> Iterator[PreferencePair]:
    try:
        one = example(record)
    except PatchError:
        return
    belief = model.locate(one.view)
    seen = {applied(one.view, one.hunks), one.view.lines}
    lines = belief.lines if belief else {}
    for completion in model.propose(one.view, Decoding(lines=lines, candidates=12)):
        reply = parse_reply(completion.text, one.view)
        if isinstance(reply, Change) and (text := applied(one.view, reply.hunks)) not in seen:
            seen.add(text)
            yield PreferencePair(one.view, one.hunks, reply.hunks, f"model:{record.id}")


def preference(lab: Lab, given: argparse.Namespace) -> None:
    """DPO, measured on pairs of other packages or files, and what it does to everything else."""
    wanted = f'objective.preference="{given.pairs}"', "optim.lr=2e-4"
    adapters = {
        "before": shipped(),
        "preference steps": lab.run(given.name, *wanted, "objective.preference_share=1.0"),
        "0.7 preference steps": lab.run(f"{given.name}-0.7", *wanted, "objective.preference_share=0.7"),
    }
    for path in (given.pairs, *given.heldout):
        table(f"Preference: {path.stem}", {n: _margin_figures(lab, a, path) for n, a in adapters.items()})
    examples = lab.heldout()
    table("Preference: cost", {n: plain_figures(scores(a, examples)) for n, a in adapters.items()})


def _margin_figures(lab: Lab, adapter: Path, path: Path) -> dict[str, Ratio]:
    """Over programs, for the pairs of one are alike."""
    pairs, recipe = read_pairs(path), lab.recipe("margins", f'run.adapter="{adapter}"', 'run.dtype="float32"')
    encoder = encoder_of(embedded_directory())
    encoded = EncodedPairs(pairs, encoder, recipe.objective, recipe.data)
    assert not encoded.too_long
    found = margins(encoded, recipe.data, load_hub(recipe).log_margins)
    told = figures(found)
    owners = {name: n for n, name in enumerate(dict.fromkeys(_program(pair.source) for pair in pairs))}
    at = np.array([owners[_program(pair.source)] for pair in pairs])
    count = np.bincount(at).astype(np.float64)
    result = {
        f"better side likelier of {told['pairs']:.0f} pairs, %": Ratio(_sums(at, found > 0), count),
        "mean margin, nats": Ratio(_sums(at, found), count),
    }
    assert np.isclose([r.value for r in result.values()], [told["preferred"], told["margin"]], rtol=1e-4).all()
    return result


def _sums(owners: NDArray[np.int64], values: NDArray[Any]) -> NDArray[np.float64]:
    return np.bincount(owners, values).astype(np.float64)


def _program(source: str) -> str:
    return source.split(":")[1]


def repaired(lab: Lab, runs: Sequence[str], programs: Path, limit: int) -> None:
    """What adapters of earlier runs are worth to a repair: how early a candidate passes the tests."""
    adapters = {"shipped": shipped(), **{name: lab.work / name / CANDIDATE for name in runs}}
    table("Repair", {n: _repaired(a, programs, limit) for n, a in adapters.items()})


def _repaired(adapter: Path, programs: Path, limit: int) -> dict[str, Ratio]:
    """Programs are repaired with their tests; a program without a plausible candidate has rank CANDIDATES + 1."""
    from eval.measurement import Conditions
    from eval.run import Setup, measure_all
    from eval.suites.rows import read_suite

    cases = read_suite(programs).cases[:limit]
    conditions = Conditions("embedded", str(adapter), candidates=CANDIDATES, seconds=30.0)
    found = list(measure_all(Setup(conditions, None, str(adapter)), cases, jobs=1))
    scored = [m.scored for m in found]
    ranks = np.array([m.first_plausible or CANDIDATES + 1 for m in found])
    return {
        f"first candidate passes, of {sum(scored)} programs, %": Ratio.share(ranks == 1, scored),
        "one of 10 passes, %": Ratio.share(ranks <= 10, scored),
        f"one of {CANDIDATES} passes, %": Ratio.share(ranks <= CANDIDATES, scored),
        "chosen repair is correct, %": Ratio.share([m.correct is True for m in found], scored),
        "mean log rank": Ratio(np.array([log(r) for r in ranks]) * scored, np.array(scored, np.float64)),
    }


def noise(lab: Lab, radius: float) -> None:
    """Training under embedding noise, and what the same noise does to models afterwards."""
    adapters = {
        "plain run": lab.run("plain"),
        f"noise {radius} run": lab.run(f"noise-{radius}", f"objective.perturb={radius}"),
        "shipped": shipped(),
    }
    heldout = lab.heldout()
    for part in (0.0, 1.0):
        found = {name: _under_noise(adapter, heldout, part * radius) for name, adapter in adapters.items()}
        table(f"Embedding noise of radius {part * radius}", found)


def _under_noise(adapter: Path, heldout: Sequence[Held], radius: float) -> dict[str, Ratio]:
    """The noise that raises the training loss of each example most to first order, as `training.hub` makes it."""
    meter = load_meter(Checkpoint(embedded_directory(), adapter))
    probe = cast(CompactProbe, meter.probe)
    network = _network(adapter)
    sums, hits = np.zeros(len(heldout)), np.zeros(len(heldout), np.bool_)
    examples = weighed([held.pair for held in heldout])
    for n, (held, one) in enumerate(zip(heldout, examples, strict=True)):
        ids, weights = torch.from_numpy(one.ids.astype(np.int64)), torch.from_numpy(one.weights[1:])
        embeddings = network.get_input_embeddings()(ids[None]).detach().requires_grad_()
        logits, loss = _read(network, embeddings, ids, weights)
        if radius:
            (slope,) = torch.autograd.grad(loss, embeddings)
            shift = adversarial_noise(slope[0], embeddings[0].detach(), [len(ids)], radius)
            with torch.no_grad():
                logits, loss = _read(network, embeddings + shift, ids, weights)
        sums[n] = loss.item()
        hits[n] = _located(probe, held, logits)
    total = np.array([float(one.weights[1:].sum()) for one in examples])
    faulty = [held.faulty for held in heldout]
    return {
        "loss, nats": Ratio(sums, total),
        "location@1, %": Ratio.share(hits, faulty),
        "no fault found where there is none, %": Ratio.share(hits, [not f for f in faulty]),
    }


def _network(adapter: Path) -> Any:  # noqa: ANN401 - a class of transformers
    from training.measure import load_network

    return load_network(Checkpoint(embedded_directory(), adapter))


def _read(
    network: Any,  # noqa: ANN401 - a class of transformers
    embeddings: torch.Tensor, ids: torch.Tensor, weights: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """(logits (n, vocabulary), weighted loss sum)."""
    logits = network(inputs_embeds=embeddings, use_cache=False).logits[0]
    losses = functional.cross_entropy(logits[:-1], ids[1:], reduction="none")
    return logits, (losses * weights).sum()


def _located(probe: CompactProbe, held: Held, logits: torch.Tensor) -> bool:
    """Whether the likeliest of the lines shown and "no fault" is the right answer."""
    question = probe.question(held.pair)
    assert question is not None
    view = held.pair.view
    lines = range(view.first_line, view.last_line + 1)
    words = [probe.words[n % LINE_TOKENS] for n in lines] + [probe.words[-1]]
    right = shown_hunks(view, held.pair.hunks)[0].first - view.first_line if held.faulty else len(lines)
    return int(logits[question.asks[0].words, words].argmax()) == right


def attacks(lab: Lab, variants: int) -> None:
    """Training on the hardest of some ways to write a program, and what other such ways do to models afterwards."""
    adapters = {
        "plain run": lab.run("plain"),
        "attacks 2 run": lab.run("attacks", "objective.attacks=2"),
        "shipped": shipped(),
    }
    originals = {held.id: held for held in lab.heldout()}
    groups = [
        [originals[record.id], *(Held(f"{record.id}/{n}", pair) for n, pair in enumerate(found))]
        for record in lab.records()
        if (found := list(attacked(record, variants, seed=1)))
    ]
    print(f"{len(groups)} of {len(lab.records())} faulty examples have variants, {sum(map(len, groups))} texts\n")
    table("Meaning-preserving attacks", {name: _under_attack(a, groups) for name, a in adapters.items()})


def _under_attack(adapter: Path, groups: Sequence[Sequence[Held]]) -> dict[str, Ratio]:
    found = iter(scores(adapter, [held for group in groups for held in group]))
    by_group = [[next(found) for _ in group] for group in groups]
    figures: dict[str, Ratio] = {}
    hits: dict[str, Callable[[Score], bool]] = {"location@1": lambda s: s.rank <= 1, "exact@1": lambda s: s.exact}
    for name, hit in hits.items():
        one, every = ([hit(s[0]) for s in by_group], [all(map(hit, s)) for s in by_group])
        figures |= {
            f"{name} as they are, %": Ratio.mean(one),
            f"{name} on the original and all variants, %": Ratio.mean(every),
            f"{name}: drop, %": Ratio.mean(np.array(one, np.float64) - np.array(every, np.float64)),
            f"{name} mean of the variants, %": Ratio.mean([np.mean([hit(v) for v in s[1:]]) for s in by_group]),
        }
    return figures


def attention(lab: Lab, layers: str, entropy: float, locality: float) -> None:
    """Penalties on attention against a plain run, and what they cost."""
    adapters = {
        "plain run": lab.run("plain"),
        f"entropy {entropy}": lab.run("entropy", f"objective.layers={layers}", f"objective.entropy={entropy}"),
        f"locality {locality}": lab.run("locality", f"objective.layers={layers}", f"objective.locality={locality}"),
        "shipped": shipped(),
    }
    heldout = lab.heldout()
    examples = weighed([held.pair for held in heldout])
    columns = {n: watched(lab, a, examples, layers) | plain_figures(scores(a, heldout)) for n, a in adapters.items()}
    table(f"Attention of layers {layers}", columns)


def calibration(lab: Lab) -> None:
    """How much examples without a fault count."""
    adapters = {
        "plain run (clean 1)": lab.run("plain"),
        "clean 3": lab.run("clean-3", "objective.clean=3.0"),
        "clean_share 0.5": lab.run("clean-share", "data.clean_share=0.5"),
        "shipped": shipped(),
    }
    heldout = lab.heldout()
    found = {name: scores(adapter, heldout) for name, adapter in adapters.items()}
    table("No fault", {name: _no_fault(s) | plain_figures(s) for name, s in found.items()})
    print("calibration error:", "; ".join(_ece(next(iter(found.values())), name, s) for name, s in found.items()))


def _no_fault(found: Sequence[Score]) -> dict[str, Ratio]:
    called, clean = [s.called_ok for s in found], [not s.faulty for s in found]
    return {
        "no fault: precision, %": Ratio.share(clean, called),
        "no fault: recall, %": Ratio.share(called, clean),
        "no fault: Brier": Ratio.mean([(s.no_fault - (not s.faulty)) ** 2 for s in found]),
        "mean P(no fault), with fault": Ratio(
            np.array([s.no_fault * s.faulty for s in found]), np.array([s.faulty for s in found], np.float64)
        ),
    }


def _ece(base: Sequence[Score], name: str, found: Sequence[Score]) -> str:
    """It is no mean over examples, so it is resampled here."""

    def error(of: Sequence[Score], chosen: Sequence[int]) -> float:
        return calibration_error([of[i].no_fault for i in chosen], [not of[i].faulty for i in chosen])

    draw, every = np.random.default_rng(0), range(len(found))
    drawn = (draw.integers(0, len(found), len(found)).tolist() for _ in range(1000))
    low, high = np.quantile([error(found, chosen) - error(base, chosen) for chosen in drawn], [0.025, 0.975])
    interval = "" if found is base else f" ({low:+.3f} to {high:+.3f})"
    return f"{name} {error(found, every):.3f}{interval}"


def _experiments(given: argparse.Namespace) -> Iterator[tuple[str, Callable[[Lab], None]]]:
    yield "split", lambda lab: split(lab, given.suite)
    yield "rejected", lambda lab: rejected(lab, given.records)
    yield "preference", lambda lab: preference(lab, given)
    yield "repair", lambda lab: repaired(lab, given.names, given.programs, given.limit)
    yield "noise", lambda lab: noise(lab, given.radius)
    yield "attacks", lambda lab: attacks(lab, given.variants)
    yield "attention", lambda lab: attention(lab, given.layers, given.entropy, given.locality)
    yield "calibration", calibration


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dataset", type=Path, default=Path("set"))
    parser.add_argument("--work", type=Path, default=Path("out/objectives"))
    parser.add_argument("--examples", type=int, default=300, help="held-out examples that are measured")
    commands = parser.add_subparsers(dest="experiment", required=True)
    commands.add_parser("split").add_argument("suite", type=Path)
    commands.add_parser("rejected").add_argument("--records", type=int, default=240)
    one = commands.add_parser("preference")
    one.add_argument("name", help="of the run")
    one.add_argument("--pairs", type=Path, required=True, help="to learn from")
    one.add_argument("--heldout", type=Path, required=True, action="append", help="pairs of others")
    one = commands.add_parser("repair")
    one.add_argument("names", nargs="+", help="of runs")
    one.add_argument("--programs", type=Path, required=True, help="held-out programs with tests")
    one.add_argument("--limit", type=int, default=30, help="programs")
    commands.add_parser("noise").add_argument("--radius", type=float, default=0.1)
    commands.add_parser("attacks").add_argument("--variants", type=int, default=4)
    one = commands.add_parser("attention")
    one.add_argument("--layers", default="[-2, -1]")
    one.add_argument("--entropy", type=float, default=0.3)
    one.add_argument("--locality", type=float, default=3.0)
    commands.add_parser("calibration")
    given = parser.parse_args()
    torch.set_num_threads(1)
    dict(_experiments(given))[given.experiment](Lab(given.dataset, given.work, given.examples))


if __name__ == "__main__":
    main()
