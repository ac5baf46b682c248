import pytest
from inventory import Inventory


@pytest.fixture
def inventory():
    inventory = Inventory()
    inventory.receive("bolt", 10)
    return inventory


def test_all_can_be_reserved(inventory):
    assert inventory.reserve("bolt", 10)
    assert inventory.available("bolt") == 0


def test_more_cannot(inventory):
    assert not inventory.reserve("bolt", 11)


def test_shipping_takes_from_stock(inventory):
    inventory.reserve("bolt", 4)
    inventory.ship("bolt", 4)
    assert inventory.available("bolt") == 6


def test_only_reserved_items_are_shipped(inventory):
    with pytest.raises(ValueError):
        inventory.ship("bolt", 1)
