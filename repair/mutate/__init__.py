"""Edit operators over syntax trees: `faults` injects bugs (data), `repairs` enumerates fixes (search).

Owns the neighbourhood of a program: which small changes there are and in what order to try them.
Knows nothing of models, tests or files. `catalogue.py` lists the operators, `vocabulary.py` the words.
"""

from repair.mutate.engine import Site, draw, faults, repairs, sites, syntax_faults
from repair.mutate.mutation import BUG_CLASSES, MIX, Mutation

__all__ = [
    "BUG_CLASSES",
    "MIX",
    "Mutation",
    "Site",
    "draw",
    "faults",
    "repairs",
    "sites",
    "syntax_faults",
]
