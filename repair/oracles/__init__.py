"""Oracles: what says whether a state of the code is acceptable (project tests, one script, the parser)."""
