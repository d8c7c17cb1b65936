"""Logs as they are stored and found."""
