"""Which licences a training text may have, decided from package metadata and from file headers.

Owns the allow-list and the reading of SPDX expressions, classifiers and header words.
Knows nothing of packages, archives or corpora. What is not understood is refused, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

ALLOWED = frozenset({
    "mit", "mit-0", "mit-cmu", "bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "0bsd", "apache-2.0",
    "psf-2.0", "python-2.0", "python-2.0.1", "isc", "hpnd", "zlib", "cc0-1.0", "unlicense",
})  # fmt: skip

# Classifier tails (after "License :: ") of trove-classifiers, and the free text of old `License:` fields.
_NAMES = {
    "osi approved :: mit license": "mit",
    "osi approved :: mit no attribution license (mit-0)": "mit-0",
    "osi approved :: bsd license": "bsd",
    "osi approved :: zero-clause bsd (0bsd)": "0bsd",
    "osi approved :: apache software license": "apache-2.0",
    "osi approved :: python software foundation license": "psf-2.0",
    "osi approved :: isc license (iscl)": "isc",
    "osi approved :: historical permission notice and disclaimer (hpnd)": "hpnd",
    "osi approved :: zlib/libpng license": "zlib",
    "osi approved :: the unlicense (unlicense)": "unlicense",
    "cc0 1.0 universal (cc0 1.0) public domain dedication": "cc0-1.0",
    "mit license": "mit",
    "the mit license": "mit",
    "expat": "mit",
    "bsd license": "bsd",
    "new bsd": "bsd-3-clause",
    "new bsd license": "bsd-3-clause",
    "modified bsd license": "bsd-3-clause",
    "bsd 3-clause": "bsd-3-clause",
    "bsd 3-clause license": "bsd-3-clause",
    "3-clause bsd": "bsd-3-clause",
    "bsd 2-clause": "bsd-2-clause",
    "apache": "apache-2.0",
    "apache 2": "apache-2.0",
    "apache 2.0": "apache-2.0",
    "apache license 2.0": "apache-2.0",
    "apache license, version 2.0": "apache-2.0",
    "apache 2.0 license": "apache-2.0",
    "apache software license": "apache-2.0",
    "psf": "psf-2.0",
    "psf license": "psf-2.0",
    "python software foundation license": "psf-2.0",
    "isc license": "isc",
}

_TOKEN = re.compile(r"\(|\)|[A-Za-z0-9.+:-]+")
_COPYLEFT = re.compile(
    r"\b(?:A?GPL|LGPL|GNU (?:Lesser |Library |Affero )?General Public|Mozilla Public License|MPL[ -]?[12]|"
    r"European Union Public|Eclipse Public License|CDDL|"
    r"Creative Commons Attribution.{0,20}(?:ShareAlike|NonCommercial))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a text may be used: the licence's name as we understand it, or why it is refused."""

    accepted: bool
    licence: str
    reason: str = ""


def _allowed(name: str) -> bool:
    return name.lower() in ALLOWED


def _operand(tokens: list[str]) -> bool:
    token = tokens.pop(0)
    if token == "(":
        value = _disjunction(tokens)
        if not tokens or tokens.pop(0) != ")":
            raise ValueError("unbalanced brackets")
        return value
    if token in (")", "AND", "OR", "WITH"):
        raise ValueError(f"{token} where a licence was expected")
    value = _allowed(token)
    if tokens and tokens[0].upper() == "WITH":
        del tokens[:2]  # an exception only grants more
    return value


def _conjunction(tokens: list[str]) -> bool:
    value = _operand(tokens)
    while tokens and tokens[0].upper() == "AND":
        tokens.pop(0)
        value = _operand(tokens) and value
    return value


def _disjunction(tokens: list[str]) -> bool:
    value = _conjunction(tokens)
    while tokens and tokens[0].upper() == "OR":
        tokens.pop(0)
        value = _conjunction(tokens) or value
    return value


def expression_allowed(expression: str) -> bool:
    """Whether an SPDX licence expression (SPDX 2.3, annex D) leaves a way that is on the allow-list.

    Every operand of AND must be allowed, one of OR is enough. An expression that cannot be read is not allowed.
    """
    tokens = _TOKEN.findall(expression)
    try:
        value = _disjunction(tokens)
    except (ValueError, IndexError):
        return False
    return value and not tokens


def _named(text: str) -> str | None:
    tidy = " ".join(text.lower().split())
    return tidy if tidy in ALLOWED else _NAMES.get(tidy)


def _by_classifiers(classifiers: Sequence[str]) -> Decision | None:
    tails = [c.removeprefix("License :: ") for c in classifiers if c.startswith("License :: ")]
    tails = [tail for tail in tails if tail != "OSI Approved"]  # says nothing
    if not tails:
        return None
    unknown = [tail for tail in tails if _named(tail) is None]
    if unknown:
        return Decision(False, "; ".join(tails), f"classifier {unknown[0]!r} is not on the allow-list")
    return Decision(True, " AND ".join(sorted({_named(tail) or "" for tail in tails})))


def package_licence(*, expression: str, classifiers: Sequence[str], text: str) -> Decision:
    """Decide from a package's metadata: `License-Expression`, then classifiers, then the `License` field.

    Classifiers come before the free text, which often holds a whole licence or a copyright line.
    """
    if expression:
        if expression_allowed(expression):
            return Decision(True, expression)
        return Decision(False, expression, f"licence expression {expression!r} is not on the allow-list")
    decision = _by_classifiers(classifiers)
    if decision is not None:
        return decision
    name = _named(text)
    if name is not None:
        return Decision(True, name)
    shown = " ".join(text.split())[:60]
    if not shown:
        return Decision(False, "", "the metadata names no licence")
    return Decision(False, shown, f"licence {shown!r} is not understood")


def header_refused(source: str) -> str:
    """The copyleft words in a file's first 3,000 characters, "" when there are none."""
    found = _COPYLEFT.search(source[:3000])
    return found.group(0) if found else ""
