"""`language(name)`: the table of a language; "text" for one that we do not know."""

from __future__ import annotations

from functools import lru_cache

from repair.languages import ecmascript, java, python
from repair.languages.table import Language

TEXT = Language("text")


@lru_cache(maxsize=1)
def _tables() -> dict[str, Language]:
    tables = (python.table(), *ecmascript.tables(), java.table(), TEXT)
    return {table.name: table for table in tables}


def language(name: str) -> Language:
    """The table of that name; the language "text", which parses everything, where there is none."""
    return _tables().get(name, TEXT)


def language_names() -> tuple[str, ...]:
    """Languages with a grammar."""
    return tuple(name for name, table in _tables().items() if table.grammar is not None)
