"""Metrics as Hugging Face `evaluate` modules: `evaluate.load("eval/metrics/NAME")` works offline, from the path.

`evaluate` copies the one file NAME/NAME.py and runs the copy, so each imports by absolute names only, a line for each
import, and no class of `evaluate` by name (the first such class in the module would be taken for the metric).
`evaluate` lets each module choose the parameters of `_compute`, which type checkers call an incompatible override.
The arithmetic is `eval`'s own; what is undefined (a share of nothing) is None.
"""
