"""Chooses the strongest sandbox that withstands the canary attacks here, once per process; fails closed.

Owns the order of tiers and the words for a user whose machine offers none.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from dataclasses import dataclass

from repair.errors import SandboxError
from repair.sandbox import Sandbox, Tier
from repair.sandboxes.bubblewrap import BubblewrapSandbox
from repair.sandboxes.canaries import failures
from repair.sandboxes.cgroups import find_home
from repair.sandboxes.landlock import LandlockSandbox
from repair.sandboxes.limits import LimitsSandbox


@dataclass(frozen=True, slots=True)
class TierReport:
    """What is known of one tier here. `detail` says what failed or what is missing; empty when it holds."""

    tier: Tier
    holds: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Outcome:
    report: TierReport
    sandbox: Sandbox | None = None


def find_sandbox(minimum: Tier = Tier.B, *, unsafe: bool = False) -> Sandbox:
    """The strongest sandbox that holds, at least `minimum`; tier E, which isolates nothing, only with `unsafe`.

    Raises SandboxError, saying what to install or to allow, when there is none.
    """
    reports: list[TierReport] = []
    for tier in Tier:
        if tier > minimum and not (unsafe and tier is Tier.E):
            continue
        if tier is Tier.E and not unsafe:
            continue
        outcome = _outcome(tier)
        if outcome.sandbox is not None:
            return outcome.sandbox
        reports.append(outcome.report)
    raise SandboxError(_advice(minimum, reports))


def probe() -> tuple[TierReport, ...]:
    """Every tier, strongest first, tried here and now (or earlier in this process)."""
    return tuple(_outcome(tier).report for tier in Tier)


@functools.cache
def _outcome(tier: Tier) -> _Outcome:
    """Which of the tiers holds does not change while we run, so the attacks run once per process."""
    try:
        sandbox = _MAKERS[tier]()
        failed = failures(sandbox)
    except SandboxError as error:
        return _Outcome(TierReport(tier, holds=False, detail=f"not available: {error}"))
    if failed:
        return _Outcome(TierReport(tier, holds=False, detail=f"a canary could {'; '.join(failed)}"))
    return _Outcome(TierReport(tier, holds=True), sandbox)


def _bubblewrap_with_cgroups() -> Sandbox:
    _demand_bubblewrap()
    home = find_home()
    if home is None:
        raise SandboxError("no cgroup with memory and pids controllers may be made here (run as root, or delegate one)")
    return BubblewrapSandbox(home)


def _bubblewrap() -> Sandbox:
    _demand_bubblewrap()
    return BubblewrapSandbox()


def _demand_bubblewrap() -> None:
    missing = [name for name in ("bwrap", "prlimit", "tar") if shutil.which(name) is None]
    if missing:
        raise SandboxError(f"{', '.join(missing)} not found (apt install bubblewrap util-linux tar, or the like)")


_MAKERS: dict[Tier, Callable[[], Sandbox]] = {
    Tier.A: _bubblewrap_with_cgroups,
    Tier.B: _bubblewrap,
    Tier.C: LandlockSandbox,
    Tier.E: LimitsSandbox,
}


def _advice(minimum: Tier, reports: list[TierReport]) -> str:
    tried = "; ".join(f"tier {report.tier}: {report.detail}" for report in reports)
    return (
        f"no sandbox of tier {minimum} or better works here ({tried}). Install bubblewrap 0.8 or later and allow "
        "unprivileged user namespaces; or accept tier C; or, only for code you trust, --unsafe-no-sandbox"
    )
