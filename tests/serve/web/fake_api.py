"""A small /v1 around the page: jobs tell a script. Its JSON is that of serve.wire and serve.wire_jobs.

`python -m tests.serve.web.fake_api` serves it for looking at the page while one works on it.
"""

import asyncio
import difflib
import secrets
import uuid
from dataclasses import dataclass, field

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from serve import problems
from serve.journal.shown import JournalLooking
from serve.problems import problem
from serve.routes.journal import journal_router
from serve.web.journal_pages import journal_pages
from serve.web.pages import page_router
from serve.wire import CostOut, EditOut, FaultOut, LocalizationOut, PatchOut, RepairOut, SpanOut, TestsOut
from serve.wire_jobs import (
    ENDED,
    FeedbackIn,
    JobIn,
    JobOut,
    JobsOut,
    KeyIn,
    KeyOut,
    KeysOut,
    ModelOut,
    ModelsOut,
    NewKeyOut,
    Progress,
)
from tests.serve.web.fake_glass import FakeGlass, add_glass

CODE = '''def mean(xs):
    """The arithmetic mean."""
    if not xs:
        raise ValueError("no numbers")
    return sum(xs) / len(x)
'''
ERROR = """Traceback (most recent call last):
  File "mean.py", line 5, in mean
    return sum(xs) / len(x)
NameError: name 'x' is not defined"""
NOW = "2026-11-25T16:05:00Z"

# (line, old, new, verdict, score) as the search would judge them
FIXES = (
    (5, "len(x)", "len(sum)", "unfixed", 0.21),
    (5, "len(x)", "len(xs)", "plausible", 0.93),
    (3, "if not xs", "if xs", "regressed", 0.12),
    (5, "len(x)", "xs", "unfixed", 0.05),
    (5, "sum(xs) / len(x)", "sum(xs) / 1", "plausible", 0.31),
)


def span(line, first=1, last=1, end=None):
    return SpanOut(start_line=line, start_column=first, end_line=end or line, end_column=last)


def patch(path, text, fix):
    number, old, new, verdict, score = fix
    lines = text.splitlines(keepends=True)
    if number > len(lines) or old not in lines[number - 1]:
        return None
    at = lines[number - 1].index(old)
    after = [*lines]
    after[number - 1] = lines[number - 1].replace(old, new, 1)
    diff = "".join(difflib.unified_diff(lines, after, f"a/{path}", f"b/{path}"))
    good = verdict == "plausible"
    tests = TestsOut(
        status="passed" if good else "failed",
        passed=3 if good else 1,
        failed=0 if good else 2,
        runs=2 if good else 1,
        failing=[] if good else ["test_mean.py::test_two", "test_mean.py::test_one"],
    )
    edit = EditOut(path=path, span=span(number, at + 1, at + 1 + len(old)), text=new)
    return PatchOut(diff=diff, edits=[edit], score=score, verdict=verdict, origin="model", tests=tests)


def script(job, lost=0):
    """The events of a repair, in order; with `lost`, of a first attempt that ends after so many candidates too."""
    file = job.request.files[0]
    faults = [
        FaultOut(path=file.path, span=where, suspiciousness=value, reasons=reasons)
        for where, value, reasons in (
            (
                span(5, 12, 28),
                0.92,
                ["the innermost frame of the traceback", "NameError names x, which is not defined"],
            ),
            (span(3, 5, 15), 0.44, ["run by the failing test only"]),
            (span(1, 1, 14), 0.08, ["encloses the frame"]),
        )
    ]
    faults = [fault for fault in faults if fault.span.start_line <= len(file.text.splitlines())]
    common = {"id": f"rep_{'0' * 32}", "fault": faults, "no_fault": 0.02, "model": "emend-small"}
    patches = [made for fix in FIXES if (made := patch(file.path, file.text, fix))]
    ranked = sorted(patches, key=lambda one: (one.verdict != "plausible", -one.score))
    cost = CostOut(seconds=4.21, prompt_tokens=612, completion_tokens=488, test_runs=9, candidates=len(patches))
    notes = ["The tests ran in the sandbox of tier B."]
    chosen = 0 if ranked else None
    result = RepairOut(**common, cost=cost, patches=ranked, chosen=chosen, notes=notes)
    attempt = 1
    if lost:
        yield "state", {"state": "running", "attempt": attempt}
        yield "suspects", LocalizationOut(**common)
        for made in patches[:lost]:  # the machine was slower: no test answered
            yield "candidate", made.model_copy(update={"verdict": "undecided", "tests": TestsOut(status="not run")})
        yield "state", {"state": "queued", "attempt": attempt}
        attempt += 1
    yield "state", {"state": "running", "attempt": attempt}
    yield "suspects", LocalizationOut(**common)
    for made in patches:
        yield "candidate", made
    yield "result", result
    yield "state", {"state": "succeeded", "attempt": attempt}


