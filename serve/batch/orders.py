"""Orders: what a user gives - places, a list file, a CI log, alerts - as one Order for each repository.

Owns names and the form of list files. Whether a place can be read is found out when its turn comes.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from repair.errors import InputError
from repair.projects.values import Bounds, Order

MAX_LOG_BYTES = 4 * 1024 * 1024  # of a CI log its end, where the failures are
MAX_LIST_BYTES = 64 * 1024 * 1024
MAX_SARIF_BYTES = 32 * 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_BARE = re.compile(r"[^A-Za-z0-9._-]+")
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|[\w.-]+@[\w.-]+:")  # an address, or git's user@host:path
_TEXTS = ("name", "commit", "test", "python", "green")
_FILES = {"log": "report", "sarif": "alerts"}  # keys that name files, and the field that takes their text
_BOUNDS: Mapping[str, type[int] | type[float]] = {
    one.name: float if isinstance(one.default, float) else int for one in fields(Bounds)
}
KEYS = ("place", *_TEXTS, *_FILES, "priority", "requirements", "bounds", *_BOUNDS)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says of all repositories: `base` is copied, with its place, name and texts replaced."""

    places: tuple[str, ...] = ()
    lists: tuple[Path, ...] = ()
    log: Path | None = None
    sarif: Path | None = None
    base: Order = field(default_factory=lambda: Order("", ""))


def read_orders(asked: Asked) -> tuple[Order, ...]:
    """The orders, in the order of giving: places, then lists. Names are unique, "" never is left.

    Raises InputError: nothing given, a repository twice, a line that cannot be read (it says file, line and field).
    """
    drafts = [_Draft(_place(place, Path.cwd()), asked.base, place) for place in asked.places]
    for path in asked.lists:
        drafts.extend(_listed(path, asked.base))
    if not drafts:
        raise InputError("no repository was given: name paths or addresses, or give --list FILE", field="repo")
    for option, path in (("log", asked.log), ("sarif", asked.sarif)):
        if path is None:
            continue
        if len(drafts) != 1:
            raise InputError(
                f"--{option} belongs to one repository; in a list file give `{option}=FILE` with each", field=option
            )
        text = _text(path, option, f"--{option}")
        drafts = [replace(drafts[0], order=replace(drafts[0].order, **{_FILES[option]: text}))]
    return _named(drafts)


@dataclass(frozen=True, slots=True)
class _Draft:
    """An order whose name may not be settled; `where` says what of the input it is."""

    place: str
    order: Order
    where: str


def _named(drafts: Sequence[_Draft]) -> tuple[Order, ...]:
    seen: dict[tuple[str, str], str] = {}
    for draft in drafts:
        key = (draft.place, draft.order.commit)
        if key in seen:
            raise InputError(
                f"{draft.where}: the same repository and commit as {seen[key]}; give it once", field="repo"
            )
        seen[key] = draft.where
    short = [draft.order.name or _slug(draft.place, 1) for draft in drafts]
    taken: dict[str, str] = {}
    orders: list[Order] = []
    for draft, name in zip(drafts, short, strict=True):
        again = sum(other.casefold() == name.casefold() for other in short) > 1
        chosen = _slug(draft.place, 2) if again and not draft.order.name else name
        if chosen.casefold() in taken:  # on some file systems case does not tell files apart
            raise InputError(
                f"{draft.where}: the name {chosen} is that of {taken[chosen.casefold()]}, too; give each its own by "
                "`name=` in a list file",
                field="name",
            )
        taken[chosen.casefold()] = draft.where
        orders.append(replace(draft.order, name=chosen, place=draft.place))
    return tuple(orders)


def _slug(place: str, parts: int) -> str:
    """A name from the last parts of a place."""
    path = re.split(r"[/:\\]", place.rstrip("/\\").removesuffix(".git").rstrip("/\\"))
    text = _BARE.sub("-", ".".join(part for part in path[-parts:] if part)).strip(".-")
    return text[:100] or "repository"


def _place(place: str, folder: Path) -> str:
    """An address as it is, a path in full. Raises InputError for an address with a password: reports tell it."""
    if not place.strip():
        raise InputError("the place is empty; give a path or an address", field="place")
    if not _REMOTE.match(place):
        return str((folder / Path(place).expanduser()).resolve())
    if "://" in place and urlsplit(place).password is not None:
        raise InputError(
            "the address holds a password, which would stand in the report; use git's credential store", field="place"
        )
    return place


def _listed(path: Path, base: Order) -> Iterator[_Draft]:
    text = _text(path, "list", "--list")
    rows = _tables(path, text) if path.suffix == ".toml" else _lines(path, text)
    for where, given in rows:
        try:
            yield _draft(given, path.parent, base, where)
        except InputError as error:
            raise InputError(f"{where}: {error}", field=error.field or "list") from error


