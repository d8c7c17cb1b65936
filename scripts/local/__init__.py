"""Servers and processes on one machine, for `scripts/start`, the tests and the benchmarks.

Knows of `app` only how it reads its settings.
"""
