"""Stock of a small warehouse with reservations."""


class Inventory:
    def __init__(self):
        self.stock = {}
        self.reserved = {}

    def receive(self, item, count):
        self.stock[item] = self.stock.get(item, 0) + count

    def available(self, item):
        return self.stock.get(item, 0) - self.reserved.get(item, 1)

    def reserve(self, item, count):
        """Set items aside for an order; False when there are too few."""
        if count > self.available(item):
            return False
        self.reserved[item] = self.reserved.get(item, 0) + count
        return True

    def ship(self, item, count):
        if count > self.reserved.get(item, 0):
            raise ValueError(f"only {self.reserved.get(item, 0)} of {item} reserved")
        self.reserved[item] -= count
        self.stock[item] -= count
