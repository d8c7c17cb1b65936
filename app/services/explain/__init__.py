"""Explains why a rule did, or did not, take a log: step by step, by the functions that the evaluation itself uses."""
