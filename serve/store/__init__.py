"""The durable store: jobs, keys, sessions, replies, feedback and the journal, on SQLite or PostgreSQL."""
