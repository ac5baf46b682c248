"""Differential testing: whether a patch behaves as the reference on inputs made from the tests' own.

Owns recording the tests' calls, varying them within what they show of the contract, and comparing answers.
Knows nothing of repairs, measurements or verdicts.
"""

from eval.differential.compare import MIN, Comparison, Reference, compare, compare_with_reference, learn

__all__ = ["MIN", "Comparison", "Reference", "compare", "compare_with_reference", "learn"]
