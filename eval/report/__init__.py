"""Reports of results: pages, tables and files for other tools."""
