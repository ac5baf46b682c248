"""Loadable by `evaluate.load("eval/metrics/calibration")`: calibration of confidences."""
