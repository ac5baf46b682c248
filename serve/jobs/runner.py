"""What does a task: the pool of repair processes, or a script of the tests."""

from serve.engine import Task
from serve.pool import Refused, Runner, WorkerLost

__all__ = ["Refused", "Runner", "Task", "WorkerLost"]
