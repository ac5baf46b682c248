"""Do the smallest meaning-preserving edits mislead the shipped model, and does training on them help?

    python benchmarks/adversarial.py --work out/adversarial [--learned 240] [--measured 120] [--steps 24] [--lr 5e-4]

Faults are injected into functions that run alone, of the packages installed here that the shipped weights were not
trained on and whose licence allows it. Packages are divided into two halves. Flips of one half are learned, going on
from the shipped adapter, mixed with the same half's faults as they were (the plain run: these alone, as many steps);
everything is measured on the other half. An edit counts only where its tests were run again and hold. Every stage is
kept in WORK: asked again it is only read. Prints Markdown, shares with 95 % Wilson intervals, differences with 95 %
intervals of pairs, what is recovered with a bootstrap over cases.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path

import numpy as np

from benchmarks.injected import learned
from data.executed import all_executed, suite_row
from data.filters import FileLimits, decode, is_test, text_reason, vendored
from data.labelling import record_of
from data.licences import package_licence
from data.recipe import Recipe as DataRecipe
from data.records import ErrorOrigin, Origin, Record, from_row, to_row
from data.sources.adversarial import adversarial_record
from data.sources.packages import MEASURED_PROJECTS, CodeFile, normalised
from data.store import read_rows, write_rows
from eval.paired import compare
from eval.robustness.flipping import Attacked, End, FlipPlan, attack_all
from eval.robustness.flips import flip_row, parse_flip
from eval.robustness.locating import Locating
from eval.robustness.smallest import SmallestPlan
from eval.stats import Share
from eval.suites.cases import Case
from repair.models.select import load_model
from training.adapter import CANDIDATE, train_adapter
from training.config import parse_recipe

RECIPE = """
data = { row_length = 1024, rows = 4, pool = 1024 }
optim = { optimizer = "adamw", beta2 = 0.98, weight_decay = 0.0, warmup = 3, schedule = "linear" }
run = { adapter = "embedded", evaluate_steps = 1000, threads = 1, engine = "torch" }
"""
FAULTLESS = 0.15  # of the learned clean records: code without a fault, so that "no fault" is not forgotten
HELD = 0.05  # of the learned clean records, for the loss that a run tells
LARGEST = 80_000  # bytes of a file


@dataclass(frozen=True, slots=True)
class Program:
    """A fault in a function that runs alone, as a case and as the record that it is of."""

    case: Case
    record: Record


@dataclass(frozen=True, slots=True)
class Halves:
    """Programs to learn from and to measure on, of different packages."""

    learn: tuple[Program, ...]
    measure: tuple[Program, ...]


# The programs


def files() -> Iterator[tuple[CodeFile, str]]:
    """Files of installed packages that may be used and were not learned, with their licence."""
    seen = learned()
    for one in sorted(metadata.distributions(), key=lambda d: normalised(d.metadata["Name"])):
        name = normalised(one.metadata["Name"])
        decision = package_licence(
            expression=str(one.metadata.get("License-Expression") or ""),
            classifiers=one.metadata.get_all("Classifier", []),
            text=str(one.metadata.get("License") or ""),
        )
        if name in seen | MEASURED_PROJECTS | {"emend"} or not decision.accepted:
            continue
        for file in one.files or ():
            path = Path(str(one.locate_file(file)))
            if path.suffix != ".py" or is_test(str(file)) or vendored(str(file)) or not path.is_file():
                continue
            if path.stat().st_size > LARGEST:
                continue
            text, reason = decode(path.read_bytes(), FileLimits())
            if not reason and not text_reason(text, FileLimits()):
                yield CodeFile(name, str(file), text), decision.licence


def programs(work: Path, each: int, seed: int) -> list[Program]:
    """All programs, one of each function text and fault; made once."""
    path = work / "programs.jsonl"
    if not path.exists():
        found = list(files())
        licences = {file.package: licence for file, licence in found}
        made = all_executed((file for file, _ in found), DataRecipe(seed=seed, executed_each=each), seed=seed)
        rows = []
        for number, one in enumerate(made):
            record = replace(record_of(one.example), licence=licences[one.example.package])
            rows.append({"case": suite_row(one, number), "record": to_row(record)})
        write_rows(path, rows)
    unique = {}
    for row in read_rows(path):
        program = Program(Case(**row["case"]), from_row(row["record"]))
        unique.setdefault((program.record.buggy, program.record.fixed), program)
    return list(unique.values())


def halves(found: Sequence[Program], counts: tuple[int, int], seed: int) -> Halves:
    """Packages, the largest first, go to the half that is smaller; then so many of each half are drawn."""
    sizes = Counter(p.record.repository for p in found)
    texts: dict[str, str] = {}  # of a function that two packages have, the first one counts
    sides: tuple[list[Program], list[Program]] = ([], [])
    for package, _ in sizes.most_common():
        own = [p for p in found if p.record.repository == package]
        own = [p for p in own if texts.setdefault(p.record.fixed, package) == package]
        min(sides, key=len).extend(own)
    learn, measure = (
        random.Random(seed).sample(side, min(n, len(side))) for side, n in zip(sides, counts, strict=True)
    )
    return Halves(tuple(learn), tuple(measure))


# Attacks


def attacked(path: Path, cases: Sequence[Case], adapter: Path | None, seed: int) -> list[Attacked]:
    """What becomes of the cases; made once."""
    key = hashlib.sha256("\n".join(case.digest for case in cases).encode()).hexdigest()[:8]
    path = path.with_name(f"{path.stem}-{key}.jsonl")
    if not path.exists():
        plan = FlipPlan(search=SmallestPlan(seed=seed))
        began = time.process_time()
        found = list(attack_all(cases, plan, adapter=str(adapter) if adapter else None))
        print(f"<!-- {path.name}: {time.process_time() - began:.0f} s of this process -->")
        write_rows(path, ({**asdict(one), "flip": flip_row(one.flip) if one.flip else None} for one in found))
    rows = read_rows(path)
    return [Attacked(**row | {"end": End(row["end"]), "flip": row["flip"] and parse_flip(row["flip"])}) for row in rows]


def misleading(case: Case, one: Attacked) -> Case:
    """The case as an attack left it: written anew where that flips."""
    flip = one.flip
    if flip is None:
        return case
    return replace(case, buggy_code=flip.buggy, fixed_code=flip.fixed, error=flip.error or None)


def located(cases: Mapping[str, Case], adapter: Path | None) -> dict[str, bool]:
    """Whether the most suspicious line is a faulty one."""
    locating = Locating(load_model(None, adapter=str(adapter) if adapter else None, threads=1))
    return {name: locating.read(case).rank == 1 for name, case in cases.items()}


# Training


def learnable(half: Sequence[Program], flips: Sequence[tuple[Record, Attacked]], path: Path, *, mixed: bool) -> None:
    """Rows to learn from: the half's faults as they were, code without a fault, and the flips where `mixed`."""
    rows: list[Mapping[str, object]] = []
    draw = random.Random(0)
    for program in half:
        case = program.case
        made = adversarial_record(
            program.record, case.buggy_code, case.fixed_code or "", error=case.error or "", how=""
        )
        if isinstance(made, str):
            continue
        clean = replace(made, origin=Origin.MUTANT, reasons=())
        split = "validation" if draw.random() < HELD else "train"
        rows.append(to_row(clean) | {"split": split})
        if draw.random() < FAULTLESS:
            none = ErrorOrigin.NONE
            fine = replace(clean, buggy=clean.fixed, error="", error_type="", error_origin=none, bug_classes=("clean",))
            rows.append(to_row(fine) | {"split": split})
    if mixed:
        for record, one in flips:
            if one.flip is not None:
                flip = one.flip
                made = adversarial_record(record, flip.buggy, flip.fixed, error=flip.error, how="+".join(flip.attacks))
                if not isinstance(made, str):
                    rows.append(to_row(made) | {"split": "train"})
    write_rows(path, rows)


