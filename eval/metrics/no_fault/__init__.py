"""Loadable by `evaluate.load("eval/metrics/no_fault")`: the answer "nothing is wrong"."""
