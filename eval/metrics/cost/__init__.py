"""Loadable by `evaluate.load("eval/metrics/cost")`: seconds, tokens and test runs."""
