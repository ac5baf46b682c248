"""No path of this machine in an answer: absolute paths below known roots become `…/name`.

Pure but for `machine_roots`, which asks this process once where it lives. Knows nothing of HTTP.
"""

from __future__ import annotations

import json
import os
import re
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serve.telling import Told

_HIDDEN = "…"
# Any absolute path of two names or more; what stands before must not make it a part of a URL or of another path
_ANY = re.compile(r"(?:sqlite:/{3}|(?<![\w:/.…\-]))(?:/[^\s'\"`:;,|<>()\[\]{}/]+){2,}/?")
_TOO_SHORT = frozenset({"", "/", "/usr", "/bin", "/lib", "/etc", "/proc", "/dev"})  # every machine has them


@lru_cache(maxsize=1)
def machine_roots() -> tuple[str, ...]:
    """Directories whose names tell of this machine: home, working directory, temporary, interpreter, site-packages."""
    given = [
        os.path.expanduser("~"),  # noqa: PTH111 - no home is no error here
        os.getcwd(),  # noqa: PTH109 - a text, not a Path
        tempfile.gettempdir(),
        "/tmp",  # also where TMPDIR names another place, as in repair processes
        "/var/tmp",
        sys.prefix,
        sys.base_prefix,
        *(path for name, path in sysconfig.get_paths().items() if name in ("purelib", "platlib", "stdlib")),
        *(os.environ.get(name, "") for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")),
    ]
    real = [os.path.realpath(path) for path in given if path]
    kept = {path.rstrip("/") for path in (*given, *real) if path.startswith("/")} - _TOO_SHORT
    return tuple(sorted(kept, key=lambda path: (-len(path), path)))


@lru_cache(maxsize=32)
def _pattern(roots: tuple[str, ...]) -> re.Pattern[str]:
    names = "|".join(re.escape(root) for root in sorted(roots, key=len, reverse=True))
    # A root ends at its own end or at a slash; a path goes on to what no usual path holds. What stands before is no
    # part of a longer path: `src/home/x.py` is not below /home.
    return re.compile(rf"(?<![\w.\-])(?:{names})(?![\w\-])(?:/[^\s'\"`:;,|<>()\[\]{{}}]*)?")


def scrub(text: str, roots: Sequence[str] | None = None) -> str:
    """`text` with every path below one of `roots` (None: this machine's) as `…/name`, a root itself as `…`."""
    known = machine_roots() if roots is None else tuple(roots)
    if not known or "/" not in text:
        return text
    return _pattern(known).sub(lambda found: _shown(found[0], known), text)


def scrub_all(text: str) -> str:
    """`text` with every absolute path as `…/name`: for sentences that are about this machine, not about users' code."""
    return _ANY.sub(lambda found: f"{_HIDDEN}/{found[0].rstrip('/').rsplit('/', 1)[-1]}", scrub(text))


def _shown(path: str, roots: Sequence[str]) -> str:
    stripped = path.rstrip("/.")
    if stripped in roots or not stripped:
        return _HIDDEN
    name = stripped.rsplit("/", 1)[-1]
    return f"{_HIDDEN}/{name}{path[len(stripped) :].replace('/', '')}"


def scrub_answer(answer: Mapping[str, Any], roots: Sequence[str] | None = None) -> dict[str, Any]:
    """An answer of the wire without paths of this machine in what its tests and notes say; code is left as it is."""
    found = dict(answer)
    if "tests" in found:  # a PatchOut
        found["tests"] = _scrubbed(found["tests"], roots)
    if "patches" in found:
        found["patches"] = [scrub_answer(patch, roots) for patch in found["patches"]]
    if "notes" in found:
        found["notes"] = [scrub(note, roots) for note in found["notes"]]
    if "fault" in found:
        found["fault"] = [
            {**fault, "reasons": [scrub(reason, roots) for reason in fault.get("reasons", [])]}
            for fault in found["fault"]
        ]
    return found


def _scrubbed(tests: Mapping[str, Any], roots: Sequence[str] | None) -> dict[str, Any]:
    return {
        **tests,
        "reason": scrub(str(tests.get("reason", "")), roots),
        "failing": [scrub(str(name), roots) for name in tests.get("failing", [])],
    }


def scrub_told(told: Told, roots: Sequence[str] | None = None) -> Told:
    """An event without paths of this machine; almost always it has none, and is the same value then."""
    known = machine_roots() if roots is None else roots
    if not any(root in told.data for root in known):  # JSON escapes no slash
        return told
    answer = scrub_answer(json.loads(told.data), known)
    return replace(told, data=json.dumps(answer, ensure_ascii=False, separators=(",", ":")))
