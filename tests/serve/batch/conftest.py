"""Real repositories of tests, as those of `tests/repair/projects`."""

from tests.repair.projects.conftest import new_repo, print_of

__all__ = ["new_repo", "print_of"]
