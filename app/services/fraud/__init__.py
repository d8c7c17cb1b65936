"""Finds outbound traffic that looks like pumping or toll fraud."""
