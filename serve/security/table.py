"""The table of all routes: which scope each needs. What is not in it is refused, whoever adds a route elsewhere.

Knows nothing of requests. The templates are also the labels of metrics and logs, so that no raw path gets there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from serve.wire_jobs import Scope

Need = Scope | Literal["open", "any"]
"""A scope; "open" needs no key, "any" a valid one of whatever scope."""

ROUTES: Mapping[tuple[str, str], Need] = {
    ("GET", "/healthz"): "open",
    ("GET", "/livez"): "open",
    ("GET", "/readyz"): "open",
    ("GET", "/login"): "open",
    ("POST", "/login"): "open",
    ("POST", "/logout"): "any",
    ("GET", "/static/{path:path}"): "open",
    ("GET", "/favicon.ico"): "open",
    ("GET", "/metrics"): "metrics",
    ("GET", "/openapi.json"): "open",  # the same for everybody, and what makes clients cannot log in
    ("GET", "/"): "repair",
    ("GET", "/jobs"): "jobs",
    ("GET", "/jobs/{job_id}"): "jobs",
    ("GET", "/keys"): "admin",
    ("GET", "/why"): "repair",
    ("GET", "/model"): "repair",
    ("POST", "/v1/repairs"): "repair",
    ("POST", "/v1/localizations"): "repair",
    ("POST", "/v1/explanations"): "repair",
    ("POST", "/v1/feedback"): "repair",
    ("GET", "/v1/models"): "repair",
    ("POST", "/v1/jobs"): "jobs",
    ("GET", "/v1/jobs"): "jobs",
    ("GET", "/v1/jobs/{job_id}"): "jobs",
    ("DELETE", "/v1/jobs/{job_id}"): "jobs",
    ("GET", "/v1/jobs/{job_id}/events"): "jobs",
    ("GET", "/v1/keys"): "admin",
    ("POST", "/v1/keys"): "admin",
    ("DELETE", "/v1/keys/{key_id}"): "admin",
    ("GET", "/v1/journal"): "admin",
    ("GET", "/v1/journal/export"): "admin",
    ("GET", "/v1/journal/{entry_id}"): "admin",
    ("DELETE", "/v1/journal/{entry_id}"): "admin",
    ("PUT", "/v1/journal/{entry_id}/labels/{label}"): "admin",
    ("DELETE", "/v1/journal/{entry_id}/labels/{label}"): "admin",
    ("GET", "/journal"): "admin",
    ("GET", "/journal/{entry_id}"): "admin",
}
PAGES = frozenset(
    {"/", "/jobs", "/jobs/{job_id}", "/keys", "/why", "/model", "/journal", "/journal/{entry_id}"}
)  # a browser without a session is sent to /login
OTHER = "other"  # the label of what is not in the table


@dataclass(frozen=True, slots=True)
class Place:
    """A path of the table: its template and what each method needs."""

    template: str
    needs: Mapping[str, Need]

    def need(self, method: str) -> Need | None:
        """What a method needs, None where it is not served here. HEAD is GET without a body."""
        return self.needs.get("GET" if method == "HEAD" else method)


@lru_cache(maxsize=1)
def _places() -> tuple[tuple[re.Pattern[str], Place], ...]:
    needs: dict[str, dict[str, Need]] = {}
    for (method, template), need in ROUTES.items():
        needs.setdefault(template, {})[method] = need
    return tuple((_pattern(template), Place(template, found)) for template, found in needs.items())


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"(\{[^}]*\})", template)
    return re.compile("".join(_part(part) for part in parts), re.DOTALL)


def _part(part: str) -> str:
    if part.startswith("{"):
        return ".+" if part.endswith(":path}") else "[^/]+"
    return re.escape(part)


def place(path: str) -> Place | None:
    """The place of a decoded path, None for one that the table does not have."""
    return next((found for pattern, found in _places() if pattern.fullmatch(path)), None)


def template(path: str) -> str:
    """The label of a path, "other" for what the table does not have."""
    found = place(path)
    return found.template if found else OTHER
