"""Loadable by `evaluate.load("eval/metrics/exact_match")`: text and syntax tree equal to the reference's."""
