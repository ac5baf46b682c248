"""What the pages show of the store (`serve.web.pages.Look`): a caller's own jobs, an admin's everybody's."""

from __future__ import annotations

import asyncio

from fastapi import Request

from serve.jobs import job_out
from serve.routes.jobs import owner_of
from serve.security.callers import caller_of
from serve.store import Store
from serve.wire_jobs import JobsOut, JobState

_PAGE = 50


class Looking:
    """Reads the store in threads."""

    def __init__(self, store: Store) -> None:
        self._jobs = store.jobs

    async def jobs(self, request: Request, state: JobState | None, before: str | None) -> JobsOut:
        """Jobs, newest first."""
        owner = owner_of(caller_of(request))
        found, following = await asyncio.to_thread(self._jobs.list, owner, state, _PAGE, before)
        return JobsOut(jobs=[job_out(job) for job in found], next=following)

    async def submitted(self, request: Request, job_id: str) -> str | None:
        """The RepairIn of a job as JSON, None where there is no such job."""
        job = await asyncio.to_thread(self._jobs.get, job_id, owner_of(caller_of(request)))
        return None if job is None else job.body
