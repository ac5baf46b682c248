"""How early the search tries the fix of executable faults, and what weights of its operators would be better.

    python benchmarks/ordering.py SUITE.jsonl [--limit N] [--fit]

SUITE holds programs whose reference is one mutation away (`data.executed` makes such). The buggy program is run for
its evidence and coverage; no candidate is. The rank of the reference is estimated from all proposals of the model
and NEGATIVES mutations drawn evenly from the rest. --fit fits a conditional logit (McFadden 1974) over location,
model term, mutation weight and one bias an operator, cross-validated by package, and prints the weights for
`repair/mutate/catalogue.py`, each moved by DAMPING of what was fitted: injected faults are not real ones.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp, log
from pathlib import Path

import torch
from torch import Tensor

from eval.suites.rows import LANGUAGES, Case, read_suite
from repair.campaign import survey
from repair.defects import Budget, Defect, RepairRequest
from repair.edits import FilePatch
from repair.errors import EmendError
from repair.model import Model
from repair.models.select import load_model
from repair.mutate.catalogue import REPAIRS
from repair.oracles.scripts import ScriptOracle
from repair.pipeline import informed
from repair.sandbox import Sandbox, Tier
from repair.sandboxes.select import find_sandbox
from repair.search import Field, Ordering, Search, SearchOptions, gather
from repair.sources import Source

NEGATIVES = 220
LINES = 20
DAMPING = 0.6
OPERATORS = {f"mutation:{operator.name}": number for number, operator in enumerate(REPAIRS)}
MODEL = len(OPERATORS)  # the bias of what only the model wrote


@dataclass(frozen=True, slots=True)
class Choice:
    """The reference (row 0) and what competes with it. `features`: location, model term, log weight, agreed."""

    package: str
    operators: Tensor  # (n,) index of the operator
    features: Tensor  # (n, 4)
    stands_for: Tensor  # (n,) how many mutations a drawn one stands for

    def rank(self, scores: Tensor) -> float:
        """The estimated rank of the reference when candidates are ordered by `scores` (n,)."""
        return 1 + float((self.stands_for[1:] * (scores[1:] >= scores[0])).sum())


def place_of(case: Case, model: Model, sandbox: Sandbox) -> Field:
    """Suspects and views after the buggy program was run. Raises EmendError."""
    source = Source(LANGUAGES[case.language], case.buggy_code, case.language)
    request = RepairRequest((source,), Defect(), Budget(1, 60))
    with ScriptOracle(source, case.tests, sandbox).open() as bench:
        baseline = bench.baseline()
    return survey(informed(request, baseline), model, baseline.spectrum)[0]


def choice_of(case: Case, place: Field, model: Model, draw: random.Random) -> Choice | None:
    """None when the reference is not among the candidates."""
    search = Search(place, model, SearchOptions())
    mutations, proposals = gather(place, model, SearchOptions(lines=LINES))
    source = next(iter(place.sources.values()))
    texts: dict[str, int] = {}
    pool = [*mutations, *proposals]
    for number, change in enumerate(pool):
        texts.setdefault(FilePatch(change.path, change.edits).apply(source.text), number)
    wanted = (case.fixed_code or "").strip()
    reference = next((number for text, number in texts.items() if text.strip() == wanted), None)
    if reference is None:
        return None
    written = {texts[FilePatch(c.path, c.edits).apply(source.text)] for c in proposals}
    rest = [n for n in texts.values() if n != reference and n not in written]
    drawn = draw.sample(rest, min(NEGATIVES, len(rest)))
    chosen = [reference, *(n for n in written if n != reference), *drawn]
    terms = search.features([pool[n] for n in chosen])
    rows = [(*t, log(pool[n].weight or 1.0), float(n in written)) for n, t in zip(chosen, terms, strict=True)]
    each = len(rest) / max(1, len(drawn))
    return Choice(
        case.id.split("/")[0],
        torch.tensor([OPERATORS.get(pool[n].origin, MODEL) for n in chosen]),
        torch.tensor(rows),
        torch.tensor([1.0 if n == reference or n in written else each for n in chosen]),
    )


def choices(cases: Sequence[Case]) -> Iterator[Choice]:
    """Those of all cases whose reference can be reached."""
    model, sandbox, draw = load_model(None), find_sandbox(Tier.B, unsafe=False), random.Random(5)
    assert model is not None
    for case in cases:
        try:
            found = choice_of(case, place_of(case, model, sandbox), model, draw)
        except EmendError as error:
            print(f"{case.id}: {error}")
            continue
        if found is not None:
            yield found


def shipped() -> tuple[Tensor, Tensor]:
    """The weights that Emend has now."""
    now = Ordering()
    biases = torch.zeros(MODEL + 1)
    biases[MODEL] = now.proposal - now.agreed  # what only the model wrote counts as agreed as well
    return torch.tensor([now.location, now.model, now.operator, now.agreed]), biases


def fitted(train: Sequence[Choice], steps: int = 300) -> tuple[Tensor, Tensor]:
    """Weights of the features and a bias for each operator, by the likelihood of the references."""
    weights, biases = (torch.nn.Parameter(t.clone()) for t in shipped())
    optimizer = torch.optim.Adam([weights, biases], lr=0.03)
    for _ in range(steps):
        loss = 0.05 * (biases**2).mean()
        for one in train:
            scores = one.features @ weights + biases[one.operators]
            loss = loss + (torch.logsumexp(scores + one.stands_for.log(), 0) - scores[0]) / len(train)
        optimizer.zero_grad()
        loss.backward()  # pyright: ignore
        optimizer.step()
    return weights.detach(), biases.detach()


def told(name: str, ranks: Sequence[float]) -> None:
    count = len(ranks)
    shares = ", ".join(f"<= {k}: {100 * sum(r < k + 0.5 for r in ranks) / count:.1f} %" for k in (1, 10, 50, 200))
    print(f"{name:28} {count} faults, mean log rank {sum(map(log, ranks)) / count:.2f}; {shares}")


def cross_validated(found: Sequence[Choice], folds: int = 4) -> list[float]:
    packages = sorted({one.package for one in found})
    random.Random(3).shuffle(packages)
    ranks: list[float] = []
    for fold in range(folds):
        held = set(packages[fold::folds])
        weights, biases = fitted([one for one in found if one.package not in held], steps=150)
        ranks += [o.rank(o.features @ weights + biases[o.operators]) for o in found if o.package in held]
    return ranks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("suite", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--fit", action="store_true")
    given = parser.parse_args()
    cases = list(read_suite(given.suite).cases)
    random.Random(1).shuffle(cases)
    found = list(choices(cases[: given.limit]))
    weights, biases = shipped()
    told("as shipped", [o.rank(o.features @ weights + biases[o.operators]) for o in found])
    blind = weights * torch.tensor([1.0, 0.0, 1.0, 0.0])
    told("without the model's terms", [o.rank(o.features @ blind + biases[o.operators]) for o in found])
    if given.fit:
        told("fitted, cross-validated", cross_validated(found))
        weights, biases = fitted(found)
        print("location, model, operator, agreed:", [round(w, 2) for w in weights.tolist()])
        print("proposal:", round(float(biases[MODEL] + weights[3]), 2))
        for operator, number in zip(REPAIRS, OPERATORS.values(), strict=True):
            print(f"{operator.name:20} {operator.weight * exp(DAMPING * float(biases[number] / weights[2])):.2g}")


if __name__ == "__main__":
    main()
