"""Loadable by `evaluate.load("eval/metrics/correct_at_k")`: correct@k of sampled patches."""
