"""The hands: one module per kind of action. A sender takes a finished snapshot and knows no database."""
