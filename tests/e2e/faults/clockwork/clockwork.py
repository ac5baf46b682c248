"""Opening hours of shops, also over midnight. Times are minutes since midnight."""

DAY = 24 * 60


def is_open(opens, closes, now):
    """Whether a shop that opens and closes at those minutes is open at `now`."""
    if opens <= closes:
        return opens <= now < closes
    return now >= opens and now < closes


def minutes_until_open(opens, closes, now):
    """Minutes to wait, 0 when it is open."""
    if is_open(opens, closes, now):
        return 0
    return (opens - now) % DAY


def open_minutes(opens, closes):
    """How long it is open each day."""
    return (closes - opens) % DAY
