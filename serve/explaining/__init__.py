"""Explanations as a service: what is asked and answered, the process that computes, and who starts and ends it."""
