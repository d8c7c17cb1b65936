"""How fast the API responds with millions of stored logs."""
