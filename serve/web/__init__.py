"""The web page: a client of /v1/jobs, rendered by Jinja2 and htmx."""
