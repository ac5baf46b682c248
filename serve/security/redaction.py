"""Secrets out of logs and the journal: what looks like a credential becomes `[redacted]`.

Owns our own expressions, and takes those of detect-secrets for the tokens of well-known services. Nothing is verified
over the network. The noisy detectors (entropy, keywords without quotes) are left out: they would eat code.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

REDACTED = "[redacted]"

_WORDS = r"(?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|client[_-]?secret)"
# Its lines stay as empty ones, so that spans and diffs of the journal still fit
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*-----|\Z)", re.DOTALL
)
_OWN = tuple(
    (re.compile(pattern, flags), replacement)
    for pattern, replacement, flags in (
        (r"\bemend_[A-Za-z0-9]+_[A-Za-z0-9_\-]{8,}", REDACTED, 0),
        (r"\b(bearer|basic)\s+[A-Za-z0-9._~+/\-]{8,}=*", rf"\1 {REDACTED}", re.IGNORECASE),
        (r"\b([a-z][a-z0-9+.\-]{1,30}://[^\s/:@'\"]{0,200}):[^\s/@'\"]{1,200}@", rf"\1:{REDACTED}@", re.IGNORECASE),
        (r"\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b", REDACTED, 0),
        (r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})", REDACTED, 0),
        (r"(?<![\w\-])eyJ[\w\-=]{8,}\.[\w\-=]{8,}(?:\.[\w\-.+/=]*)?", REDACTED, 0),
        (r"(?<![\w\-])(?:sk-[\w\-]{24,}|npm_[A-Za-z0-9]{36})", REDACTED, 0),
        (rf"([?&]{_WORDS}=)[^\s&#'\"]+", rf"\1{REDACTED}", re.IGNORECASE),
        (rf"(\b\w{{0,40}}{_WORDS}['\"]?\s{{0,4}}[:=]\s{{0,4}})(['\"])(?!\2)[^'\"\n]{{6,}}\2", rf"\1\2{REDACTED}\2",
         re.IGNORECASE),
        (rf"(\b[A-Z0-9_]{{0,40}}{_WORDS.upper()}=)[^\s'\"]{{6,}}", rf"\1{REDACTED}", 0),
    )
)  # fmt: skip
# Class name by module of detect_secrets.plugins: expressions that are exact and linear. Those for JWT, npm and OpenAI
# are quadratic; ours stand above.
_SERVICES = {
    "gitlab_token": "GitLabTokenDetector", "pypi_token": "PypiTokenDetector", "sendgrid": "SendGridDetector",
    "slack": "SlackDetector", "square_oauth": "SquareOAuthDetector", "stripe": "StripeDetector",
    "twilio": "TwilioKeyDetector",
}  # fmt: skip


@lru_cache(maxsize=1)
def _services() -> tuple[re.Pattern[str], ...]:
    """Expressions of detect-secrets, loaded when first needed."""
    from importlib import import_module

    found: list[re.Pattern[str]] = []
    for module, name in _SERVICES.items():
        found += getattr(import_module(f"detect_secrets.plugins.{module}"), name).denylist
    return tuple(found)


def redact(text: str) -> str:
    """`text` without what looks like a credential. For JSON use `redact_json`, which keeps it JSON."""
    text = _PRIVATE_KEY.sub(lambda found: REDACTED + "\n" * found[0].count("\n"), text)
    for pattern, replacement in _OWN:
        text = pattern.sub(replacement, text)
    for pattern in _services():
        text = pattern.sub(REDACTED, text)
    return text


def redact_value(value: Any) -> Any:  # noqa: ANN401 - JSON values
    """A JSON value whose texts (not its keys) are redacted."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: redact_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_value(item) for item in value]
    return value


def redact_json(text: str) -> str:
    """JSON with its texts redacted."""
    return json.dumps(redact_value(json.loads(text)), ensure_ascii=True, separators=(",", ":"))
