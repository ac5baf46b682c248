"""Who may do what: keys, sessions, rates, headers, and what must not reach a log."""
