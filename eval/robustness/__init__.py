"""Robustness: the same faults written, reported and surrounded differently, and what that costs a model."""
