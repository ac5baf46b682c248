from decimal import Decimal

import pytest
from ledger import balances, largest_debtor


def test_one_posting_moves_money():
    assert balances([("ann", "bob", Decimal(5))]) == {"ann": Decimal(-5), "bob": Decimal(5)}


def test_settled_accounts_are_left_out():
    assert balances([("ann", "bob", Decimal(5)), ("bob", "ann", Decimal(5))]) == {}


def test_debtor():
    assert largest_debtor([("ann", "bob", Decimal(5)), ("cem", "bob", Decimal(7))]) == "cem"


def test_no_debtor():
    assert largest_debtor([]) is None


def test_amounts_are_positive():
    with pytest.raises(ValueError):
        balances([("ann", "bob", Decimal(0))])
