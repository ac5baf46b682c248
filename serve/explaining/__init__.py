"""Explanations for people: pictures, a report in one file, fragments for the service's pages."""
