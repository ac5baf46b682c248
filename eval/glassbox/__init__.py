"""How good explanations are: planted evidence, deletions that are really measured, and baselines beside them."""
