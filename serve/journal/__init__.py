"""The journal of the service: what is kept of a repair, how it is shown, asked for and exported."""
