"""`emend keys create | list | revoke`: the keys of a service, in its store; the service need not run."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from pydantic import ValidationError
from rich.table import Table

from repair.errors import InputError
from serve.printing import shown, stderr, stdout
from serve.routes.keys import key_out, make_key
from serve.security.callers import Authority
from serve.settings import Settings, database_url
from serve.store import Store
from serve.wire_jobs import KeyIn, KeyOut, KeysOut


@contextmanager
def opened(settings: Settings) -> Generator[Store]:
    """The store of the settings, closed afterwards. Raises StoreError."""
    store = Store.open(database_url(settings))
    try:
        yield store
    finally:
        store.close()


def create(  # noqa: PLR0913 - the options of the command
    settings: Settings,
    name: str,
    scopes: Sequence[str] = (),
    days: float | None = None,
    rate: int | None = None,
    concurrent: int | None = None,
    *,
    as_json: bool = False,
) -> int:
    """Make a key and print it, alone, on stdout: it cannot be shown again. Raises InputError naming the option."""
    asked: dict[str, object] = {"name": name, "days": days, "rate_per_minute": rate, "concurrent": concurrent}
    if scopes:
        asked["scopes"] = list(scopes)
    try:
        body = KeyIn.model_validate(asked)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        raise InputError(f"{field}: {first['msg']}", field=field) from error
    with opened(settings) as store:
        made = make_key(Authority(store.keys, store.sessions, settings), body)
    if as_json:
        sys.stdout.write(made.model_dump_json(indent=2) + "\n")
        return 0
    sys.stdout.write(made.key + "\n")
    until = made.expires or "it is revoked"
    stderr().print(
        f"key {made.id} ({shown(made.name)}) may do {', '.join(made.scopes)} until {until}; it is not shown again",
        soft_wrap=True,
        markup=False,
    )
    return 0


def list_keys(settings: Settings, *, as_json: bool = False) -> int:
    """Print all keys, without their secrets. 1 when there is none."""
    with opened(settings) as store:
        keys = [key_out(row) for row in store.keys.list()]
    if as_json:
        sys.stdout.write(KeysOut(keys=keys).model_dump_json(indent=2) + "\n")
    elif not keys:
        stderr().print("there is no key yet; `emend keys create NAME` makes one")
    else:
        stdout().print(_table(keys))
    return 0 if keys else 1


def revoke(settings: Settings, key_id: str) -> int:
    """End a key for good; a running service refuses it within seconds. Raises InputError for one that is not there."""
    with opened(settings) as store:
        if not store.keys.revoke(key_id):
            raise InputError(f"there is no key {key_id!r} that is not revoked; see `emend keys list`", field="ID")
    stderr().print(f"key {shown(key_id)} is revoked", markup=False)
    return 0


def _table(keys: Sequence[KeyOut]) -> Table:
    table = Table("id", "name", "scopes", "created", "expires", "last used", "state", box=None)
    for key in keys:
        state = "revoked" if key.revoked else ""
        dates = [(text or "never")[:16].replace("T", " ") for text in (key.created, key.expires, key.last_used)]
        table.add_row(key.id, shown(key.name), ",".join(key.scopes), *dates, state)
    return table
