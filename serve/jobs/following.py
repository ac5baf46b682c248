"""Follows the events of a job, whoever works on it: by looking at the store, and at once where it is this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import suppress

from serve.store import Store
from serve.store.jobs import StoredEvent
from serve.wire_jobs import ENDED

_SOON, _LATE = 0.2, 0.5  # seconds between looks: the longer nothing happens, the later
_bells: dict[str, set[asyncio.Event]] = {}


def ring(job_id: str) -> None:
    """Something happened to a job: whoever follows it in this event loop looks at once."""
    for bell in _bells.get(job_id, ()):
        bell.set()


async def follow(store: Store, job_id: str, after: int = 0) -> AsyncGenerator[StoredEvent]:
    """The events of a job after a seq, as they come; ends after its last one, or when it is removed.

    Raises StoreError when the database goes away: the client comes again with its Last-Event-ID.
    """
    bell = asyncio.Event()
    _bells.setdefault(job_id, set()).add(bell)
    try:
        pause = _SOON
        while True:
            bell.clear()
            mark = await asyncio.to_thread(store.jobs.mark, job_id)
            if mark is None:
                return
            if mark.last_seq > after:
                for event in await asyncio.to_thread(store.jobs.events, job_id, after):
                    yield event
                    after = event.seq
                    if _is_last(event):
                        return
                pause = _SOON
            elif mark.ended:
                return
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(bell.wait(), pause)
                pause = min(pause * 1.2, _LATE)
    finally:
        _bells[job_id].discard(bell)
        if not _bells[job_id]:
            del _bells[job_id]


def _is_last(event: StoredEvent) -> bool:
    return event.name == "state" and json.loads(event.data)["state"] in ENDED
