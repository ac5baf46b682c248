"""Loadable by `evaluate.load("eval/metrics/overfitting_rate")`: share of plausible patches that are wrong."""
