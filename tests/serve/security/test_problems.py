import json
import sys

import pytest

from repair.errors import EmendError, InputError, ModelError, NothingToRepair
from serve import problems
from serve.pool import WorkerLost
from serve.store import DuplicateError, StoreError
from tests.serve.security.test_headers import ask, small


@pytest.mark.parametrize(
    ("error", "status", "kind", "retry"),
    [
        (problems.BusyError("full"), 429, "busy", "5"),
        (problems.LimitError("slow", retry_after=7.2), 429, "limit", "8"),
        (problems.UnauthorizedError(), 401, "unauthorized", None),
        (problems.ForbiddenError("no"), 403, "forbidden", None),
        (problems.NotFoundError("none"), 404, "not-found", None),
        (problems.InFlightError("twice"), 409, "in-flight", "5"),
        (NothingToRepair("fine"), 409, "nothing-to-repair", None),
        (problems.MediaTypeError("form"), 415, "media-type", None),
        (problems.DeadlineError("late"), 504, "deadline", None),
        (DuplicateError(), 422, "bad-input", None),
        (WorkerLost("died"), 503, "worker-lost", "5"),
        (StoreError("down"), 503, "store", "5"),
        (ModelError("down"), 503, "model-failed", "5"),
        (EmendError("odd"), 500, "internal", None),
    ],
)
def test_each_error_has_its_status(error, status, kind, retry):
    answer = problems.response(problems.of_error(error))
    body = json.loads(answer.body)
    assert (answer.status_code, body["status"], body["type"]) == (status, status, f"urn:emend:{kind}")
    assert (body["detail"], answer.headers.get("retry-after")) == (str(error), retry)
    assert answer.media_type == "application/problem+json"
    assert answer.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)


def test_no_path_of_this_machine_in_a_detail():
    body = problems.of_error(InputError(f"{sys.prefix}/lib/x.py cannot be read", field="model"))
    assert body["detail"] == "…/x.py cannot be read"
    assert body["errors"] == [{"field": "model", "message": "…/x.py cannot be read"}]


def test_fields_are_named_as_the_client_wrote_them():
    app = small(auth="off")
    body = ask(app, "POST", "/v1/repairs", json={"text": "a", "count": "x", "more": {"body": 1}}).json()
    assert [error["field"] for error in body["errors"]] == ["count", "more"]
    assert ask(app, "POST", "/v1/repairs", json=[]).json()["errors"][0]["field"] == "body"


def test_half_characters_can_be_told():
    answer = problems.response(problems.problem(422, "field \ud800", errors=[{"field": "\udfff", "message": "no"}]))
    assert json.loads(answer.body)["errors"] == [{"field": "?", "message": "no"}]
