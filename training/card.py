"""The model card: README.md of an adapter or of a fully tuned model, with the front matter that model hubs read.

Owns what a card says and in which order. Computes nothing: values in, text out. What was measured stands beside what
it was measured against; an adapter that the gate refused says so in its first paragraph.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from training.config import Recipe
from training.places import EMBEDDED
from training.recipe_text import whole_recipe
from training.verdicts import PASSED, Verdict, render

FILE = "README.md"
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_LIMITS = (
    "For proposing small repairs (a line or two, with the kinds of fault of its data) that a test suite or a person "
    "checks. Not for generating code, judging security, or deciding by itself that code is correct. The figures hold "
    "for examples like the held-out ones: other languages, longer windows and other kinds of fault were not measured. "
    "Names and strings of the training code may come out; its licences are listed above."
)


@dataclass(frozen=True, slots=True)
class DataUsed:
    """One data set that was trained on."""

    name: str
    digest: str  # sha256 of its manifest, or of the file
    examples: int
    licences: Mapping[str, int] = field(default_factory=dict[str, int])  # examples by SPDX expression
    too_long: int = 0  # examples left out because they exceed a row


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run took and what it ran on."""

    seconds: float
    steps: int
    tokens: int
    hardware: str
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CardFacts:
    """All that a card says. `before` and `after` are figures as `training.scores.summarise` gives them."""

    name: str
    base: str  # directory or hub id; `EMBEDDED` for the shipped base
    recipe: Recipe
    data: tuple[DataUsed, ...]
    spent: Spent
    before: Mapping[str, float] = field(default_factory=dict[str, float])
    after: Mapping[str, float] = field(default_factory=dict[str, float])
    verdict: Verdict | None = None  # None: the gate was not asked
    licence: str = "other"  # of the weights, a licence id of the hub
    date: str = ""  # ISO 8601

    @property
    def adapts(self) -> bool:
        """Whether the weights are an adapter, not a whole model."""
        return self.recipe.run.method == "lora"


def _quoted(text: str) -> str:
    """YAML takes JSON strings."""
    return json.dumps(text, ensure_ascii=False)


def _id(name: str) -> str:
    """A name as a hub takes it; of a path the last folder."""
    return name if _HUB_ID.fullmatch(name) else Path(name).name or "unnamed"


def _front_matter(facts: CardFacts) -> Iterator[str]:
    yield from ("---", f"base_model: {_quoted(_id(facts.base))}")
    yield f"base_model_relation: {'adapter' if facts.adapts else 'finetune'}"
    yield f"library_name: {'peft' if facts.adapts else 'transformers'}"
    yield from (f"license: {facts.licence}", "pipeline_tag: text-generation", "tags:")
    yield from (f"- {tag}" for tag in ("code", "program-repair", "emend", *(["lora"] if facts.adapts else [])))
    if facts.data:
        yield from ("datasets:", *(f"- {_quoted(_id(one.name))}" for one in facts.data))
    yield "---"


def _summary(facts: CardFacts) -> Iterator[str]:
    kind = "A LoRA adapter" if facts.adapts else "A fully tuned model"
    start = f", going on from the adapter `{facts.recipe.run.adapter}`" if facts.recipe.run.adapter else ""
    yield f"{kind} of `{facts.base}`{start} that repairs code: it reads numbered lines with an error message, says"
    yield "which line is wrong and what should stand there. Trained by Emend."
    if facts.recipe.data.control:
        yield f"\n**A control ({facts.recipe.data.control} answers): it must not be used.**"
    verdict = facts.verdict
    if verdict is None:
        yield "\n**It was not compared with its base.**"
    elif verdict.outcome != PASSED:
        taken = " It was kept all the same, by `--force`." if verdict.forced else ""
        yield f"\n**The gate's answer was: {verdict.outcome}.**{taken} {'; '.join(verdict.reasons)}."


def _use(facts: CardFacts) -> Iterator[str]:
    model = "" if facts.base == EMBEDDED else f"--model {facts.base} "
    yield from ("## Use", "", "```sh")
    yield f"emend fix FILE {model}--adapter DIRECTORY" if facts.adapts else "emend fix FILE --model DIRECTORY"
    yield from ("```", "", "```python")
    if facts.adapts:
        base = "str(embedded_directory())" if facts.base == EMBEDDED else json.dumps(facts.base)
        if facts.base == EMBEDDED:
            yield "from repair.embedded.expander import embedded_directory"
        yield from ("from peft import PeftModel", "from transformers import AutoModelForCausalLM", "")
        yield f"base = AutoModelForCausalLM.from_pretrained({base})"
        yield 'model = PeftModel.from_pretrained(base, "DIRECTORY")'
    else:
        yield from ("from transformers import AutoModelForCausalLM", "")
        yield 'model = AutoModelForCausalLM.from_pretrained("DIRECTORY")'
    yield from ("```", "", "Prompts and replies: `repair/prompts.py` and `repair/replies.py` of Emend.", "")


def _cell(text: object) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows)
    yield ""


def _data(facts: CardFacts) -> Iterator[str]:
    yield from ("## Data", "")
    rows = [(one.name, one.examples, one.too_long, _licences(one), f"`{one.digest}`") for one in facts.data]
    yield from _table(("data", "examples", "left out: too long", "licences", "sha256 of the manifest"), rows)


def _licences(one: DataUsed) -> str:
    ordered = sorted(one.licences.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name or 'unknown'} ({count})" for name, count in ordered) or "unknown"


def _figure(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:g}"


def _figures(facts: CardFacts) -> Iterator[str]:
    yield from ("## Figures", "")
    if facts.verdict is not None:
        yield f"Held out: {facts.verdict.examples} examples; compared with `{facts.verdict.base}`; paired bootstrap."
        yield from ("", "```text", *render(facts.verdict), "```", "")
    names = [*facts.before, *(name for name in facts.after if name not in facts.before)]
    if names:
        rows = [(name, _figure(facts.before.get(name)), _figure(facts.after.get(name))) for name in names]
        yield from (*_table(("figure", "before", "after"), rows), "Definitions: `training/scores.py` of Emend.", "")


def _training(facts: CardFacts) -> Iterator[str]:
    spent = facts.spent
    yield from ("## Training", "")
    rows = [
        ("steps", spent.steps),
        ("tokens", spent.tokens),
        ("time", f"{spent.seconds / 60:.1f} minutes"),
        ("hardware", spent.hardware),
        ("versions", ", ".join(f"{name} {number}" for name, number in spent.versions.items())),
        *([("date", facts.date)] if facts.date else []),
    ]
    yield from (*_table(("", ""), rows), "```toml", whole_recipe(facts.recipe).rstrip(), "```", "")


def render_card(facts: CardFacts) -> str:
    """The card as Markdown with front matter."""
    lines = [*_front_matter(facts), "", f"# {facts.name}", "", *_summary(facts), "", *_use(facts), *_figures(facts)]
    lines += [*_data(facts), *_training(facts), "## Intended use and limits", "", _LIMITS]
    return "\n".join(lines) + "\n"


def write_card(facts: CardFacts, directory: Path) -> Path:
    """README.md beside the weights; peft leaves an empty one there, which is replaced."""
    path = directory / FILE
    path.write_text(render_card(facts), encoding="utf-8")
    return path
