"""The table of routes against the app that is really served."""

import asyncio

import httpx
import pytest
from starlette.routing import Mount, Route

from serve.app import create_app
from serve.security.table import PAGES, ROUTES, place, template
from serve.store import Store
from tests.serve.served import parts_of


class NoRunner:
    """Nothing gets so far."""

    alive = True

    def run(self, task, *, urgent=True):
        raise AssertionError(task)


@pytest.fixture
def app(tmp_path):
    store = Store.open(f"sqlite:///{tmp_path / 'emend.db'}")
    yield create_app(parts_of(NoRunner(), store, auth="keys"))
    store.close()


def served_routes(app):
    """Method and template of all that the app routes."""
    found = {(method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods}
    for route in app.routes:
        if isinstance(route, Mount):
            found.add(("GET", f"{route.path}/{{path:path}}"))
        elif isinstance(route, Route):
            found |= {(method, route.path) for method in route.methods - {"HEAD"}}
    return found


def test_every_route_that_is_served_stands_in_the_table(app):
    assert served_routes(app) - set(ROUTES) == set()
    assert ("POST", "/v1/repairs") in served_routes(app)


def test_no_route_that_is_served_answers_a_stranger(app):
    async def statuses():
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return {
                (method, path): (await client.request(method, path.replace("{", "").replace("}", ""))).status_code
                for method, path in served_routes(app)
            }

    found = asyncio.run(statuses())
    assert {route for route, status in found.items() if status != 401} == {
        route for route in found if ROUTES[route] == "open"
    }


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("/", "/"),
        ("/v1/jobs/job_1", "/v1/jobs/{job_id}"),
        ("/v1/jobs/job_1/events", "/v1/jobs/{job_id}/events"),
        ("/v1/jobs/a/b", "other"),
        ("/static/js/a.js", "/static/{path:path}"),
        ("/static/", "other"),
        ("/healthz\n", "other"),
        ("/healthz/", "other"),
        ("//healthz", "other"),
        ("/HEALTHZ", "other"),
        ("", "other"),
    ],
)
def test_labels_of_paths(path, label):
    assert template(path) == label


def test_needs_by_method():
    found = place("/v1/jobs/job_1")
    assert (found.need("HEAD"), found.need("DELETE"), found.need("POST")) == ("jobs", "jobs", None)
    assert {path for path in PAGES if ("GET", path) not in ROUTES} == set()
