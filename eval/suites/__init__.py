"""Suites: reading their rows strictly."""