@dataclass
class Running:
    job: JobIn
    out: JobOut
    events: list = field(default_factory=list)


@dataclass
class Fake:
    """What tests set, and what they look at. It is the Look of the page too."""

    pace: float = 0.0  # seconds before each event
    most: int = 1000  # events that are told before tests allow more
    lost: int = 0  # candidates of a first attempt that is given up
    hold: bool = False  # whether a stream that goes on must wait
    drop_after: int = 0  # the first stream breaks off after so many events
    known: bool = True  # somebody is logged in
    refuse: tuple | None = None  # (status, field, message) of the next job
    model: str = "emend-small"
    running: dict = field(default_factory=dict)
    resumed: list = field(default_factory=list)  # Last-Event-ID of each stream
    feedback: list = field(default_factory=list)
    keys: list = field(default_factory=list)
    tasks: set = field(default_factory=set)
    glass: FakeGlass = field(default_factory=FakeGlass)

    def may(self, scope):
        return True

    async def jobs(self, request, state, before):
        return JobsOut(jobs=[one.out for one in reversed(self.running.values()) if state in (None, one.out.state)])

    async def submitted(self, request, job_id):
        one = self.running.get(job_id)
        return one.job.request.model_dump_json(exclude_defaults=True) if one else None

    def submit(self, job):
        name = f"job_{uuid.uuid4().hex}"
        out = JobOut(id=name, kind=job.kind, label=job.label, state="queued", attempt=0, created=NOW, model=self.model)
        self.running[name] = Running(job, out)
        task = asyncio.get_running_loop().create_task(self.run(name))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return out

    async def run(self, name):
        one = self.running[name]
        for event, value in script(one.job, self.lost):
            await asyncio.sleep(self.pace)
            while len(one.events) >= self.most:
                await asyncio.sleep(0.01)
            if one.out.state in ENDED:
                return
            self.tell(one, event, value)

    def tell(self, one, event, value):
        data = JSONResponse(value if isinstance(value, dict) else value.model_dump()).body.decode()
        seen = [PatchOut.model_validate_json(text) for kind, text in one.events if kind == "candidate"]
        plausible = sum(made.verdict == "plausible" for made in seen)
        update = {"progress": Progress(candidates=len(seen), plausible=plausible), "attempt": 1}
        if event == "state":
            update["state"] = value["state"]
        one.out = one.out.model_copy(update=update)
        one.events.append((event, data))

    async def stream(self, one, after):
        told = 0
        yield "retry: 300\n\n"
        while True:
            while after < len(one.events):
                event, data = one.events[after]
                after += 1
                yield f"id: {after}\nevent: {event}\ndata: {data}\n\n"
                told += 1
                if told == self.drop_after:
                    self.drop_after = 0
                    return
            if one.out.state in ENDED:
                return
            await asyncio.sleep(0.01)


def policy(nonce):
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}' 'self'; style-src 'self' 'nonce-{nonce}'; "
        "img-src 'self' data:; connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )


def refused(status, detail, name="", message=""):
    body = problem(status, detail, errors=[{"field": name, "message": message}] if name else ())
    return JSONResponse(body, status, media_type="application/problem+json")


