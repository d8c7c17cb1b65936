"""What the logs of an alert have in common that other logs do not: the cause, found by comparing."""
