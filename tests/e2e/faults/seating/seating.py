"""Seats of a small theatre: rows are letters, seats are numbers from 1."""


class Theatre:
    def __init__(self, rows, seats_per_row):
        self.rows = rows
        self.seats_per_row = seats_per_row
        self.taken = set()

    def label(self, row, seat):
        return f"{chr(ord('A') + row)}{seat}"

    def book_together(self, count):
        """Book `count` neighbouring seats in the frontmost row that has them; None when none has."""
        for row in range(self.rows):
            for first in range(1, self.seats_per_row - count + 1):
                block = [self.label(row, first + offset) for offset in range(count)]
                if not self.taken.intersection(block):
                    self.taken.update(block)
                    return block
        return None

    def free(self):
        return self.rows * self.seats_per_row - len(self.taken)