def fake_app(fake, store=None):
    """With a store, the journal is there too: its own routes and pages."""
    app = FastAPI()

    @app.middleware("http")
    async def around(request: Request, go_on):
        nonce = secrets.token_urlsafe(18)
        request.state.csp_nonce = nonce
        request.state.caller = fake if fake.known else None
        request.state.csrf = request.state.session = "token" if fake.known else ""
        path, safe = request.url.path, request.method == "GET"
        if path.startswith("/v1") and not fake.known:
            return refused(401, "give a valid key")
        if not safe and path != "/login" and request.headers.get("x-csrf-token") != "token":
            return refused(403, "the X-CSRF-Token is missing")
        answer = await go_on(request)
        page = answer.headers.get("content-type", "").startswith("text/html")
        answer.headers["content-security-policy"] = policy(nonce) if page else "default-src 'none'"
        return answer

    @app.post("/login")
    async def login(request: Request):
        if (await request.json())["key"] != "emend_good_key":
            return refused(401, "this key is not valid", "key", "is not valid")
        fake.known = True
        return Response(status_code=204)

    @app.post("/logout")
    async def logout():
        fake.known = False
        return Response(status_code=204)

    if store is None:
        app.include_router(page_router(fake))
    else:
        app.include_router(page_router(fake, journal_pages(JournalLooking(store, kept=True))))
        app.include_router(journal_router(store))
        problems.install(app)
    add_work(app, fake)
    add_jobs(app, fake)
    add_keys(app, fake)
    add_glass(app, fake)
    return app


def add_work(app, fake):
    @app.get("/v1/models")
    async def models() -> ModelsOut:
        small = ModelOut(
            name=fake.model, description="The shipped model, 34M parameters.", adapters=["acme-style"], default=True,
            location_probabilities=True,
        )  # fmt: skip
        big = ModelOut(
            name="big", description="Any model behind vLLM.", adapters=[], default=False, location_probabilities=False
        )
        return ModelsOut(models=[big, small])

    @app.post("/v1/feedback", status_code=204)
    async def feedback(body: FeedbackIn):
        fake.feedback.append(body)


def add_jobs(app, fake):
    @app.post("/v1/jobs", status_code=202)
    async def submit(body: JobIn):
        if fake.refuse:
            status, name, message = fake.refuse
            return refused(status, f"{name} {message}", name, message)
        return fake.submit(body)

    @app.get("/v1/jobs/{name}")
    async def job(name: str):
        one = fake.running.get(name)
        return one.out if one else refused(404, "there is no such job")

    @app.delete("/v1/jobs/{name}")
    async def delete(name: str):
        one = fake.running[name]
        if one.out.state == "running":
            fake.tell(one, "state", {"state": "cancelled", "attempt": 1})
            return JSONResponse(one.out.model_dump(), 202)
        del fake.running[name]
        return Response(status_code=204)

    @app.get("/v1/jobs/{name}/events")
    async def events(request: Request, name: str):
        one = fake.running.get(name)
        if one is None:
            return refused(404, "there is no such job")
        after = int(request.headers.get("last-event-id", 0))
        fake.resumed.append(after)
        while after and fake.hold:
            await asyncio.sleep(0.01)
        if not fake.known:
            return refused(401, "give a valid key")
        return StreamingResponse(fake.stream(one, after), media_type="text/event-stream")


def add_keys(app, fake):
    @app.get("/v1/keys")
    async def keys() -> KeysOut:
        return KeysOut(keys=fake.keys)

    @app.post("/v1/keys", status_code=201)
    async def create(body: KeyIn) -> NewKeyOut:
        facts = {
            "id": secrets.token_hex(4), "name": body.name, "scopes": body.scopes, "created": NOW, "expires": None,
            "revoked": False,
        }  # fmt: skip
        fake.keys.append(KeyOut(**facts))
        return NewKeyOut(**facts, key=f"emend_{facts['id']}_secret")

    @app.delete("/v1/keys/{name}", status_code=204)
    async def revoke(name: str):
        fake.keys[:] = [one.model_copy(update={"revoked": one.revoked or one.id == name}) for one in fake.keys]


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(fake_app(Fake(pace=0.3)), port=8700)