def trained(work: Path, name: str, rows: Path, *settings: str) -> Path:
    """The adapter of a run that goes on from the shipped one; trained once."""
    out = work / name
    if not (out / CANDIDATE / "adapter_config.json").exists():
        recipe = parse_recipe(RECIPE, (f'data.dataset=["{rows}"]', f'run.out="{out}"', *settings))
        state = train_adapter(recipe).state
        (out / "told.json").write_text(
            json.dumps({"steps": state.step, "tokens": state.tokens, "seconds": state.seconds})
        )
    print(f"<!-- {name}: {(out / 'told.json').read_text()} -->")
    return out / CANDIDATE


# What is told


def difference(before: Mapping[str, bool], after: Mapping[str, bool]) -> str:
    found = compare(before, after)
    if found.difference is None or found.interval is None:
        return ""
    low, high = (100 * bound for bound in found.interval)
    return f"{100 * found.difference:+.1f} [{low:+.1f}, {high:+.1f}]"


def recovered(clean: Mapping[str, bool], bad: Mapping[str, bool], now: Mapping[str, bool]) -> str:
    """(now - attacked) / (clean - attacked) of the shipped model's loss, with a bootstrap over cases."""
    names = sorted(clean)
    table = np.array([[clean[n], bad[n], now[n]] for n in names], np.float64)
    draw = np.random.default_rng(0)

    def share(rows: np.ndarray) -> float:
        one, two, three = rows.mean(axis=0)
        return float((three - two) / (one - two)) if one > two else float("nan")

    drawn = [share(table[draw.integers(0, len(table), len(table))]) for _ in range(2000)]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return f"{100 * share(table):.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


