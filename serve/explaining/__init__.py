"""Explanations: pictures, a report in one file and fragments for people; and as a service, in a process of its own."""
