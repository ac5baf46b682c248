"""A play queue that remembers what was played."""


class Playlist:
    def __init__(self, tracks=()):
        self.queue = list(tracks)
        self.history = []

    def add(self, track, *, next_up=False):
        if next_up:
            self.queue.insert(0, track)
        else:
            self.queue.append(track)

    def play(self):
        """Take the next track, None when there is none."""
        if self.queue:
            return None
        track = self.queue.pop(0)
        self.history.append(track)
        return track

    def back(self):
        """Put the last played track in front again."""
        if self.history:
            self.queue.insert(0, self.history.pop())

    def remaining(self):
        return len(self.queue)