def share_of(rights: Mapping[str, bool]) -> str:
    return str(Share(sum(rights.values()), len(rights)))


def edits(found: Sequence[Attacked]) -> str:
    flips = [one.flip for one in found if one.flip is not None]
    kinds = Counter(name for flip in flips for name in flip.attacks)
    steps = Counter(len(flip.steps) for flip in flips)
    lines = sorted(flip.size.lines for flip in flips)
    told = ", ".join(f"{name} {count}" for name, count in kinds.most_common())
    middle = lines[len(lines) // 2] if lines else 0
    return f"{len(flips)} flips, edits each {dict(sorted(steps.items()))}, median {middle} changed lines; {told}"


def rights(found: Sequence[Attacked]) -> tuple[dict[str, bool], dict[str, bool]]:
    """(as it was, attacked) by case; cases that could not be measured are left out."""
    before = {one.id: bool(one.right_before) for one in found if one.right_before is not None}
    after = {one.id: bool(one.right_after) for one in found if one.right_after is not None}
    return before, after


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, default=Path("out/adversarial"))
    parser.add_argument("--learned", type=int, default=240, help="programs of the half that is learned from")
    parser.add_argument("--measured", type=int, default=120, help="programs of the half that is measured on")
    parser.add_argument("--each", type=int, default=3, help="faults of a function")
    parser.add_argument("--seeds", type=int, default=1, help="searches of each case that is learned from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", nargs="+", default=["plain", "adversarial"], choices=["plain", "adversarial"])
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--lr", default="5e-4")
    given = parser.parse_args()
    work: Path = given.work
    work.mkdir(parents=True, exist_ok=True)
    both = halves(programs(work, given.each, given.seed), (given.learned, given.measured), given.seed)
    for name, half in (("learned from", both.learn), ("measured", both.measure)):
        packages = Counter(p.record.repository for p in half)
        print(f"{name}: {len(half)} programs of {len(packages)} packages\n")

    flips = [
        (program.record, one)
        for seed in range(given.seeds)
        for program, one in zip(
            both.learn, attacked(work / f"learn-{seed}.jsonl", [p.case for p in both.learn], None, seed), strict=True
        )
    ]
    learn = rights([one for _, one in flips[: len(both.learn)]])
    print(f"half to learn from, shipped: location@1 {share_of(learn[0])}, attacked {share_of(learn[1])}\n")
    print(f"{edits([one for _, one in flips])} ({given.seeds} searches)\n")

    cases = {program.case.id: program.case for program in both.measure}
    found = attacked(work / "measure-shipped.jsonl", list(cases.values()), None, 0)
    clean, bad = rights(found)
    print(f"half that is measured: {edits(found)}\n")
    inputs = {one.id: misleading(cases[one.id], one) for one in found if one.id in clean}
    columns = {"shipped": {"clean": clean, "transfer": bad, "fresh": bad}}
    for name in given.runs:
        data = work / f"{name}.jsonl"
        learnable(both.learn, flips, data, mixed=name == "adversarial")
        tag = f"{name}-{given.steps}-{given.lr}"
        adapter = trained(work, tag, data, f"run.steps={given.steps}", f"optim.lr={given.lr}")
        again = attacked(work / f"measure-{tag}.jsonl", list(cases.values()), adapter, 0)
        before, after = ({n: right for n, right in part.items() if n in clean} for part in rights(again))
        columns[name] = {"clean": before, "transfer": located(inputs, adapter), "fresh": after}
        print(f"{name}: {edits(again)}\n")
    table(columns)


def table(columns: Mapping[str, Mapping[str, Mapping[str, bool]]]) -> None:
    """Markdown; the first column is what the others are compared with."""
    first = next(iter(columns.values()))
    clean, bad = first["clean"], first["fresh"]
    rows: list[tuple[str, Callable[[Mapping[str, Mapping[str, bool]]], str]]] = [
        ("location@1 as it was", lambda r: share_of(r["clean"])),
        ("... against shipped, points", lambda r: difference(clean, r["clean"])),
        ("flips of shipped (transfer)", lambda r: share_of(r["transfer"])),
        ("... against shipped, points", lambda r: difference(bad, r["transfer"])),
        ("... of the loss recovered", lambda r: recovered(clean, bad, r["transfer"])),
        ("fresh search", lambda r: share_of(r["fresh"])),
        ("... against shipped, points", lambda r: difference(bad, r["fresh"])),
        ("... of the loss recovered", lambda r: recovered(clean, bad, r["fresh"])),
    ]
    print(f"| | {' | '.join(columns)} |\n|{'---|' * (1 + len(columns))}")
    for title, tell in rows:
        print(f"| {title} | {' | '.join(tell(column) for column in columns.values())} |")


if __name__ == "__main__":
    main()
