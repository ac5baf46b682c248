"""Waiting times between retries: exponential, with a ceiling and a total budget."""


def delays(first, factor=2.0, ceiling=60.0, budget=300.0):
    """Waiting times until the budget is spent; the last one is cut so that the sum never exceeds it."""
    if first <= 0 or factor < 1:
        raise ValueError("first must be positive and factor at least 1")
    waiting = []
    spent = 0.0
    delay = first
    while spent < budget:
        step = min(delay, ceiling)
        waiting.append(step)
        spent += step
        delay *= factor
    return waiting


def attempts_within(first, budget):
    """How many attempts fit, the one before any waiting included."""
    return 1 + len(delays(first, budget=budget))
