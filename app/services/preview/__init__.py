"""Previews: what a rule would have done over a span of stored logs, with the functions of live evaluation."""
