"""What a rule would have done over a span of stored logs, by the functions that live evaluation runs."""
