"""Match URL paths against patterns such as /users/{id}/posts."""


def split(path):
    return [part for part in path.split("/") if part]


def match(pattern, path):
    """Captured parts by name, None when the path does not match."""
    wanted, given = split(pattern), split(path)
    if len(wanted) != len(given):
        return None
    captured = {}
    for expected, actual in zip(wanted, given):
        if expected.startswith("{") and expected.endswith("}"):
            captured[expected[1:-1]] = actual
        elif expected != actual:
            return None
    return captured


def resolve(routes, path):
    """The first (name, captured) of the routes that matches, else ("not_found", {})."""
    for pattern, name in routes:
        captured = match(path, pattern)
        if captured is not None:
            return name, captured
    return "not_found", {}
