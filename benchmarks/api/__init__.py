"""How fast the API answers over millions of stored logs."""
