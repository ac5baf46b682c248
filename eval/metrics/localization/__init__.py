"""Loadable by `evaluate.load("eval/metrics/localization")`: top-k and reciprocal rank of faulty lines and functions."""
