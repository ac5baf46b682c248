"""Secrets out: records whose text holds what the detectors of `detect-secrets` take for a credential.

All its detectors look at each line in memory; nothing is verified over the network. Owns the limits of the noisy
ones. The secret itself never leaves this module: only the detector's type does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from data.records import Record
from data.steps import Outcome, Rejection

if TYPE_CHECKING:
    from detect_secrets.plugins.base import BasePlugin

# Bits a character. Random base64 of 40 characters has 4.8 on average; long dotted names and paths reach 4.5. Hex
# digests have at least 3.3; constants such as "deadbeefcafe" stay below 3.
BASE64_LIMIT = 4.6
HEX_LIMIT = 3.1
_LONGEST = 2000  # characters of a line that is looked at: some detectors' expressions are quadratic


@lru_cache(maxsize=1)
def _detectors() -> tuple[BasePlugin, ...]:
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.plugins.high_entropy_strings import Base64HighEntropyString, HexHighEntropyString

    noisy = (Base64HighEntropyString, HexHighEntropyString)
    kinds = sorted(get_mapping_from_secret_type_to_class().values(), key=lambda kind: kind.__name__)
    named = [kind() for kind in kinds if kind not in noisy]  # first: their types say more
    return (*named, Base64HighEntropyString(limit=BASE64_LIMIT), HexHighEntropyString(limit=HEX_LIMIT))


@lru_cache(maxsize=1)
def _excuses() -> tuple[Callable[[str], bool], ...]:
    """The detector's own heuristics for what only looks like a secret: placeholders, alphabets, UUIDs."""
    from detect_secrets.filters import heuristic

    return (
        heuristic.is_sequential_string,
        heuristic.is_potential_uuid,
        heuristic.is_templated_secret,
        heuristic.is_prefixed_with_dollar_sign,
        heuristic.is_not_alphanumeric_string,
    )


def key() -> str:
    """What the answers depend on."""
    return f"detect-secrets {version('detect-secrets')}, {BASE64_LIMIT}, {HEX_LIMIT}"


def _found(line: str) -> Iterator[str]:
    from detect_secrets.filters import heuristic

    for detector in _detectors():
        for secret in detector.analyze_line(filename="record", line=line, line_number=1):
            value = secret.secret_value or ""
            if any(excuse(value) for excuse in _excuses()) or heuristic.is_likely_id_string(value, line, detector):
                continue
            if detector.secret_type == "Secret Keyword" and heuristic.is_indirect_reference(line):
                continue  # password = read(...)
            yield detector.secret_type


@lru_cache(maxsize=50_000)
def _line_secret(line: str) -> str:
    return next(_found(line), "")


def secret_type(text: str) -> str:
    """The type of the first secret in a text, "" when there is none."""
    return next((kind for line in text.split("\n") if (kind := _line_secret(line.strip()[:_LONGEST]))), "")


def without_secrets(record: Record) -> Outcome:
    """The record, or a rejection that names the type of its secret."""
    texts = (record.buggy, record.fixed, *record.context, record.test, record.error, record.message)
    kind = next((found for text in texts if text and (found := secret_type(text))), "")
    return Rejection("", f"secret: {kind}") if kind else record
