"""Fields of one JSON row, read strictly: each error names its field. Knows no layout and no file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from repair.errors import SuiteError

Row = Mapping[str, object]


def parse_object(line: str) -> dict[str, object]:
    """One line of JSON that must be an object. Raises SuiteError."""
    row = parse_json(line)
    if not isinstance(row, dict):
        raise SuiteError("a row must be an object")
    return row


def parse_json(line: str) -> object:
    """One line of JSON. Raises SuiteError."""
    try:
        return json.loads(line)
    except RecursionError as error:
        raise SuiteError("not JSON that can be read (nested too deeply)") from error
    except ValueError as error:
        raise SuiteError(f"not JSON ({error})") from error


def refuse_unknown(row: Row, known: Iterable[str]) -> None:
    """Raises SuiteError naming the first field that is not known: a misspelt one must not be lost."""
    names = frozenset(known)
    unknown = sorted(set(row) - names)
    if "format" in unknown:
        raise SuiteError("a header (`format`) may only be the first row", field="format")
    if unknown:
        raise SuiteError(f"unknown field {unknown[0]!r}; known are {', '.join(sorted(names))}", field=unknown[0])


def text(row: Row, name: str) -> str:
    """A text that must be there and hold more than blanks."""
    if row.get(name) is None:
        raise SuiteError(f"field {name!r} is missing", field=name)
    value = _checked(row[name], name)
    if not value.strip():
        raise SuiteError(f"field {name!r} is empty", field=name)
    return value


def optional_text(row: Row, name: str) -> str | None:
    """A text, None where there is none or a blank one."""
    value = row.get(name)
    if value is None:
        return None
    value = _checked(value, name)
    return value if value.strip() else None


def texts(row: Row, name: str) -> tuple[str, ...]:
    """A list of texts, empty where there is none."""
    value = row.get(name)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise SuiteError(f"field {name!r} must be a list of texts, it is {type(value).__name__}", field=name)
    for number, item in enumerate(value, 1):
        if not _checked(item, f"{name}[{number}]", field=name).strip():
            raise SuiteError(f"field {name!r}: text {number} is empty", field=name)
    return tuple(value)


def _checked(value: object, shown: str, *, field: str = "") -> str:
    field = field or shown
    if not isinstance(value, str):
        raise SuiteError(f"field {shown!r} must be a text, it is {type(value).__name__}", field=field)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise SuiteError(f"field {shown!r} has half a surrogate pair at {error.start}", field=field) from error
    return value
