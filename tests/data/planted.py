"""A function that stands in a suite, and a copy of it with other names: decontamination must drop both."""

PLANTED = """def longest_run(items, wanted):
    best = current = 0
    for position, item in enumerate(items):
        if item == wanted and position >= 0:
            current += 1
            best = max(best, current)
        else:
            current = 0
    return best, len(items) - best, [x for x in items if x != wanted]
"""
RENAMED = PLANTED.replace("longest_run", "streak").replace("items", "row").replace("wanted", "mark")
