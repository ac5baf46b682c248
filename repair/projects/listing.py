"""What lies in a project's tree, read once and safely: no link is followed out of it, no file is read without bound.

Pure reading, of a tree of our own.
"""

from __future__ import annotations

import configparser
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from repair.workspace import LEFT_OUT, LINKED

_LARGEST = 2_000_000  # bytes of a configuration that is read
_MOST = 60_000  # files that are listed
Table = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Tree:
    """Paths of the files under `root`, sorted; environments, caches and hidden folders are left out."""

    root: Path
    paths: tuple[str, ...]

    def has(self, path: str) -> bool:
        """Whether there is such a file."""
        return self._safe(path) is not None

    def text(self, path: str) -> str:
        """The text of a file, "" where there is none, where it leads out of the tree or is too large."""
        full = self._safe(path)
        try:
            if full is None or full.stat().st_size > _LARGEST:
                return ""
            return full.read_text("utf-8", "replace").removeprefix("\ufeff")
        except OSError:
            return ""

    def toml(self, path: str) -> Table:
        """A TOML file as a table; empty where there is none or it cannot be read."""
        try:
            return tomllib.loads(self.text(path))
        except (tomllib.TOMLDecodeError, RecursionError):
            return {}

    def json(self, path: str) -> Table:
        """A JSON file as a table; empty where there is none or it is no object."""
        try:
            return table(json.loads(self.text(path) or "{}"))
        except (json.JSONDecodeError, RecursionError):
            return {}

    def ini(self, path: str) -> Mapping[str, Mapping[str, str]]:
        """Sections of an ini file; empty where there is none or it cannot be read."""
        parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
        try:
            parser.read_string(self.text(path))
        except configparser.Error:
            return {}
        return {name: {key: value or "" for key, value in parser.items(name)} for name in parser.sections()}

    def below(self, folder: str) -> Tree:
        """The tree of a folder inside."""
        inside = tuple(path.removeprefix(f"{folder}/") for path in self.paths if path.startswith(f"{folder}/"))
        return Tree(self.root / folder, inside)

    def _safe(self, path: str) -> Path | None:
        full = self.root / path
        try:
            return full if full.is_file() and full.resolve().is_relative_to(self.root.resolve()) else None
        except OSError:
            return None


def tree_of(root: Path) -> Tree:
    """List `root`."""
    return Tree(root, tuple(sorted(_listed(root))))


def _listed(root: Path) -> Iterator[str]:
    found = 0
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT | LINKED and not name.startswith("."))
        for name in sorted(names):
            found += 1
            if found > _MOST:
                return
            yield (Path(folder) / name).relative_to(root).as_posix()


def table(value: object) -> Table:
    """`value` where it is a table, else an empty one."""
    return cast("Table", value) if isinstance(value, dict) else {}


def at(value: object, *keys: str) -> object:
    """What lies in nested tables under `keys`, None where there is nothing."""
    for key in keys:
        value = table(value).get(key)
    return value


def strings(value: object) -> tuple[str, ...]:
    """The strings of a list, a string's lines, else nothing."""
    if isinstance(value, str):
        return tuple(line.strip() for line in value.split("\n") if line.strip())
    listed = cast("list[object]", value) if isinstance(value, list) else []
    return tuple(one for one in listed if isinstance(one, str))
