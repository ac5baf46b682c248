"""Loadable by `evaluate.load("eval/metrics/patch_size")`: changed lines, hunks and edits."""
