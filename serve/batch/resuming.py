"""What a folder of results remembers of its run, and whether a resumed run is still the same."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

from repair.errors import InputError
from repair.projects.values import Bounds, Order
from serve.batch.store import Known

_FILE = "run.json"
_FREE = ("bounds", "priority")  # of an order: a resumed run may have others
_OWN = frozenset({"names", "repositories", "budget", "prices"})  # of the settings: told otherwise, or free
_OPTIONS = {"report": "--log", "alerts": "--sarif", "requirements": "--requirement"}
_SHOWN = 80  # characters of a value in a message


def run_of(out: Path) -> str:
    """The id of the run that a folder holds, "" where it holds none. Raises InputError."""
    try:
        known: object = json.loads((out / _FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise InputError(
            f"{out / _FILE} cannot be read ({error}); choose another folder with -o", field="out"
        ) from error
    name = cast("dict[str, object]", known).get("run") if isinstance(known, dict) else None
    if not isinstance(name, str) or not name:
        raise InputError(f"{out / _FILE} is not of `emend batch`; choose another folder with -o", field="out")
    return name


def new_run(out: Path) -> str:
    """Make the folder, and note a new run in it. Raises InputError."""
    name = secrets.token_hex(12)
    try:
        out.mkdir(parents=True, exist_ok=True)
        half = out / f".{_FILE}.{name}"
        half.write_text(json.dumps({"version": 1, "run": name}) + "\n", encoding="utf-8")
        half.replace(out / _FILE)
    except OSError as error:
        raise InputError(f"-o {out}: {error.strerror or error}; choose another folder", field="out") from error
    return name


def settings_text(options: Mapping[str, object], orders: Sequence[Order]) -> str:
    """The settings of a run as it stores them: options by their names, and which repositories there are."""
    names = "\n".join(sorted(order.name for order in orders))
    known = {**options, "repositories": len(orders), "names": hashlib.sha256(names.encode()).hexdigest()}
    return json.dumps(known, sort_keys=True)


def check_same(known: Known, settings: str, orders: Sequence[Order]) -> None:
    """Raises InputError that names the first thing in which a resumed run differs from the one that is there.

    Budgets and priorities may differ.
    """
    before, now = json.loads(known.settings), json.loads(settings)
    if before.get("names") != now["names"]:
        _differing_names({order.name for order in known.orders}, {order.name for order in orders})
    for name in sorted((before.keys() | now.keys()) - _OWN):
        if before.get(name) != now.get(name):
            raise _differs(f"--{name.replace('_', '-')}", before.get(name), now.get(name))
    there = {order.name: order for order in known.orders}
    for order in orders:
        if order.name in there:
            _check_order(there[order.name], order)


def _check_order(before: Order, now: Order) -> None:
    left, right = asdict(before), asdict(now)
    for name in left.keys() - set(_FREE):
        if left[name] != right[name]:
            told = _OPTIONS.get(name, name if name == "place" else f"--{name}")
            raise _differs(f"{told} of {now.name}", left[name], right[name])


def _differing_names(before: set[str], now: set[str]) -> None:
    if gone := sorted(before - now):
        raise InputError(
            f"--resume: the run has the repository {gone[0]}, which was not given; give the same ones, or none at all",
            field="repo",
        )
    more = sorted(now - before)
    raise InputError(
        f"--resume: the repository {more[0] if more else '?'} is not in the run; begin a new one in another folder",
        field="repo",
    )


def _differs(name: str, before: object, now: object) -> InputError:
    return InputError(
        f"--resume: {name} is {_short(now)}, the run has {_short(before)}; give the same, or begin a new run in "
        "another folder",
        field=name.split(" ", maxsplit=1)[0].lstrip("-"),
    )


def _short(value: object) -> str:
    text = "not given" if value in (None, "", ()) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def stored_orders(
    known: Known | None, overrides: Mapping[str, int | float]
) -> tuple[tuple[Order, ...], Mapping[str, Any]]:
    """The orders of the run itself, with the bounds that were given anew, and its settings.

    Raises InputError: they are not all there.
    """
    if known is None or len(known.orders) != json.loads(known.settings)["repositories"]:
        raise InputError(
            "--resume: the run is not in this store, or was ended while it began; give its repositories and --store "
            "again",
            field="resume",
        )
    orders = tuple(replace(order, bounds=_with(order.bounds, overrides)) for order in known.orders)
    return orders, json.loads(known.settings)


def _with(bounds: Bounds, overrides: Mapping[str, int | float]) -> Bounds:
    return replace(bounds, **overrides)  # pyright: ignore[reportArgumentType] - names and types of Bounds
