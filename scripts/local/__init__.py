"""Servers and processes on one machine, for `scripts/start`, the tests and the benchmarks. Knows nothing of `app`."""
