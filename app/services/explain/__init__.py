"""Explains step by step why a rule did or did not alert on a log, with the functions that the evaluation uses."""
