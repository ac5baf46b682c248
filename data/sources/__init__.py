"""Where code comes from: each module reads one kind of origin and yields records."""
