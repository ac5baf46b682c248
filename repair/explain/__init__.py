"""The glass box: where a model believes the fault is, what evidence its repair used, what goes on inside.

Arrays and values only; pictures are drawn in `serve`. `values.py` holds what is told, `passages.py` the tokens of a
prompt with the lines they belong to, `glass.py` the opened network, `explain.py` composes one explanation.
"""
