"""Build a whole corpus: packages to cleaned files, vocabulary, pre-training streams, repair rows, manifest.

Every stage writes whole files and then its summary `stages/NAME.json` under a key of all that it depends on;
a later run with the same key skips it, so that a killed build goes on and ends in the same bytes.
Composes the other modules; owns no filter, format or draw of its own.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

from data.collect import collect_package, collected
from data.decontaminate import Forbidden
from data.dedup import Seen
from data.executed import all_executed, dropped_out, suite_row
from data.inject import examples, write_held_out, write_training
from data.manifest import card, manifest, write_manifest
from data.mutants import Injector
from data.pack import encode_example, write_packed
from data.packs import write_packs
from data.pretrain import shuffled_windows, token_stream, write_shards
from data.recipe import Recipe
from data.sources.packages import Package, read_packages, standard_library
from data.store import write_rows, write_text
from data.tokenizer import LineEncoder, bytes_per_token, train_tokenizer
from repair.errors import InputError
from repair.executors import Executor, Serial

PRETRAIN_SHARD = 5_000_000  # tokens
VALIDATION_TOKENS = 400_000
HELD_OUT_EACH = 2  # examples of each held-out function
Counts = dict[str, object]
Report = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Guard:
    """What decontamination works against: a list of marks and suites in our format, both by path."""

    marks: Path
    suites: tuple[Path, ...] = ()


@dataclass(slots=True)
class Build:
    """One build: where it writes, what it follows, what it has learned so far."""

    out: Path
    recipe: Recipe
    report: Report
    packages: list[Mapping[str, object]] = field(default_factory=list[Mapping[str, object]])
    stages: dict[str, Counts] = field(default_factory=dict[str, Counts])

    def names(self, *, held_out: bool) -> list[str]:
        """The usable packages for training, or those held out."""
        return [str(p["name"]) for p in self.packages if p["accepted"] and bool(p["held_out"]) is held_out]

    def key(self, *parts: str) -> str:
        """A hash of the collected files, the recipe and the stages before."""
        known = [self.recipe.digest(), *(str(p["key"]) for p in self.packages), *parts]
        return hashlib.sha256("\n".join(known).encode()).hexdigest()[:16]

    def stage(self, name: str, make: Callable[[], Counts]) -> None:
        """Run a stage unless an earlier build finished it with the same key."""
        path = self.out / "stages" / f"{name}.json"
        key = self.key(name)
        if path.exists():
            earlier = json.loads(path.read_text("utf-8"))
            if earlier["key"] == key:
                self.stages[name] = earlier["counts"]
                self.report(name, "kept from an earlier build")
                return
        counts = make()
        write_text(path, json.dumps({"key": key, "counts": counts}, sort_keys=True, indent=1) + "\n")
        self.stages[name] = counts
        self.report(name, json.dumps(counts, sort_keys=True))


def _collect(build: Build, packages: Sequence[Package], forbidden: Forbidden, executor: Executor) -> None:
    collect = partial(collect_package, folder=build.out / "files", recipe=build.recipe, forbidden=forbidden)
    for package, summary in zip(packages, executor.map(collect, packages), strict=True):
        build.packages.append(summary)
        build.report("collect", f"{package.name} {package.version}: {summary['reason'] or summary['bytes']}")
    if not build.names(held_out=False):
        raise InputError("no package is left for training: all were refused or are held out", field="wheels")


def _vocabulary(build: Build) -> Counts:
    if build.recipe.tokenizer:
        return _kept_vocabulary(build)
    names = build.names(held_out=False)
    share = max(1, build.recipe.sample // len(names))
    texts: list[str] = []
    for name in names:
        size = 0
        for file in collected(build.out / "files", [name]):
            if size >= share:
                break
            texts.append(file.text)
            size += len(file.text)
    tokenizer = train_tokenizer(texts, build.recipe.vocabulary)
    write_text(build.out / "tokenizer.json", tokenizer.to_str(pretty=True) + "\n")
    return _vocabulary_counts(build)


def _kept_vocabulary(build: Build) -> Counts:
    path = Path(build.recipe.tokenizer).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"recipe.tokenizer {path}: {error.strerror}", field="recipe.tokenizer") from error
    write_text(build.out / "tokenizer.json", text)
    return _vocabulary_counts(build)


def _vocabulary_counts(build: Build) -> Counts:
    encoder = LineEncoder.read(build.out / "tokenizer.json")
    held_out = islice((f.text for f in collected(build.out / "files", build.names(held_out=True))), 200)
    rate = bytes_per_token(encoder, held_out)
    return {"vocabulary": encoder.size, "held_out_bytes_per_token": round(rate, 3)}


def _pretrain(build: Build, encoder: LineEncoder) -> Counts:
    counts: Counts = {}
    training = [] if build.recipe.pack_mib else [(False, "pretrain", build.recipe.pretrain_tokens)]
    for held_out, name, tokens in (*training, (True, "valid-pretrain", VALIDATION_TOKENS)):
        seen = Seen()
        files = collected(build.out / "files", build.names(held_out=held_out))
        stream = token_stream(shuffled_windows(files, build.recipe, seen), encoder, build.recipe)
        written = write_shards(stream, build.out, name, tokens=tokens, shard=PRETRAIN_SHARD)
        counts[name] = {"shards": len(written), "tokens": sum(size for _, size in written), **seen.left_out}
    return counts


def _injector(build: Build, shift: int) -> Injector:
    recipe = build.recipe
    return Injector(recipe.seed + shift, recipe.clean_share, recipe.second_share)


def _repair(build: Build, encoder: LineEncoder) -> Counts:
    injector, seen = _injector(build, 0), Seen()
    files = collected(build.out / "files", build.names(held_out=False))
    found = examples(files, build.recipe, injector, seen, build.recipe.each)
    total = {"shards": 0, "rows": 0, "tokens": 0, "examples": 0}
    for name, counts in write_training(found, encoder, build.out, build.recipe):
        build.report("repair", f"{name}: {counts['examples']} examples")
        total = {key: value + counts.get(key, 1) for key, value in total.items()}
    classes = dict(sorted(injector.quota.drawn.items()))
    share = round(injector.clean / max(1, injector.made), 4)
    return {**total, **seen.left_out, "classes_drawn": classes, "clean_share": share}


def _held_out(build: Build, encoder: LineEncoder) -> Counts:
    injector, seen = _injector(build, 1), Seen()
    files = collected(build.out / "files", build.names(held_out=True))
    found = list(examples(files, build.recipe, injector, seen, HELD_OUT_EACH))
    classes = write_held_out(found, build.out / "heldout.jsonl", build.recipe)
    rows = (encode_example(example, encoder) for example in found[::4])
    packed = write_packed(build.out, "valid-repair-000", rows, build.recipe.row)
    return {"classes": dict(sorted(classes.items())), "validation": packed}


def _executed(build: Build, encoder: LineEncoder) -> Counts:
    recipe, draw = build.recipe, random.Random(f"{build.recipe.seed}:executed")
    made = list(all_executed(collected(build.out / "files", build.names(held_out=False)), recipe, seed=recipe.seed))
    draw.shuffle(made)
    packed = write_packed(
        build.out, "executed-000", (encode_example(dropped_out(b, draw), encoder) for b in made), recipe.row
    )
    held_out = all_executed(collected(build.out / "files", build.names(held_out=True)), recipe, seed=recipe.seed)
    rows = write_rows(build.out / "executable.jsonl", (suite_row(b, n) for n, b in enumerate(held_out)))
    return {**packed, "held_out_programs": rows}


def _silent(stage: str, text: str) -> None:
    del stage, text


def build_corpus(
    wheels: Path,
    out: Path,
    recipe: Recipe,
    guard: Guard,
    *,
    report: Report = _silent,
    executor: Executor | None = None,
) -> dict[str, object]:
    """Build everything under `out` from a folder of wheels; gives back the manifest, also in `manifest.json`.

    With `recipe.pack_mib` text packs (`packs/`) take the place of the training shards. `executor` (default: this
    process) collects and packs. Decontamination against `guard` cannot be left out. Deterministic: same wheels,
    interpreter and recipe, same bytes. Raises InputError (no usable wheel, unreadable guard, nothing to write to) and
    SuiteError.
    """
    packages = [*read_packages(wheels), *([standard_library()] if recipe.stdlib else [])]
    forbidden = Forbidden.read(guard.marks, guard.suites)
    build, work = Build(out, recipe, report), executor or Serial()
    _collect(build, packages, forbidden, work)
    build.stage("vocabulary", lambda: _vocabulary(build))
    encoder = LineEncoder.read(out / "tokenizer.json")
    build.stage("pretrain", lambda: _pretrain(build, encoder))
    if build.names(held_out=True):
        build.stage("held-out", lambda: _held_out(build, encoder))
    if recipe.executed_each:
        build.stage("executed", lambda: _executed(build, encoder))
    if recipe.pack_mib:
        names = build.names(held_out=False)
        build.stage("packs", lambda: write_packs(names, out / "files", out / "packs", recipe, work))
    else:
        build.stage("repair", lambda: _repair(build, encoder))
    against = {"marks": len(forbidden.marks), "runs of 13 tokens": len(forbidden.grams), "suites": len(guard.suites)}
    values = manifest(recipe, build.packages, build.stages, against)
    write_manifest(out / "manifest.json", values)
    write_text(out / "DATA.md", card(values))
    return values
