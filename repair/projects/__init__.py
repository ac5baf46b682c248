"""Whole repositories: taken in, diagnosed, their faults mended one by one, their fixes combined. See `values`."""
