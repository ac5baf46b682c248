"""Loadable by `evaluate.load("eval/metrics/first_rank")`: rank of the first plausible or correct patch."""
