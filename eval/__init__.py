"""Measuring Emend: suites, runs, statistics. The word "correct" belongs here."""
