"""Durable jobs: taken from the store, done on a runner, told event by event, ended exactly once."""

from serve.jobs.dispatcher import Dispatcher, Limits, Pace
from serve.jobs.following import follow
from serve.jobs.shown import job_out

__all__ = ["Dispatcher", "Limits", "Pace", "follow", "job_out"]
