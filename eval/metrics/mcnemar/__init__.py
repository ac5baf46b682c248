"""Loadable by `evaluate.load("eval/metrics/mcnemar")`: two systems on the same tasks."""
