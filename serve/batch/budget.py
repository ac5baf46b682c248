"""Budgets: of a whole run and of one repository, in seconds, test runs, tokens and money. Pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, replace

from repair.errors import InputError
from repair.projects.values import Bounds, Spent

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Prices:
    """Of a million tokens each, in any one currency."""

    prompt: float = 0.0
    completion: float = 0.0

    def __post_init__(self) -> None:
        for name in ("prompt", "completion"):
            if not getattr(self, name) >= 0:
                raise InputError(f"--price-{name} is {getattr(self, name)}; it cannot be negative", field=name)

    def money(self, spent: Spent) -> float:
        """What the tokens cost."""
        return (spent.prompt_tokens * self.prompt + spent.completion_tokens * self.completion) / _MILLION


@dataclass(frozen=True, slots=True)
class RunBounds:
    """What a whole run may cost, over all its resumptions; 0 is no bound. `seconds` are of the wall clock."""

    seconds: float = 0.0
    test_runs: int = 0
    tokens: int = 0
    money: float = 0.0

    def __post_init__(self) -> None:
        for name in ("seconds", "test_runs", "tokens", "money"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name)}; at least 0 is needed", field=name)


@dataclass(frozen=True, slots=True)
class Used:
    """What of one bound is used; `bound` 0: there is none."""

    what: str
    used: float
    bound: float

    @property
    def spent(self) -> bool:
        """Whether nothing is left."""
        return 0 < self.bound <= self.used


def check_prices(money: float, prices: Prices) -> None:
    """Raises InputError for a bound in money without prices: it would never be reached."""
    if money and not (prices.prompt or prices.completion):
        raise InputError(
            "--money needs what a million tokens cost: give --price-prompt and --price-completion", field="money"
        )


def used(bounds: RunBounds | Bounds, spent: Spent, seconds: float, prices: Prices) -> tuple[Used, ...]:
    """Each of the four bounds with what is used of it."""
    return (
        Used("seconds", seconds, bounds.seconds),
        Used("test runs", spent.test_runs, bounds.test_runs),
        Used("tokens", spent.tokens, bounds.tokens),
        Used("money", prices.money(spent), bounds.money),
    )


def exhausted(bounds: RunBounds | Bounds, spent: Spent, seconds: float, prices: Prices) -> str:
    """The bound that is reached, as "600 seconds"; "" while there is none."""
    return next((f"{one.bound:g} {one.what}" for one in used(bounds, spent, seconds, prices) if one.spent), "")


def left(bounds: Bounds, spent: Spent, prices: Prices) -> Bounds:
    """What of a repository's bounds is left for one more step. Only while none is exhausted.

    A step knows no prices: money becomes tokens, at the dearer of the two prices.
    """
    tokens = [bounds.tokens - spent.tokens] if bounds.tokens else []
    dearest = max(prices.prompt, prices.completion)
    if bounds.money and dearest:
        tokens.append(int((bounds.money - prices.money(spent)) * _MILLION / dearest))
    seconds = max(1e-3, bounds.seconds - spent.seconds) if bounds.seconds else 0.0
    within = [bound for bound in (seconds, bounds.fault_seconds) if bound]
    return replace(
        bounds,
        seconds=seconds,
        fault_seconds=min(within, default=0.0),
        test_runs=max(1, bounds.test_runs - spent.test_runs) if bounds.test_runs else 0,
        tokens=max(1, min(tokens)) if tokens else 0,
    )


def larger(now: Bounds, before: Bounds) -> bool:
    """Whether any bound allows more than before."""
    names = ("seconds", "fault_seconds", "test_runs", "tokens", "money", "candidates")
    pairs = ((getattr(now, name) or float("inf"), getattr(before, name) or float("inf")) for name in names)
    return any(one > other for one, other in pairs)
