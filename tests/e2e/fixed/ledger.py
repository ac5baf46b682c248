"""Balances from a list of postings between accounts."""

from collections import defaultdict
from decimal import Decimal


def balances(postings):
    """Each posting is (source, target, amount). Returns account -> balance, zero balances left out."""
    totals = defaultdict(Decimal)
    for source, target, amount in postings:
        if amount <= 0:
            raise ValueError(f"amount {amount} is not positive")
        totals[source] -= amount
        totals[target] += amount
    return {account: total for account, total in totals.items() if total}


def largest_debtor(postings):
    """The account that owes most, None when nobody owes anything."""
    owing = {account: total for account, total in balances(postings).items() if total < 0}
    if not owing:
        return None
    return min(owing, key=owing.get)
