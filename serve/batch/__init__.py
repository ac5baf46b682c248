"""Batch repair: many repositories in one run, and what is left of it in a folder and in the repositories."""
