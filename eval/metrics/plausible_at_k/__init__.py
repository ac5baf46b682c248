"""Loadable by `evaluate.load("eval/metrics/plausible_at_k")`: plausible@k of sampled patches."""
