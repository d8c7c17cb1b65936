"""Stored logs: storing, searching and counting them."""
