"""Shared by all tests: what not to collect."""

collect_ignore_glob = ["e2e/faults/*", "e2e/fixed/*"]