def _lines(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    for number, line in enumerate(text.split("\n"), 1):
        where = f"{path}:{number}"
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        if bare.startswith("{"):
            try:
                yield where, _table(json.loads(bare))
            except ValueError as error:
                raise InputError(f"{where}: not JSON: {error}", field="list") from error
            continue
        try:
            place, *pairs = shlex.split(bare, comments=True)
        except ValueError as error:
            raise InputError(f"{where}: {error}; quote what holds blanks", field="list") from error
        yield where, {"place": place} | dict(_pair(pair, where) for pair in pairs)


def _pair(pair: str, where: str) -> tuple[str, object]:
    key, equals, value = pair.partition("=")
    if not equals:
        raise InputError(f"{where}: {pair!r} is no key=value; quote what holds blanks", field="list")
    if key == "priority" or key in _BOUNDS:
        kind = _BOUNDS.get(key, int)
        try:
            return key, kind(value)
        except ValueError as error:
            raise InputError(f"{where}: {key} is {value!r}; expected a number", field=key) from error
    return key, tuple(value.split(",")) if key == "requirements" else value


def _tables(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not TOML: {error}", field="list") from error
    rows = given.get("repository")
    if not isinstance(rows, list) or set(given) != {"repository"}:
        raise InputError(f"{path}: expected [[repository]] tables and nothing else", field="list")
    for number, row in enumerate(cast("list[object]", rows), 1):
        yield f"{path}: repository {number}", _table(row)


def _table(given: object) -> Mapping[str, object]:
    return cast("dict[str, object]", given) if isinstance(given, dict) else {}


def _draft(given: Mapping[str, object], folder: Path, base: Order, where: str) -> _Draft:
    for key in given:
        if key not in KEYS:
            raise InputError(f"{key} is not known; known are {', '.join(KEYS)}", field=key)
    texts: dict[str, str] = {key: _string(given, key) for key in (*_TEXTS, "place", *_FILES) if key in given}
    if "place" not in texts:
        raise InputError("place is missing", field="place")
    place = _place(texts.pop("place"), folder)
    if (name := texts.get("name")) is not None and not _NAME.fullmatch(name):
        raise InputError(f"name is {name!r}; letters, digits, dots, _ and - are taken", field="name")
    for key, name in _FILES.items():
        if key in texts:
            texts[name] = _text(folder / texts.pop(key), key, key)
    more = {
        "priority": _number(given.get("priority", base.priority), int, "priority"),
        "requirements": _strings(given.get("requirements", base.requirements)),
        "bounds": _bounds({**_table(given.get("bounds")), **{k: given[k] for k in _BOUNDS if k in given}}, base.bounds),
    }
    return _Draft(place, replace(base, **texts, **more), where)


def _bounds(given: Mapping[str, object], base: Bounds) -> Bounds:
    for key in given:
        if key not in _BOUNDS:
            raise InputError(f"bounds.{key} is not known; known are {', '.join(_BOUNDS)}", field=key)
    values = {key: _number(value, _BOUNDS[key], key) for key, value in given.items()}
    return replace(base, **values)


def _string(given: Mapping[str, object], key: str) -> str:
    value = given[key]
    if not isinstance(value, str):
        raise InputError(f"{key} is {value!r}; expected a string", field=key)
    return value


def _strings(value: object) -> tuple[str, ...]:
    many = cast("Iterable[object]", value) if isinstance(value, list | tuple) else (value,)
    found = tuple(one for one in many if isinstance(one, str))
    if len(found) != len(tuple(many)):
        raise InputError("requirements: expected strings", field="requirements")
    return found


def _number(value: object, kind: type[int] | type[float], key: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float):
        raise InputError(f"{key} is {value!r}; expected a {'whole ' if kind is int else ''}number", field=key)
    return kind(value)


def _text(path: Path, field_name: str, told: str) -> str:
    """A file's text; of a log, which may be long, its end. Raises InputError."""
    most = {"list": MAX_LIST_BYTES, "sarif": MAX_SARIF_BYTES}.get(field_name, MAX_LOG_BYTES)
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            if size > most and field_name != "log":
                raise InputError(f"{told}: {path}: {size} bytes; at most {most} are taken", field=field_name)
            stream.seek(max(0, size - most))
            content = stream.read(most)
    except OSError as error:
        raise InputError(f"{told}: {path}: {error.strerror or error}", field=field_name) from error
    text = content.decode("utf-8-sig", "replace")
    if not text.strip():
        raise InputError(f"{told}: {path}: the file is empty", field=field_name)
    return text
